package usp

import "testing"

func parseTerm(t *testing.T, s string) Term {
	t.Helper()
	p, err := ParsePath("Device.A.[" + s + "].")
	if err != nil {
		t.Fatal(err)
	}
	return p.Segments[2].Terms[0]
}

// TestMatch covers the typed comparisons of R-ARC.7 to R-ARC.10.
func TestMatch(t *testing.T) {
	for _, c := range []struct {
		term  string
		value string
		kind  ValueKind
		want  bool
	}{
		{`P=="a b"`, "a b", StringValue, true},
		{`P=="a"`, "A", StringValue, false},
		{`P!="a"`, "A", StringValue, true},
		{`P==123`, "123", StringValue, true},
		{`P=="%25%22"`, `%"`, StringValue, true},
		{`P==true`, "1", BooleanValue, true},
		{`P==1`, "true", BooleanValue, true},
		{`P!=false`, "0", BooleanValue, false},
		{`P==false`, "rubbish", BooleanValue, false},
		{`P!=false`, "rubbish", BooleanValue, true},
		{`P==0123`, "123", IntValue, true},
		{`P=="123"`, "0123", UnsignedIntValue, true},
		{`P<10`, "9", UnsignedIntValue, true},
		{`P<10`, "-9.5", DecimalValue, true},
		{`P>=18446744073709551615`, "18446744073709551615", UnsignedLongValue, true},
		{`P>18446744073709551614`, "18446744073709551615", UnsignedLongValue, true},
		{`P>1`, "", IntValue, false},
		{`P<2026-11-22T10:00:00Z`, "2026-11-22T10:30:00+01:00", DateTimeValue, true},
		{`P==2026-11-22T09:00:00`, "2026-11-22T10:00:00.000+01:00", DateTimeValue, true},
		{`P<2026-11-22T10:00:00Z`, "0001-01-01T00:00:00Z", DateTimeValue, false},
		{`P==0001-01-01T00:00:00Z`, "0001-01-01T00:00:00Z", DateTimeValue, true},
		{`P=="0a"`, "0A", HexBinaryValue, true},
		{`P=="0a"`, "0A", Base64Value, false},
		{`P~="b"`, "a, b,c", StringValue, true},
		{`P~="b"`, "ab", StringValue, false},
		{`P~="a,%25"`, "a%2C%25,b", StringValue, true},
		{`P~=2`, "1,02", UnsignedIntValue, true},
		{`P~=2`, "", UnsignedIntValue, false},
		{`P==1`, "true", UnknownValue, true},
		{`P==1`, "01", UnknownValue, true},
		{`P>1`, "x", UnknownValue, false},
		{`P==true`, "1", UnknownValue, true},
		{`P=="1"`, "01", UnknownValue, false},
		{`P<2026-11-22T10:00:00Z`, "2026-11-21T10:00:00Z", UnknownValue, true},
	} {
		term := parseTerm(t, c.term)
		if got, err := term.Match(c.value, c.kind); err != nil || got != c.want {
			t.Errorf("%s of %q as %d: %v, %v", c.term, c.value, c.kind, got, err)
		}
	}
}

func TestMatchSenseless(t *testing.T) {
	for _, c := range []struct {
		term string
		kind ValueKind
	}{
		{`P<"a"`, StringValue},
		{`P<"a"`, UnknownValue},
		{`P>=true`, BooleanValue},
		{`P>true`, UnknownValue},
		{`P=="true"`, BooleanValue},
		{`P==2`, BooleanValue},
		{`P==true`, IntValue},
		{`P==1`, DateTimeValue},
		{`P>0001-01-01T00:00:00Z`, DateTimeValue},
		{`P=="x"`, UnsignedLongValue},
	} {
		term := parseTerm(t, c.term)
		if _, err := term.Match("1", c.kind); AsError(err) == nil || AsError(err).Code != InvalidPathSyntax {
			t.Errorf("%s as %d: %v", c.term, c.kind, err)
		}
	}
}
