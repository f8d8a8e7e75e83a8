package datamodel

import (
	"errors"
	"testing"
	"unicode/utf8"

	"isthmus/usp/agent"
)

func TestNormalize(t *testing.T) {
	for _, c := range []struct {
		xsd       string
		schema    agent.ValueType
		raw, want string
	}{
		{"xsd:boolean", agent.TypeUnknown, "1", "true"},
		{"xsd:boolean", agent.TypeBoolean, " 0\n", "false"},
		{"boolean", agent.TypeBoolean, "TRUE", "true"},
		{"string", agent.TypeBoolean, "yes", "true"},
		{"", agent.TypeBoolean, "Disabled", "false"},
		{"", agent.TypeBoolean, "maybe", "maybe"},
		{"", agent.TypeBoolean, "", ""},
		{"xsd:boolean", agent.TypeString, "1", "true"}, // the schema is contradicted
		{"string", agent.TypeUnknown, "1", "1"},

		{"xsd:int", agent.TypeInt, " +007 ", "7"},
		{"xsd:int", agent.TypeInt, "-007", "-7"},
		{"xsd:int", agent.TypeInt, "-0", "0"},
		{"xsd:int", agent.TypeInt, "000", "0"},
		{"xsd:int", agent.TypeInt, "3.00", "3"},
		{"xsd:int", agent.TypeInt, "3.5", "3.5"},
		{"xsd:int", agent.TypeInt, "--3", "--3"},
		{"xsd:int", agent.TypeInt, "N/A", "N/A"},
		{"xsd:int", agent.TypeInt, "", ""},
		{"unsignedInt", agent.TypeUnsignedInt, "-1", "-1"},
		{"unsignedInt", agent.TypeUnsignedInt, "0x1F", "31"},
		{"unsignedInt", agent.TypeUnsignedInt, "0x1G", "0x1G"},
		{"unsignedInt", agent.TypeUnsignedLong, "18446744073709551615", "18446744073709551615"},
		{"XSD:UNSIGNEDINT", agent.TypeUnknown, "01", "1"},
		{"decimal", agent.TypeDecimal, "-01.50", "-1.5"},
		{"decimal", agent.TypeDecimal, "-0.0", "0"},
		{"float", agent.TypeDecimal, ".5", "0.5"},
		{"float", agent.TypeDecimal, "1e3", "1e3"},
		{"float", agent.TypeDecimal, "1.", "1"},

		{"dateTime", agent.TypeDateTime, "2024-05-06T07:08:09Z", "2024-05-06T07:08:09Z"},
		{"dateTime", agent.TypeDateTime, "2024-05-06T07:08:09", "2024-05-06T07:08:09Z"},
		{"dateTime", agent.TypeDateTime, "2024-05-06 07:08:09z", "2024-05-06T07:08:09Z"},
		{"dateTime", agent.TypeDateTime, "2024-05-06T07:08:09+00:00", "2024-05-06T07:08:09Z"},
		{"dateTime", agent.TypeDateTime, "2024-05-06T07:08:09-0500", "2024-05-06T07:08:09-05:00"},
		{"dateTime", agent.TypeDateTime, "2024-05-06T07:08:09.000", "2024-05-06T07:08:09Z"},
		{"dateTime", agent.TypeDateTime, "2024-05-06T07:08:09.120456Z", "2024-05-06T07:08:09.120456Z"},
		{"dateTime", agent.TypeDateTime, "Unknown Time", UnknownTime},
		{"dateTime", agent.TypeDateTime, "", UnknownTime},
		{"dateTime", agent.TypeDateTime, "0001-01-01T00:00:00", UnknownTime},
		{"dateTime", agent.TypeDateTime, "0001-01-03T00:10:00Z", "0001-01-03T00:10:00Z"},
		{"dateTime", agent.TypeDateTime, "9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"},
		{"dateTime", agent.TypeDateTime, "2024-13-06T07:08:09Z", "2024-13-06T07:08:09Z"},
		{"string", agent.TypeDateTime, "yesterday", "yesterday"},
		{"string", agent.TypeString, "2024-05-06T07:08:09+00:00", "2024-05-06T07:08:09+00:00"},

		{"base64", agent.TypeBase64, "aGVs\r\n bG8=\n", "aGVsbG8="},
		{"base64Binary", agent.TypeBase64, "not base64!", "not base64!"},
		{"hexBinary", agent.TypeHexBinary, "0aff", "0AFF"},
		{"hexBinary", agent.TypeHexBinary, "0af", "0af"},
		{"hexBinary", agent.TypeHexBinary, "xx", "xx"},

		{"string", agent.TypeString, "a, b,c", "a, b,c"},
		{"string", agent.TypeString, "caf\xe9 \xc3\xa9", "café é"},
		{"xsd:", agent.TypeUnknown, " as it is ", " as it is "},
	} {
		got := Normalize(c.xsd, c.schema, c.raw)
		if got != c.want {
			t.Errorf("Normalize(%q, %v, %q) = %q, want %q", c.xsd, c.schema, c.raw, got, c.want)
		}
		if again := Normalize(c.xsd, c.schema, got); again != got {
			t.Errorf("Normalize(%q, %v, %q) = %q: not stable", c.xsd, c.schema, got, again)
		}
	}
}

