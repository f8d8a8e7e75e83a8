package cwmp

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// fill sets every field of a message to something of its own, so that a forgotten argument shows.
func fill(v reflect.Value, n *int) {
	*n++
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Date(2026, 11, 22, 20, *n%60, 0, 0, time.UTC)))
	case v.Type() == reflect.TypeFor[[]OperationStruct]():
		ops := []OperationStruct{new(InstallOpStruct), new(UninstallOpStruct), new(UpdateOpStruct)}
		for _, op := range ops {
			fill(reflect.ValueOf(op).Elem(), n)
		}
		v.Set(reflect.ValueOf(ops))
	case v.Kind() == reflect.String:
		v.SetString("v" + strings.Repeat("x", *n%7) + "é<&>\"'")
	case v.Kind() == reflect.Int:
		v.SetInt(int64(*n))
	case v.Kind() == reflect.Uint8:
		v.SetUint(uint64(*n % 256))
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
			if v.Type().Field(i).Name == "Type" {
				v.Field(i).SetString("unsignedInt")
			}
		}
	default:
		panic("a field of kind " + v.Kind().String())
	}
}

func TestRoundTripOfEveryRPC(t *testing.T) {
	for name, kind := range newRPC {
		t.Run(name, func(t *testing.T) {
			for _, body := range []RPC{kind(), kind()} {
				n := 0
				if reflect.ValueOf(body).Elem().NumField() > 0 {
					fill(reflect.ValueOf(body).Elem(), &n)
				}
				want := &Envelope{ID: "7", Namespace: NamespaceV1_2, Body: body}
				b, err := Encode(want)
				if err != nil {
					t.Fatal(err)
				}
				got, err := Decode(b, "text/xml")
				if err != nil {
					t.Fatalf("%v in %s", err, b)
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("%s\n%s", d, b)
				}
			}
		})
	}
}

func TestZeroMessagesRoundTrip(t *testing.T) {
	for name, kind := range newRPC {
		if name == "Fault" {
			continue // without a code it becomes 9002
		}
		b, err := Encode(&Envelope{Namespace: NamespaceV1_0, Body: kind()})
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(b, "")
		if err != nil {
			t.Fatalf("%v in %s", err, b)
		}
		if d := cmp.Diff(&Envelope{Namespace: NamespaceV1_0, Body: kind()}, got, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if bytes.Contains(b, []byte("/>")) || bytes.Contains(b, []byte("<?")) {
			t.Errorf("not plain: %s", b)
		}
	}
}

const capturesDir = "../../shared/captures"

// bodiesOf splits a capture into its SOAP messages: what lies behind the blank line of each HTTP message. Bodies that the capture
// cut short are left out.
func bodiesOf(capture []byte) [][]byte {
	var bodies [][]byte
	for _, part := range bytes.Split(capture, []byte("==== "))[1:] {
		part = bytes.ReplaceAll(part, []byte("\r\n"), []byte("\n"))
		_, body, ok := bytes.Cut(part, []byte("\n\n"))
		if ok && bytes.Contains(body, []byte("Envelope")) && !bytes.Contains(body, []byte("bytes in all, cut]")) {
			bodies = append(bodies, body)
		}
	}
	return bodies
}

var update = flag.Bool("update", false, "write the golden files")

// TestCaptures decodes what real clients sent and were sent, and compares a line for each message with the golden file.
func TestCaptures(t *testing.T) {
	if _, err := os.Stat(capturesDir); err != nil {
		t.Skip("SKIPPED: the captures are not beside this repository:", err)
	}
	files, err := filepath.Glob(capturesDir + "/*/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no captures in ", capturesDir, err)
	}
	var got strings.Builder
	for _, file := range files {
		capture, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range bodiesOf(capture) {
			e, err := Decode(b, "")
			if err != nil {
				t.Errorf("%s: %v", file, err)
				continue
			}
			fmt.Fprintf(&got, "%s/%s: %s id=%q %s repaired=%t skipped=%d\n", filepath.Base(filepath.Dir(file)),
				filepath.Base(file), summary(e.Body), e.ID, strings.TrimPrefix(e.Namespace, namespacePrefix), e.Repaired, e.Skipped)
		}
	}
	const golden = "../testdata/cwmp/captures.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")); d != "" {
		t.Error(d)
	}
}

