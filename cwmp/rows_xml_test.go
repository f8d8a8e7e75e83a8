package cwmp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The tests of this file and of rows_http_test.go are named by the rows of quirks that they are for: X is XML and SOAP, H HTTP, S sessions.

// soap is a message with a Body in the form that real CPE use most.
func soap(body string) []byte {
	return []byte(`<?xml version="1.0" encoding="UTF-8"?><SOAP-ENV:Envelope xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/"` +
		` xmlns:cwmp="urn:dslforum-org:cwmp-1-0"><SOAP-ENV:Header><cwmp:ID>1</cwmp:ID></SOAP-ENV:Header><SOAP-ENV:Body>` + body +
		`</SOAP-ENV:Body></SOAP-ENV:Envelope>`)
}

func decoded(t *testing.T, b []byte) *Envelope {
	t.Helper()
	e, err := Decode(b, "")
	if err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return e
}

// values reads a message that has the given entries in its ParameterList.
func values(t *testing.T, entries string) ([]ParameterValueStruct, *Envelope) {
	t.Helper()
	e := decoded(t, soap("<cwmp:GetParameterValuesResponse><ParameterList>"+entries+"</ParameterList></cwmp:GetParameterValuesResponse>"))
	return e.Body.(*GetParameterValuesResponse).ParameterList, e
}

func one(name, value, attrs string) string {
	return "<ParameterValueStruct><Name>" + name + "</Name><Value" + attrs + ">" + value + "</Value></ParameterValueStruct>"
}

func wantValue(t *testing.T, entry string, want ParameterValueStruct) {
	t.Helper()
	got, _ := values(t, entry)
	if d := cmp.Diff([]ParameterValueStruct{want}, got); d != "" {
		t.Errorf("%s: %s", entry, d)
	}
}

func TestX1_Charset(t *testing.T) {
	latin1 := one("Device.SSID", "caf\xe9", "")
	wantValue(t, latin1, ParameterValueStruct{Name: "Device.SSID", Value: "café"}) // a lie in the declaration
	text := soap("<cwmp:GetParameterValuesResponse><ParameterList>" + one("Device.SSID", "\xc4\xe3", "") +
		"</ParameterList></cwmp:GetParameterValuesResponse>")
	text = bytes.Replace(text, []byte("UTF-8"), []byte("GBK"), 1)
	if v := decoded(t, text).Body.(*GetParameterValuesResponse).ParameterList[0].Value; v != "你" {
		t.Errorf("GBK: %q", v)
	}
}

func TestX2_ForbiddenCharacters(t *testing.T) {
	wantValue(t, one("Device.A", "a\x02b & c&#1;", ""), ParameterValueStruct{Name: "Device.A", Value: "ab & c"})
	padded := append(soap("<cwmp:RebootResponse></cwmp:RebootResponse>"), 0, 0, 0)
	if e := decoded(t, padded); e.Body.Name() != "RebootResponse" {
		t.Error(e.Body)
	}
}

func TestX3_Prefixes(t *testing.T) {
	for _, p := range []string{"SOAP-ENV:", "soap-env:", "soapenv:", "soap_env:", "s:", ""} {
		b := bytes.ReplaceAll(soap("<cwmp:RebootResponse></cwmp:RebootResponse>"), []byte("SOAP-ENV:E"), []byte(p+"E"))
		b = bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("SOAP-ENV:H"), []byte(p+"H")), []byte("SOAP-ENV:B"), []byte(p+"B"))
		if e := decoded(t, b); e.Body == nil || e.Body.Name() != "RebootResponse" || e.ID != "1" {
			t.Errorf("%q: %+v", p, e)
		}
	}
	e := decoded(t, []byte(`<Envelope><Body><RebootResponse xmlns="urn:dslforum-org:cwmp-1-1"></RebootResponse></Body></Envelope>`))
	if e.Namespace != NamespaceV1_1 {
		t.Errorf("default namespace: %+v", e)
	}
}

func TestX4_UndeclaredPrefix(t *testing.T) {
	e := decoded(t, soap("<soap:Fault><detail><nobody:Fault><FaultCode>9005</FaultCode></nobody:Fault></detail></soap:Fault>"))
	if f, ok := e.Body.(*Fault); !ok || f.Code != FaultInvalidParameterName {
		t.Errorf("%+v", e.Body)
	}
}