func TestToCWMP(t *testing.T) {
	for _, c := range []struct{ xsd, usp, value, typ string }{
		{"xsd:boolean", "true", "1", "boolean"},
		{"boolean", "0", "0", "boolean"},
		{"string", "true", "true", "string"},
		{"", "x", "x", "string"},
		{"xsd:vendorType", "x", "x", "string"},
		{"unsignedInt", "007", "7", "unsignedInt"},
		{"unsignedInt", "4294967295", "4294967295", "unsignedInt"},
		{"int", "-2147483648", "-2147483648", "int"},
		{"unsignedLong", "18446744073709551615", "18446744073709551615", "unsignedLong"},
		{"long", "-9223372036854775808", "-9223372036854775808", "long"},
		{"dateTime", "2024-05-06T07:08:09.5Z", "2024-05-06T07:08:09Z", "dateTime"},
		{"dateTime", "2024-05-06T07:08:09.123+02:00", "2024-05-06T07:08:09+02:00", "dateTime"},
		{"soapenc:base64", "aGVsbG8=", "aGVsbG8=", "base64"},
		{"hexBinary", "ab", "AB", "hexBinary"},
		{"string(64)", " blanks, stay ", " blanks, stay ", "string"},
	} {
		value, typ, err := ToCWMP(c.xsd, c.usp)
		if value != c.value || typ != c.typ || err != nil {
			t.Errorf("ToCWMP(%q, %q) = %q, %q, %v; want %q, %q", c.xsd, c.usp, value, typ, err, c.value, c.typ)
		}
	}
	for _, c := range []struct{ xsd, usp string }{
		{"boolean", "yes"}, {"boolean", "TRUE"}, {"boolean", ""},
		{"unsignedInt", "-1"}, {"unsignedInt", "4294967296"}, {"unsignedInt", "0x10"}, {"unsignedInt", "1.0"}, {"unsignedInt", ""},
		{"int", "2147483648"}, {"int", "a"}, {"long", "9223372036854775808"}, {"unsignedLong", "18446744073709551616"},
		{"dateTime", ""}, {"dateTime", "unknown"}, {"dateTime", "2024-05-06"}, {"dateTime", "2024-05-06 07:08:09Z"},
		{"base64", "!"}, {"hexBinary", "abc"}, {"decimal", "1e3"}, {"string", "a\x00b"}, {"string", "\xff"},
	} {
		if value, _, err := ToCWMP(c.xsd, c.usp); !errors.Is(err, ErrValue) {
			t.Errorf("ToCWMP(%q, %q) = %q, %v; want ErrValue", c.xsd, c.usp, value, err)
		}
	}
}

func TestWireType(t *testing.T) {
	for _, c := range []struct {
		learnt string
		schema agent.ValueType
		want   string
	}{
		{"xsd:int", agent.TypeUnsignedInt, "int"},
		{"xsd:string", agent.TypeBoolean, "string"},
		{"", agent.TypeBoolean, "boolean"},
		{"object", agent.TypeUnsignedLong, "unsignedLong"},
		{"", agent.TypeBase64, "base64Binary"},
		{"", agent.TypeUnknown, "string"},
	} {
		if got := WireType(c.learnt, c.schema); got != c.want {
			t.Errorf("WireType(%q, %v) = %q, want %q", c.learnt, c.schema, got, c.want)
		}
	}
	for typ := agent.TypeBase64; typ <= agent.TypeUnsignedLong; typ++ {
		if got := TypeOf(XSDType(typ)); got != typ {
			t.Errorf("TypeOf(XSDType(%v)) = %v", typ, got)
		}
	}
}

func TestEqual(t *testing.T) {
	for _, c := range []struct {
		typ  agent.ValueType
		a, b string
		want bool
	}{
		{agent.TypeBoolean, "1", "true", true},
		{agent.TypeBoolean, "false", "true", false},
		{agent.TypeBoolean, "maybe", "perhaps", false},
		{agent.TypeBoolean, "maybe", "maybe", true},
		{agent.TypeHexBinary, "ab", "AB", true},
		{agent.TypeString, "ab", "AB", false},
		{agent.TypeUnsignedInt, "7", "007", true},
		{agent.TypeDateTime, "2024-05-06T07:08:09Z", "2024-05-06T09:08:09+02:00", true},
		{agent.TypeDateTime, "2024-05-06T07:08:09Z", "2024-05-06T07:08:10Z", false},
		{agent.TypeBase64, "aGVs bG8=", "aGVsbG8=", true},
	} {
		if got := Equal(c.typ, c.a, c.b); got != c.want {
			t.Errorf("Equal(%v, %q, %q) = %v", c.typ, c.a, c.b, got)
		}
	}
}

func FuzzNormalize(f *testing.F) {
	for _, raw := range []string{"", "1", "-0", "0x1F", "1.50", "2024-05-06T07:08:09.000-0500", "aGVs\nbG8=", "0aff", "caf\xe9", "Unknown Time"} {
		for typ := agent.TypeUnknown; typ <= agent.TypeUnsignedLong; typ++ {
			f.Add("xsd:string", int(typ), raw)
		}
	}
	f.Fuzz(func(t *testing.T, xsd string, typ int, raw string) {
		schema := agent.ValueType(typ)
		got := Normalize(xsd, schema, raw)
		if !utf8.ValidString(got) {
			t.Fatalf("%q is not UTF-8", got)
		}
		if again := Normalize(xsd, schema, got); again != got {
			t.Fatalf("%q becomes %q, then %q", raw, got, again)
		}
		if !Equal(settle(TypeOf(xsd), schema), got, validUTF8(raw)) {
			t.Fatalf("%q and %q are not equal", raw, got)
		}
		if value, name, err := ToCWMP(xsd, got); err == nil && Normalize(name, agent.TypeUnknown, value) == "" && value != "" {
			t.Fatalf("%q is lost on the way back", got)
		}
	})
}
