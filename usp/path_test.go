package usp

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func name(s string) Segment { return Segment{Name: s} }

func TestParsePath(t *testing.T) {
	for _, c := range []struct {
		in, out string // out "": the same as in
		kind    PathKind
		query   string // "": the same as out
	}{
		{in: "Device.", kind: ObjectPath},
		{in: "Device", kind: OpenPath},
		{in: "Device.DeviceInfo.SerialNumber", kind: OpenPath},
		{in: "Device.X_0A0B0C-A_b.Ünï", kind: OpenPath},
		{in: "Device.WiFi.SSID.1", out: "Device.WiFi.SSID.1.", kind: ObjectPath},
		{in: "Device.WiFi.SSID.1.SSID", kind: OpenPath},
		{in: "Device.WiFi.SSID.*.SSID", kind: OpenPath},
		{in: "Device.Reboot()", kind: CommandPath},
		{in: "Device.WiFi.*.Scan()", kind: CommandPath},
		{in: "Device.Boot!", kind: EventPath},
		{in: "Device.WiFi.SSID.{i}.SSID", kind: OpenPath},
		{in: "Device.WiFi.SSID.{i}", out: "Device.WiFi.SSID.{i}.", kind: ObjectPath, query: "Device.WiFi.SSID.*."},
		{
			in: `Device.C.[EndpointID=="self::ctl-2"].Alias`, kind: OpenPath, query: "Device.C.*.Alias",
		},
		{
			in: `Device.C.[ Enable == true && Interval>10 ].D.[A.B!="x].y&&%22%25"].`, kind: ObjectPath,
			out: `Device.C.[Enable==true&&Interval>10].D.[A.B!="x].y&&%22%25"].`, query: "Device.C.*.D.*.",
		},
		{in: "Device.C.[T<=2026-11-22T20:26:24Z&&N>=-1.5&&L~=3&&U<0123].", kind: ObjectPath, query: "Device.C.*."},
		{in: "Device.S.1.Recipient+.EndpointID", kind: OpenPath, query: "Device.S.1.Recipient"},
		{in: "Device.S.1.Role#2+.Name", kind: OpenPath, query: "Device.S.1.Role"},
		{in: "Device.S.*.Role#*+.Sub.[Role+.Name==\"x\"].Name", kind: OpenPath, query: "Device.S.*.Role"},
		{in: "Device.S.1.Recipient+", out: "Device.S.1.Recipient+.", kind: ObjectPath, query: "Device.S.1.Recipient"},
	} {
		t.Run(c.in, func(t *testing.T) {
			p, err := ParsePath(c.in)
			if err != nil {
				t.Fatal(err)
			}
			if c.out == "" {
				c.out = c.in
			}
			if c.query == "" {
				c.query = c.out
			}
			if strings.Contains(c.query, "{i}") {
				c.query = strings.ReplaceAll(c.query, "{i}", "*")
			}
			if p.Kind != c.kind || p.String() != c.out || p.Query() != c.query {
				t.Errorf("kind %d, %s, query %s; want %d, %s, query %s", p.Kind, p, p.Query(), c.kind, c.out, c.query)
			}
		})
	}
}

func TestParsePathSegments(t *testing.T) {
	p, err := ParsePath(`Device.C.[A.Ref#*+.N=="%22%25"&&E==1].Role#2+.X.7.`)
	if err != nil {
		t.Fatal(err)
	}
	want := &Path{Kind: ObjectPath, Segments: []Segment{
		name("Device"), name("C"),
		{Kind: SearchSegment, Terms: []Term{
			{Param: []Segment{name("A"), {Name: "Ref", Follow: true, Item: AllItems}, name("N")}, Op: Equal, Value: Literal{Text: `"%`}},
			{Param: []Segment{name("E")}, Op: Equal, Value: Literal{Kind: NumberLiteral, Text: "1"}},
		}},
		{Name: "Role", Follow: true, Item: 2}, name("X"), {Kind: InstanceSegment, Instance: 7},
	}}
	if d := cmp.Diff(want, p); d != "" {
		t.Error(d)
	}
	if p.IsConcrete() || p.IsSchema() {
		t.Error("a search is not concrete and no schema path")
	}
	if terms := p.Segments[2].Terms; terms[0].Name() != "A.Ref#*+.N" || !terms[0].Follows() || terms[1].Follows() {
		t.Errorf("terms %s and %s", terms[0].Name(), terms[1].Name())
	}
}

