package cwmp

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const cutMessage = `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:cwmp="urn:dslforum-org:cwmp-1-2"><s:Header><cwmp:ID>1</cwmp:ID></s:Header>` +
	`<s:Body><cwmp:GetParameterValuesResponse>%LIST%</cwmp:GetParameterValuesResponse></s:Body></s:Envelope>`

func cutBody(list string) []byte {
	return bytes.Replace([]byte(cutMessage), []byte("%LIST%"), []byte(list), 1)
}

// What the scanner takes and what etree takes must be the same message; what is odd is left to etree.
func TestScannerAgreesWithEtree(t *testing.T) {
	const entry = `<ParameterValueStruct><Name>A.B</Name><Value xsi:type="xsd:string">v</Value></ParameterValueStruct>`
	for _, c := range []struct {
		name, list string
		scanned    bool
	}{
		{"usual", `<ParameterList SOAP-ENC:arrayType="cwmp:ParameterValueStruct[2]">` + entry + "\r\n  " + entry + `</ParameterList>`, true},
		{"empty", `<ParameterList></ParameterList>`, true},
		{"self-closed value", `<ParameterList><ParameterValueStruct><Name>A</Name><Value xsi:type="xsd:string"/></ParameterValueStruct></ParameterList>`, true},
		{"no type", `<ParameterList><ParameterValueStruct><Name>A</Name><Value> v </Value></ParameterValueStruct></ParameterList>`, true},
		{"no value", `<ParameterList><ParameterValueStruct><Name>A</Name></ParameterValueStruct></ParameterList>`, true},
		{"no name", `<ParameterList><ParameterValueStruct><Value>v</Value></ParameterValueStruct></ParameterList>`, true},
		{"UTF-8", `<ParameterList><ParameterValueStruct><Name>A</Name><Value>Grüße</Value></ParameterValueStruct></ParameterList>`, true},
		{"typed name", `<ParameterList><ParameterValueStruct><Name xsi:type="xsd:string"> A </Name><Value type="unsignedInt">1</Value></ParameterValueStruct></ParameterList>`, true},
		{"self-closed list", `<ParameterList/>`, true},
		{"reference", `<ParameterList><ParameterValueStruct><Name>A</Name><Value>a &amp;amp; &lt;b&gt; &quot;&apos;</Value></ParameterValueStruct></ParameterList>`, true},
		{"character reference", `<ParameterList><ParameterValueStruct><Name>A</Name><Value>a&#10;b</Value></ParameterValueStruct>` + entry + `</ParameterList>`, true},
		{"bare ampersand", `<ParameterList><ParameterValueStruct><Name>A</Name><Value>a & b</Value></ParameterValueStruct></ParameterList>`, false},
		{"CDATA", `<ParameterList><ParameterValueStruct><Name>A</Name><Value><![CDATA[v]]></Value></ParameterValueStruct>` + entry + `</ParameterList>`, true},
		{"end in CDATA", `<ParameterList><ParameterValueStruct><Name>A</Name><Value><![CDATA[</ParameterValueStruct>]]></Value></ParameterValueStruct></ParameterList>`, false},
		{"comment in an entry", `<ParameterList><ParameterValueStruct><Name>A</Name><!-- </ParameterValueStruct> --><Value>v</Value></ParameterValueStruct></ParameterList>`, false},
		{"entry in an entry", `<ParameterList><ParameterValueStruct>` + entry + `</ParameterValueStruct></ParameterList>`, false},
		{"value by reference", `<ParameterList><ParameterValueStruct><Name>A</Name><Value href="#1"/></ParameterValueStruct></ParameterList>`, false},
		{"comment", `<ParameterList><!-- ` + entry + ` -->` + entry + `</ParameterList>`, false},
		{"list in a comment", `<!-- <ParameterList>` + entry + `</ParameterList> -->`, false},
		{"value first", `<ParameterList><ParameterValueStruct><Value>v</Value><Name>A</Name></ParameterValueStruct></ParameterList>`, true},
		{"Latin-1", "<ParameterList><ParameterValueStruct><Name>A</Name><Value>Gr\xfc\xdfe</Value></ParameterValueStruct></ParameterList>", false},
		{"control character", "<ParameterList><ParameterValueStruct><Name>A</Name><Value>a\x02b</Value></ParameterValueStruct></ParameterList>", false},
		{"carriage return in a value", "<ParameterList><ParameterValueStruct><Name>A</Name><Value>a\r\nb</Value></ParameterValueStruct></ParameterList>", true},
		{"length in the type", `<ParameterList><ParameterValueStruct><Name>A</Name><Value xsi:type="xsd:string(64)">v</Value></ParameterValueStruct></ParameterList>`, true},
		{"prefixed list", `<x:ParameterList>` + entry + `</x:ParameterList>`, true},
		{"prefixed entry", `<ParameterList><x:ParameterValueStruct><x:Name>A</x:Name><Value>v</Value></x:ParameterValueStruct></ParameterList>`, true},
		{"entries of two kinds", `<ParameterList>` + entry + `<Other><Name>A</Name><Value>v</Value></Other></ParameterList>`, false},
		{"member of a longer name", `<ParameterList><ParameterValueStruct><Names>A</Names><Value>v</Value></ParameterValueStruct></ParameterList>`, true},
		{"end of CDATA", `<ParameterList><ParameterValueStruct><Name>A</Name><Value>]]></Value></ParameterValueStruct></ParameterList>`, false},
		{"brackets", `<ParameterList><ParameterValueStruct><Name>A</Name><Value>[[]]&gt;</Value></ParameterValueStruct></ParameterList>`, true},
		{"text beside an element", `<ParameterList/> text`, false},
		{"attributes apart", `<ParameterList  a="1"` + "\n" + `b:c="d"  />`, true},
		{"attributes in a row", `<ParameterList a="1"b="2"/>`, false},
		{"attribute in single quotes", `<ParameterList a='1'/>`, false},
		{"attribute twice", `<ParameterList a="1" a="2"/>`, true},
		{"attribute with an entity", `<ParameterList a="&lt;&amp;"/>`, true},
		{"attribute with a tag", `<ParameterList a="<"/>`, false},
		{"reference to another element", `<ParameterList href="#1"/>`, false},
		{"another end tag", `<ParameterList></parameterList>`, false},
		{"processing instruction", `<?a b?><ParameterList/>`, false},
		{"17 attributes", `<ParameterList` + strings.Repeat(` a="1"`, 17) + `/>`, true}, // one, said again and again
		{"names", `<ParameterList><ParameterInfoStruct><Name>A.</Name><Writable>1</Writable></ParameterInfoStruct></ParameterList>`, false},
		{"two lists", `<ParameterList>` + entry + `</ParameterList><ParameterList>` + entry + `</ParameterList>`, false},
		{"elsewhere", `<Other><ParameterList>` + entry + `</ParameterList></Other>`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := cutBody(c.list)
			got := scan(string(body))
			if (got != nil) != c.scanned {
				t.Errorf("read by the scanner: %v, want %v", got != nil, c.scanned)
			}
			want, err := decodeWhole(string(body))
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

// Lists of names are in another message than values.
func TestScannerReadsNames(t *testing.T) {
	body := []byte(`<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:c="urn:dslforum-org:cwmp-1-0"><s:Body><c:GetParameterNamesResponse>` +
		`<ParameterList soap:arrayType="c:ParameterInfoStruct[3]">` + "\r\n\t" + `<ParameterInfoStruct><Name>A.</Name><Writable>true</Writable></ParameterInfoStruct>` +
		`<ParameterInfoStruct><Name> A.B </Name></ParameterInfoStruct><ParameterInfoStruct><Name/><Writable>0</Writable></ParameterInfoStruct></ParameterList>` +
		"</c:GetParameterNamesResponse>\n</s:Body></s:Envelope>\n")
	got := scan(string(body))
	want, err := decodeWhole(string(body))
	if err != nil || got == nil {
		t.Fatal(got, err)
	}
	if d := cmp.Diff(want, got); d != "" || got.Skipped != 1 || len(got.Body.(*GetParameterNamesResponse).ParameterList) != 2 {
		t.Errorf("skipped %d, etree and scanner differ:\n%s", got.Skipped, d)
	}
}

// Nesting up to the limit is read, beyond it is an error, whoever reads.
func TestScannerDepth(t *testing.T) {
	for _, depth := range []int{maxDepth, maxDepth + 1} {
		body := []byte("<Envelope>" + strings.Repeat("<a>", depth-1) + strings.Repeat("</a>", depth-1) + "</Envelope>")
		if got := scan(string(body)); (got != nil) != (depth <= maxDepth) {
			t.Errorf("%d levels: read %v", depth, got != nil)
		}
		if _, err := Decode(body, ""); (err != nil) != (depth > maxDepth) {
			t.Errorf("%d levels: %v", depth, err)
		}
	}
}

func FuzzScan(f *testing.F) {
	seeds, err := filepath.Glob("../testdata/cwmp/*.xml")
	if err != nil || len(seeds) == 0 {
		f.Fatal("no seeds in testdata/cwmp", err)
	}
	for _, s := range seeds {
		b, err := os.ReadFile(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(cutBody(`<ParameterList><ParameterValueStruct><Name>A.B</Name><Value xsi:type="xsd:string">v</Value></ParameterValueStruct></ParameterList>`))
	f.Add(cutBody("<ParameterList a=\"b\">\r\n<ParameterValueStruct><Name xsi:type=\"xsd:string\"> A </Name><Value type=\"unsignedInt\"/></ParameterValueStruct></ParameterList>"))
	f.Add(cutBody(`<ParameterList><ParameterValueStruct><Name>A</Name><Value><![CDATA[v]]>&#65;</Value></ParameterValueStruct></ParameterList>`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got := scan(string(body))
		if got == nil {
			return
		}
		want, err := decodeWhole(string(body))
		if err != nil {
			t.Fatalf("the scanner read what etree refuses: %v\n%q", err, body)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("etree and scanner differ:\n%s\n%q", d, body)
		}
	})
}
