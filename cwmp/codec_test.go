package cwmp

import (
	"bytes"
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

// bodiesOf splits a capture into its SOAP messages: what lies behind the blank line of each HTTP message.
func bodiesOf(capture []byte) [][]byte {
	var bodies [][]byte
	for _, part := range bytes.Split(capture, []byte("==== "))[1:] {
		if bytes.Contains(part[:min(len(part), 200)], []byte("body cut")) {
			continue
		}
		part = bytes.ReplaceAll(part, []byte("\r\n"), []byte("\n"))
		if _, body, ok := bytes.Cut(part, []byte("\n\n")); ok && bytes.Contains(body, []byte("Envelope")) {
			bodies = append(bodies, body)
		}
	}
	return bodies
}

func TestCaptures(t *testing.T) {
	if _, err := os.Stat(capturesDir); err != nil {
		t.Skip("SKIPPED: the captures are not beside this repository:", err)
	}
	files, err := filepath.Glob(capturesDir + "/*/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no captures in ", capturesDir, err)
	}
	for _, file := range files {
		capture, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range bodiesOf(capture) {
			e, err := Decode(b, "")
			if err != nil {
				t.Errorf("%s %d: %v", file, i, err)
				continue
			}
			t.Log(filepath.Base(file), i, e.Body.Name(), e.Repaired, e.Skipped, e.Namespace)
		}
	}
}