func TestX5_OldSchemaNamespace(t *testing.T) {
	wantValue(t, one("Device.A", "1", ` xmlns:x="http://www.w3.org/1999/XMLSchema-instance" x:type="xsd:int"`),
		ParameterValueStruct{Name: "Device.A", Value: "1", Type: "int"})
}

// TestX6_Namespace and TestX7_AnswerInTheCPEsNamespace: TestServerVersions has every namespace, and what it is answered in.
func TestX6_Namespace(t *testing.T) {
	for _, ns := range []string{NamespaceV1_0, NamespaceV1_2, "urn:vendor-com:cwmp", ""} {
		b := bytes.ReplaceAll(soap("<cwmp:RebootResponse></cwmp:RebootResponse>"), []byte(NamespaceV1_0), []byte(ns))
		if e := decoded(t, b); e.Body.Name() != "RebootResponse" {
			t.Errorf("%q: %+v", ns, e)
		}
	}
}

func TestX7_AnswerInTheCPEsNamespace(t *testing.T) {
	for ns, want := range map[string]string{NamespaceV1_1: NamespaceV1_1, "": NamespaceV1_0, "urn:vendor": NamespaceV1_0} {
		b, err := Encode(&Envelope{Namespace: ns, Body: &InformResponse{}})
		if err != nil || !bytes.Contains(b, []byte(`xmlns:cwmp="`+want+`"`)) {
			t.Errorf("%q: %v %s", ns, err, b)
		}
	}
}

// TestX8_9_10_PlainOutput: the prefixes that CPE look for, no declaration, no comment, no CDATA, nothing that closes itself.
func TestX8_9_10_PlainOutput(t *testing.T) {
	b, err := Encode(&Envelope{ID: "1", Namespace: NamespaceV1_0, Body: &SetParameterValues{ParameterKey: "<&>\"'",
		ParameterList: []ParameterValueStruct{{Name: "Device.A", Value: "", Type: "string"}}}})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(b, []byte("<SOAP-ENV:Envelope ")) {
		t.Errorf("begins %.40s", b)
	}
	for _, not := range []string{"<?", "/>", "<!", "='", "\n", "\t", "  "} {
		if bytes.Contains(b, []byte(not)) {
			t.Errorf("%q in %s", not, b)
		}
	}
	for _, prefix := range []string{"SOAP-ENV", "SOAP-ENC", "cwmp", "xsd", "xsi"} {
		if !bytes.Contains(b, []byte(" xmlns:"+prefix+`="`)) {
			t.Errorf("no %s in %s", prefix, b)
		}
	}
}

func TestX11_CDATA(t *testing.T) {
	wantValue(t, one("Device.Log", "a<![CDATA[<b>&]]>c", ` xsi:type="xsd:string"`), ParameterValueStruct{Name: "Device.Log", Value: "a<b>&c", Type: "string"})
}