func TestSupported(t *testing.T) {
	for in, want := range map[string]string{
		"Device.C.*.D.3.":         "Device.C.{i}.D.{i}.",
		"Device.C.[A==1].Ref+.N":  "Device.C.{i}.Ref",
		"Device.C.{i}.Reset()":    "Device.C.{i}.Reset()",
		"Device.DeviceInfo.Model": "Device.DeviceInfo.Model",
	} {
		if p, err := ParsePath(in); err != nil || p.Supported() != want {
			t.Errorf("%s: %v, %v", in, p, err)
		}
	}
}

var malformed = []string{
	"", ".", "Device..A", "Device. A", ".Device", "1.", "*.A", "Device.A.0.", "Device.A.01.", "Device.A.99999999999.", "Device.A.1x.",
	"Device.A.1.2.", "Device.A.*.*.", "Device.A.[].", "Device.A.[B].", "Device.A.[B==].", "Device.A.[B==1", "Device.A.[B=1].", `Device.A.[B="x"].`,
	"Device.A.[B==x].", `Device.A.[B=="x].`, `Device.A.[B=="x"&].`, `Device.A.[B=="x"&&].`, `Device.A.[B=="x"||C==1].`, "Device.A.[B.1.C==1].",
	"Device.A.[B.*.C==1].", "Device.A.[[B==1]].", "Device.A.[B+==1].", "Device.A#.B", "Device.A#0+.B", "Device.A#1.B", "Device.A+B", "Device.A().",
	"Device.A()B", "Device.A!.", "Device.A.{i}.B.1.", "Device.A.{i}.B.*.", "Device.{j}.", "Device.A\x00", "Device.A.\xff", "Device.A\u200b.", "Device/A",
	"Device.A.1()", "Device.A.[B==1]!", "Device.A.[B==1==1].", "Device.A.[B== 1 1].",
}

func TestParsePathMalformed(t *testing.T) {
	for _, s := range malformed {
		_, err := ParsePath(s)
		if e := (*Error)(nil); !errors.As(err, &e) || e.Code != InvalidPathSyntax {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestParsePathBounds(t *testing.T) {
	for what, s := range map[string]string{
		"length":   "Device." + strings.Repeat("x", MaxPathLength),
		"dot":      "Device." + strings.Repeat("x", MaxPathLength-len("Device..1")) + ".1",
		"escapes":  `Device.A.[B=="` + strings.Repeat("%", MaxPathLength/2) + `"].`,
		"segments": "Device" + strings.Repeat(".A", MaxSegments),
		"terms":    "Device.A.[B==1" + strings.Repeat("&&B==1", MaxTerms) + "].",
		"brackets": "Device.A." + strings.Repeat("[", MaxPathLength-20),
		"relative": "Device.A.[B" + strings.Repeat(".B", MaxSegments) + "==1].",
	} {
		if _, err := ParsePath(s); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	for _, s := range append(malformed, "Device.A.1.", "Device.X()", "Device.X!", "Device.A.{i}.", `Device.A.[B.C+.D ~= "a%22b" && E<=1.5].F#3+.*.G`,
		"Device.A.[T!=0001-01-01T00:00:00Z].", "Device.A.[B==false].C#*+.") {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePath(s)
		if err != nil {
			return
		}
		again, err := ParsePath(p.String())
		if err != nil {
			t.Fatalf("%q became %q: %v", s, p, err)
		}
		if d := cmp.Diff(p, again); d != "" {
			t.Fatal(d)
		}
		for i := range p.Segments {
			for _, term := range p.Segments[i].Terms {
				for kind := range UnsignedLongValue + 1 {
					_, _ = term.Match(s, kind)
				}
			}
		}
	})
}

func BenchmarkParsePath(b *testing.B) {
	for b.Loop() {
		if _, err := ParsePath(`Device.LocalAgent.Controller.[EndpointID=="self::ctl-2"].Alias`); err != nil {
			b.Fatal(err)
		}
	}
}
