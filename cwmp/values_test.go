package cwmp

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const cutMessage = `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:cwmp="urn:dslforum-org:cwmp-1-2"><s:Header><cwmp:ID>1</cwmp:ID></s:Header>` +
	`<s:Body><cwmp:GetParameterValuesResponse>%LIST%</cwmp:GetParameterValuesResponse></s:Body></s:Envelope>`

func cutBody(list string) []byte {
	return bytes.Replace([]byte(cutMessage), []byte("%LIST%"), []byte(list), 1)
}

// What the scanner takes and what etree takes must be the same message; what is odd is left to etree.
func TestCutParametersAgreesWithEtree(t *testing.T) {
	const entry = `<ParameterValueStruct><Name>A.B</Name><Value xsi:type="xsd:string">v</Value></ParameterValueStruct>`
	for _, c := range []struct {
		name, list string
		cut        bool
	}{
		{"usual", `<ParameterList SOAP-ENC:arrayType="cwmp:ParameterValueStruct[2]">` + entry + "\r\n  " + entry + `</ParameterList>`, true},
		{"empty", `<ParameterList></ParameterList>`, true},
		{"self-closed value", `<ParameterList><ParameterValueStruct><Name>A</Name><Value xsi:type="xsd:string"/></ParameterValueStruct></ParameterList>`, true},
		{"no type", `<ParameterList><ParameterValueStruct><Name>A</Name><Value> v </Value></ParameterValueStruct></ParameterList>`, true},
		{"no value", `<ParameterList><ParameterValueStruct><Name>A</Name></ParameterValueStruct></ParameterList>`, true},
		{"no name", `<ParameterList><ParameterValueStruct><Value>v</Value></ParameterValueStruct></ParameterList>`, true},
		{"UTF-8", `<ParameterList><ParameterValueStruct><Name>A</Name><Value>Grüße</Value></ParameterValueStruct></ParameterList>`, true},
		{"typed name", `<ParameterList><ParameterValueStruct><Name xsi:type="xsd:string"> A </Name><Value type="unsignedInt">1</Value></ParameterValueStruct></ParameterList>`, true},
		{"self-closed list", `<ParameterList/>`, false},
		{"reference", `<ParameterList><ParameterValueStruct><Name>A</Name><Value>a &amp; b</Value></ParameterValueStruct></ParameterList>`, false},
		{"bare ampersand", `<ParameterList><ParameterValueStruct><Name>A</Name><Value>a & b</Value></ParameterValueStruct></ParameterList>`, false},
		{"CDATA", `<ParameterList><ParameterValueStruct><Name>A</Name><Value><![CDATA[v]]></Value></ParameterValueStruct></ParameterList>`, false},
		{"comment", `<ParameterList><!-- ` + entry + ` -->` + entry + `</ParameterList>`, false},
		{"list in a comment", `<!-- <ParameterList>` + entry + `</ParameterList> -->`, false},
		{"value first", `<ParameterList><ParameterValueStruct><Value>v</Value><Name>A</Name></ParameterValueStruct></ParameterList>`, false},
		{"Latin-1", "<ParameterList><ParameterValueStruct><Name>A</Name><Value>Gr\xfc\xdfe</Value></ParameterValueStruct></ParameterList>", false},
		{"control character", "<ParameterList><ParameterValueStruct><Name>A</Name><Value>a\x02b</Value></ParameterValueStruct></ParameterList>", false},
		{"carriage return in a value", "<ParameterList><ParameterValueStruct><Name>A</Name><Value>a\r\nb</Value></ParameterValueStruct></ParameterList>", false},
		{"length in the type", `<ParameterList><ParameterValueStruct><Name>A</Name><Value xsi:type="xsd:string(64)">v</Value></ParameterValueStruct></ParameterList>`, false},
		{"two lists", `<ParameterList>` + entry + `</ParameterList><ParameterList>` + entry + `</ParameterList>`, false},
		{"elsewhere", `<Other><ParameterList>` + entry + `</ParameterList></Other>`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := cutBody(c.list)
			got := decodeCut(body)
			if (got != nil) != c.cut {
				t.Errorf("read by the scanner: %v, want %v", got != nil, c.cut)
			}
			want, err := decodeWhole(body)
			if got == nil {
				return
			}
			if err != nil {
				t.Fatalf("etree: %v", err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("etree and scanner differ (-etree +scanner):\n%s", d)
			}
		})
	}
}

func FuzzCutParameters(f *testing.F) {
	f.Add(cutBody(`<ParameterList><ParameterValueStruct><Name>A.B</Name><Value xsi:type="xsd:string">v</Value></ParameterValueStruct></ParameterList>`))
	f.Add(cutBody("<ParameterList a=\"b\">\r\n<ParameterValueStruct><Name xsi:type=\"xsd:string\"> A </Name><Value type=\"unsignedInt\"/></ParameterValueStruct></ParameterList>"))
	f.Fuzz(func(t *testing.T, body []byte) {
		got := decodeCut(body)
		if got == nil {
			return
		}
		want, err := decodeWhole(body)
		if err != nil {
			t.Fatalf("the scanner read what etree refuses: %v\n%q", err, body)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("etree and scanner differ:\n%s\n%q", d, body)
		}
	})
}