func TestX12_ID(t *testing.T) {
	for header, want := range map[string]string{
		"":                       "",
		"<H><ID></ID></H>":       "",
		"<H><ID> 7 </ID></H>":    "7",
		"<Header></Header>":      "",
		"<Header><ID/></Header>": "",
	} {
		e := decoded(t, []byte("<Envelope>"+strings.ReplaceAll(header, "H>", "Header>")+"<Body><RebootResponse></RebootResponse></Body></Envelope>"))
		if e.ID != want || e.Body == nil {
			t.Errorf("%s: %+v", header, e)
		}
	}
	got := make(chan error, 1)
	_, addr := start(t, &acs{run: readOne(got)}, nil)
	c := dial(t, addr)
	c.inform("")
	c.empty().want(t, "GetParameterValues")
	c.post("of another session", &GetParameterValuesResponse{}).wantStatus(t, 204)
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func TestX13_HeaderCase(t *testing.T) {
	for _, name := range []string{"SessionTimeout", "sessionTimeout", "SESSIONTIMEOUT"} {
		b := bytes.Replace(soap("<cwmp:Inform></cwmp:Inform>"), []byte("<cwmp:ID>1</cwmp:ID>"), fmt.Appendf(nil, "<cwmp:%[1]s> 40 </cwmp:%[1]s>", name), 1)
		if e := decoded(t, b); e.SessionTimeout != 40*time.Second {
			t.Errorf("%s: %v", name, e.SessionTimeout)
		}
	}
}

func TestX14_ArrayType(t *testing.T) {
	for _, attrs := range []string{`SOAP-ENC:arrayType="cwmp:ParameterValueStruct[16]"`, `SOAP-ENC:arrayType="x[0]"`, `arrayType="[0008]"`, "", `xsi:type="SOAP-ENC:Array"`} {
		e := decoded(t, soap("<cwmp:GetParameterValuesResponse><ParameterList "+attrs+">"+one("Device.A", "1", "")+one("Device.B", "2", "")+
			"</ParameterList></cwmp:GetParameterValuesResponse>"))
		if n := len(e.Body.(*GetParameterValuesResponse).ParameterList); n != 2 {
			t.Errorf("%s: %d entries", attrs, n)
		}
	}
	b, err := Encode(&Envelope{Body: &GetParameterValues{ParameterNames: []string{"a", "b", "c"}}})
	if err != nil || !bytes.Contains(b, []byte(`SOAP-ENC:arrayType="xsd:string[3]"`)) {
		t.Errorf("%v %s", err, b)
	}
}

func TestX15_Types(t *testing.T) {
	for attr, want := range map[string]string{
		"": "", ` xsi:type="xsd:"`: "", ` xsi:type="object"`: "object", ` xsi:type="xsd:string(256)"`: "string",
		` xsi:type="nobody:unsignedInt"`: "unsignedInt", ` type="int"`: "int", ` xsi:type="xsd:Boolean"`: "Boolean",
	} {
		wantValue(t, one("Device.A", "1", attr), ParameterValueStruct{Name: "Device.A", Value: "1", Type: want})
	}
}

func TestX16_EntriesWithoutValueOrName(t *testing.T) {
	got, e := values(t, "<ParameterValueStruct><Name>Device.A</Name></ParameterValueStruct>"+one("", "1", "")+one("Device.B", "2", ""))
	if d := cmp.Diff([]ParameterValueStruct{{Name: "Device.B", Value: "2"}}, got); d != "" || e.Skipped != 2 {
		t.Errorf("%d skipped: %s", e.Skipped, d)
	}
}

// X17 and X18, the forms of values, are translate/datamodel's.

func TestX19_Times(t *testing.T) {
	want := time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2026-11-22T20:00:00": want, "2026-11-22T20:00:00+00:00": want, "2026-11-22T15:00:00-0500": want, "2026-11-22T20:00:00.000Z": want,
		" 2026-11-22 20:00:00 ": want, "Unknown Time": {}, "": {}, "0001-01-01T00:00:00Z": {}, "yesterday": {},
	} {
		e := decoded(t, soap("<cwmp:Inform><CurrentTime>"+text+"</CurrentTime></cwmp:Inform>"))
		if got := e.Body.(*Inform).CurrentTime; !got.Equal(want) {
			t.Errorf("%q: %v", text, got)
		}
	}
	b, err := Encode(&Envelope{Body: &Inform{CurrentTime: want.Add(time.Millisecond)}})
	if err != nil || !bytes.Contains(b, []byte("2026-11-22T20:00:00Z")) {
		t.Errorf("%v %s", err, b)
	}
}

func TestX20_Names(t *testing.T) {
	wantValue(t, one("\n  Device.A \t", " 1 ", ""), ParameterValueStruct{Name: "Device.A", Value: " 1 "})
	wantValue(t, one("Device.X_A&amp;B%20", "1", ""), ParameterValueStruct{Name: "Device.X_A&B%20", Value: "1"})
}

func TestX21_Faults(t *testing.T) {
	const spv = "<SetParameterValuesFault><ParameterName> Device.A </ParameterName><FaultCode>9008</FaultCode></SetParameterValuesFault>"
	for text, want := range map[string]*Fault{
		"<faultcode>Client</faultcode><faultstring>CWMP fault</faultstring><detail><cwmp:Fault><FaultCode>9003</FaultCode><FaultString>Invalid arguments</FaultString>" + spv + "</cwmp:Fault></detail>": {
			Code: 9003, String: "Invalid arguments", Params: []ParameterFault{{Name: "Device.A", Code: 9008}}},
		"<faultstring>CWMP fault<detail><Fault><FaultCode>9005</FaultCode></Fault></detail></faultstring>": {Code: 9005},
		"<faultcode>9004</faultcode><faultstring>Out of memory</faultstring>":                              {Code: 9004, String: "Out of memory"},
		"<faultcode>Server</faultcode><faultstring>No</faultstring>":                                       {Code: 9002, String: "No"},
		"<detail><Fault><FaultCode>0</FaultCode></Fault></detail>":                                         {Code: 9002},
		"": {Code: 9002},
	} {
		f, ok := decoded(t, soap("<SOAP-ENV:Fault>"+text+"</SOAP-ENV:Fault>")).Body.(*Fault)
		if !ok || f.Code != want.Code || want.String != "" && f.String != want.String || cmp.Diff(want.Params, f.Params) != "" {
			t.Errorf("%s: %+v", text, f)
		}
	}
}