// summary says what a message is and how much of it was understood.
func summary(body RPC) string {
	switch m := body.(type) {
	case *Inform:
		return fmt.Sprintf("Inform %s-%s-%s %q %d parameters", m.DeviceId.OUI, m.DeviceId.ProductClass, m.DeviceId.SerialNumber, m.Event, len(m.ParameterList))
	case *GetParameterValuesResponse:
		types := map[string]int{}
		for _, p := range m.ParameterList {
			types[p.Type]++
		}
		return fmt.Sprintf("GetParameterValuesResponse %v", types)
	case *GetParameterNamesResponse:
		writable := 0
		for _, p := range m.ParameterList {
			if p.Writable {
				writable++
			}
		}
		return fmt.Sprintf("GetParameterNamesResponse %d, %d writable", len(m.ParameterList), writable)
	case *Fault:
		return m.Error()
	default:
		text := fmt.Sprintf("%s %+v", body.Name(), body)
		return strings.ReplaceAll(text, "0001-01-01 00:00:00 +0000 UTC", "unknown")
	}
}

func decodeVector(t *testing.T, name string) *Envelope {
	t.Helper()
	b, err := os.ReadFile("../testdata/cwmp/" + name + ".xml")
	if err != nil {
		t.Fatal(err)
	}
	e, err := Decode(b, "")
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestDecodeQuirks(t *testing.T) {
	for name, want := range map[string]*Envelope{
		"inform-quirks": {
			ID: "7", SessionTimeout: 40 * time.Second, Repaired: true, Skipped: 2,
			Body: &Inform{
				DeviceId:      DeviceID{OUI: "00AA11", SerialNumber: "S&1"},
				Event:         []EventStruct{{EventCode: "2 periodic"}},
				CurrentTime:   time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC),
				RetryCount:    3,
				ParameterList: []ParameterValueStruct{{Name: "Device.A", Value: "<a>& & b", Type: "string"}},
			},
		},
		"fault-nested": {
			ID: "3", Namespace: NamespaceV1_0,
			Body: &Fault{Code: 9003, String: "Invalid arguments", Params: []ParameterFault{{"Device.A", 9008, "read only"}}},
		},
		"values-latin1": {
			Repaired: true,
			Body:     &GetParameterValuesResponse{ParameterList: []ParameterValueStruct{{Name: "Device.SSID", Value: "café"}}},
		},
		"values-not-utf8": {
			Repaired: true,
			Body:     &GetParameterValuesResponse{ParameterList: []ParameterValueStruct{{Name: "Device.SSID", Value: "café é"}}},
		},
		"software": {
			Namespace: NamespaceV1_2, Skipped: 1,
			Body: &ChangeDUState{
				Operations: []OperationStruct{&InstallOpStruct{URL: "http://a/b"}, &UninstallOpStruct{UUID: "u"}}, CommandKey: "k",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(want, decodeVector(t, name)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestDecodeOtherCharsets(t *testing.T) {
	text := `<s:Envelope><s:Body><GetParameterValues><ParameterNames><string>Device.Café.</string></ParameterNames></GetParameterValues></s:Body></s:Envelope>`
	wide := []byte{0xFF, 0xFE}
	for _, r := range text {
		wide = append(wide, byte(r), byte(r>>8))
	}
	latin1 := bytes.ReplaceAll([]byte(text), []byte("é"), []byte{0xE9})
	for name, e := range map[string]func() (*Envelope, error){
		"UTF-16":            func() (*Envelope, error) { return Decode(wide, "") },
		"BOM":               func() (*Envelope, error) { return Decode([]byte("\xEF\xBB\xBF"+text), "") },
		"HTTP charset":      func() (*Envelope, error) { return Decode(latin1, `text/xml; charset="ISO-8859-1"`) },
		"HTTP charset, bad": func() (*Envelope, error) { return Decode([]byte(text), `text/xml; charset=klingon`) },
	} {
		got, err := e()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if names := got.Body.(*GetParameterValues).ParameterNames; len(names) != 1 || names[0] != "Device.Café." {
			t.Errorf("%s: %q", name, names)
		}
	}
}

func TestDecodeLimits(t *testing.T) {
	wrap := func(s string) []byte { return []byte("<s:Envelope><s:Body>" + s + "</s:Body></s:Envelope>") }
	many := strings.Builder{}
	for i := range maxAttributes + 1 {
		fmt.Fprintf(&many, ` a%d="b"`, i)
	}
	for name, tc := range map[string]struct {
		body []byte
		want error
	}{
		"depth":      {wrap(strings.Repeat("<a>", maxDepth) + strings.Repeat("</a>", maxDepth)), ErrLimit},
		"attributes": {wrap("<Reboot" + many.String() + "></Reboot>"), ErrLimit},
		"elements":   {wrap("<Reboot>" + strings.Repeat("<a/>", maxElements) + "</Reboot>"), ErrLimit},
		"DOCTYPE":    {append([]byte("<?xml version='1.0'?><!-- --><!DOCTYPE a SYSTEM 'file:///etc/passwd'>"), wrap("")...), ErrDoctype},
		"ENTITY":     {wrap("<!ENTITY a 'b'>"), ErrDoctype},
		"truncated":  {wrap("<Reboot>")[:30], ErrMalformed},
		"empty":      {nil, ErrMalformed},
	} {
		if _, err := Decode(tc.body, ""); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	e, err := Decode(wrap("<Reboot><CommandKey>&custom;</CommandKey></Reboot>"), "")
	if err != nil || e.Body.(*Reboot).CommandKey != "&custom;" {
		t.Errorf("an entity was expanded: %+v, %v", e, err)
	}
}

func TestEncodeUnencodable(t *testing.T) {
	for _, body := range []RPC{
		&Reboot{CommandKey: "\x02"},
		&Reboot{CommandKey: "caf\xe9"},
		&Reboot{CommandKey: "\uFFFE"},
		&SetParameterValues{ParameterList: []ParameterValueStruct{{Name: "a", Type: `x" y="`}}},
		&Unknown{Method: "a b"},
	} {
		if b, err := Encode(&Envelope{Body: body}); !errors.Is(err, ErrUnencodable) {
			t.Errorf("%+v: %v %s", body, err, b)
		}
	}
	want := "a\r\nb\t\uFFFD]]>"
	b, err := Encode(&Envelope{Body: &Reboot{CommandKey: want}})
	if err != nil {
		t.Fatal(err)
	}
	e, err := Decode(b, "")
	if err != nil || e.Body.(*Reboot).CommandKey != want {
		t.Errorf("%+v %v", e, err)
	}
}

func TestStandardEvent(t *testing.T) {
	for code, want := range map[string]string{
		"1 BOOT": EventBoot, "1": EventBoot, " 1 boot ": EventBoot, "m reboot": EventMReboot, "10": EventAutonomousTransferComplete,
		"X 00AA11 Strange": "", "": "", "99": "",
	} {
		if got := StandardEvent(code); got != want {
			t.Errorf("%q: %q", code, got)
		}
	}
}

// TestRepairIsLinear: a body made to be scanned again and again costs no more than another.
func TestRepairIsLinear(t *testing.T) {
	const size = 2 << 20
	for _, piece := range []string{"Envelope", "</Envelope ", "<Envelope", "</Envelope", "&#1", "\x01", "<!---->", "&"} {
		began := time.Now()
		if _, err := Decode([]byte("<s:Envelope>"+strings.Repeat(piece, size/len(piece))), ""); err == nil {
			t.Errorf("%q was decoded", piece)
		}
		if d := time.Since(began); d > 20*time.Second {
			t.Errorf("%q took %v", piece, d)
		}
	}
}

// An InformResponse that is put together from what was encoded before is the one that Encode gives.
func TestEncodeInformResponse(t *testing.T) {
	for _, id := range []string{"", "1", "ABC123", "a&b", "Ü", "<ID>", strings.Repeat("9", 100)} {
		for _, namespace := range []string{"", NamespaceV1_0, NamespaceV1_2, "urn:vendor"} {
			for _, use := range []string{"", "1.4"} {
				want, err := Encode(&Envelope{ID: id, UseCWMPVersion: use, Namespace: namespace, Body: &InformResponse{MaxEnvelopes: 1}})
				if err != nil {
					t.Fatal(err)
				}
				for range 2 {
					if got, err := encodeInformResponse(id, use, namespace, false); err != nil || string(got) != string(want) {
						t.Errorf("%q %q %q: %v\n%s\nwant\n%s", id, namespace, use, err, got, want)
					}
				}
			}
		}
	}
}