func TestX22_OneEnvelope(t *testing.T) {
	two := append(soap("<cwmp:RebootResponse></cwmp:RebootResponse>"), soap("<cwmp:FactoryResetResponse></cwmp:FactoryResetResponse>")...)
	if e := decoded(t, two); e.Body.Name() != "RebootResponse" {
		t.Error(e.Body)
	}
	m := testInform()
	m.MaxEnvelopes = 7
	_, addr := start(t, &acs{}, nil)
	r := dial(t, addr).post("1", m)
	r.want(t, "InformResponse")
	if n := r.env.Body.(*InformResponse).MaxEnvelopes; n != 1 {
		t.Error("MaxEnvelopes", n)
	}
}

func TestX23_References(t *testing.T) {
	e := decoded(t, soap(`<cwmp:Inform><DeviceId href="#1"/><ParameterList><ParameterValueStruct href="#2"/>`+
		`<ParameterValueStruct><Name>Device.B</Name><Value href="#3"/></ParameterValueStruct><ParameterValueStruct href="#none"/></ParameterList></cwmp:Inform>`+
		`<multiRef id="1"><OUI>00AA11</OUI><SerialNumber>S1</SerialNumber></multiRef>`+
		`<multiRef id="2"><Name>Device.A</Name><Value xsi:type="xsd:int">1</Value></multiRef>`+
		`<multiRef id="3" xsi:type="xsd:string">two</multiRef>`))
	want := &Inform{DeviceId: DeviceID{OUI: "00AA11", SerialNumber: "S1"},
		ParameterList: []ParameterValueStruct{{Name: "Device.A", Value: "1", Type: "int"}, {Name: "Device.B", Value: "two", Type: "string"}}}
	if d := cmp.Diff(want, e.Body); d != "" || e.Skipped != 1 {
		t.Errorf("%d skipped: %s", e.Skipped, d)
	}
	circle := soap(`<cwmp:Fault><a href="#1"/></cwmp:Fault><m id="1"><b href="#2"/></m><m id="2"><FaultCode>9005</FaultCode><c href="#1"/></m>`)
	if f, ok := decoded(t, circle).Body.(*Fault); !ok || f.Code != 9005 {
		t.Error("a circle of references")
	}
	bomb := `<Fault><a href="#0"/></Fault>`
	for i := range 40 {
		bomb += fmt.Sprintf(`<m id="%d"><b href="#%d"/><b href="#%d"/></m>`, i, i+1, i+1)
	}
	if _, err := Decode(soap(bomb), ""); !errors.Is(err, ErrLimit) {
		t.Errorf("a bomb of references: %v", err)
	}
}

// TestX24_HugeMessages: within the limits they are read, beyond them the session ends: TestServerLargeAnswer, TestServerBodyOverLimitInSession.
func TestX24_HugeMessages(t *testing.T) {
	const megabyte = 1 << 20
	got := make(chan int, 1)
	h := &acs{run: func(ctx context.Context, s *Session) {
		r, err := Call(ctx, s, &GetParameterValues{ParameterNames: []string{"Device."}})
		if err != nil {
			t.Error(err)
		}
		got <- len(r.ParameterList)
	}}
	_, addr := start(t, h, nil)
	c := dial(t, addr)
	c.inform("1")
	r := c.empty()
	big := &GetParameterValuesResponse{ParameterList: []ParameterValueStruct{{Name: "Device.DeviceInfo.VendorLogFile.1.X_Log", Value: strings.Repeat("x", megabyte)}}}
	for i := range 50_000 {
		big.ParameterList = append(big.ParameterList, ParameterValueStruct{Name: fmt.Sprintf("Device.Hosts.Host.%d.HostName", i), Value: "host", Type: "string"})
	}
	c.post(r.env.ID, big).wantStatus(t, 204)
	if n := <-got; n != len(big.ParameterList) {
		t.Errorf("%d values", n)
	}
}
