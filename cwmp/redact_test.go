package cwmp

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// password tells secrets by a name as simple as the tests'.
func password(name string) bool { return strings.Contains(name, "Password") }

const hidden = "Geheim-Nr1"

// hiding are messages with a secret at %s, in every place where CPE and ACS have been seen to put one, or could.
var hiding = []string{
	// Values by the name beside them, before or after.
	`<SetParameterValues><ParameterList><ParameterValueStruct><Name>Device.ManagementServer.Password</Name><Value>%s</Value></ParameterValueStruct></ParameterList></SetParameterValues>`,
	`<SetParameterValues><ParameterList><ParameterValueStruct><Value xsi:type="xsd:string">%s</Value><Name> Device.X.Password </Name></ParameterValueStruct></ParameterList></SetParameterValues>`,
	`<GetParameterValuesResponse><ParameterList><ParameterValueStruct><Name>Device.X.Password</Name><Value><![CDATA[%s]]></Value></ParameterValueStruct></ParameterList></GetParameterValuesResponse>`,
	`<GetParameterValuesResponse><ParameterList><ParameterValueStruct><Name>Device.A.B</Name><Name>Device.X.Password</Name><Value>%s</Value></ParameterValueStruct></ParameterList></GetParameterValuesResponse>`,
	`<GetParameterValuesResponse><ParameterList><ParameterValueStruct><Value>%s</Value></ParameterValueStruct></ParameterList></GetParameterValuesResponse>`,
	`<GetParameterValuesResponse><ParameterList><ParameterValueStruct><Name>Device.X.Password</Name><Value>a<b>%s</b></Value></ParameterValueStruct></ParameterList></GetParameterValuesResponse>`,
	`<GetParameterValuesResponse><ParameterList><ParameterValueStruct><Name>Device.X.Password</Name><Value><Name>Device.A.%s</Name></Value></ParameterValueStruct></ParameterList></GetParameterValuesResponse>`,
	`<GetParameterValuesResponse><ParameterList><ParameterValueStruct><Name>Device.X.<b/>Password</Name><Value>%s</Value></ParameterValueStruct></ParameterList></GetParameterValuesResponse>`,
	`<GetParameterValuesResponse><ParameterList><ParameterValueStruct><Name>Device.X.Password=%s</Name><Value>1</Value></ParameterValueStruct></ParameterList></GetParameterValuesResponse>`,
	`<GetParameterValuesResponse><ParameterList><ParameterValueStruct><Name>Device.X.Password</Name><Value>a & %s</Value></ParameterValueStruct></ParameterList></GetParameterValuesResponse>`,
	`<GetParameterValuesResponse><ParameterList><ParameterValueStruct><Name>Device.X.Password</Name><Value>%s`,
	// References, which stand apart from the name.
	`<GetParameterValuesResponse><ParameterList><ParameterValueStruct><Name>Device.X.Password</Name><Value href="#1"/></ParameterValueStruct></ParameterList></GetParameterValuesResponse><multiRef id="1">%s</multiRef>`,
	`<GetParameterValuesResponse><ParameterList><ParameterValueStruct href="#1"/></ParameterList></GetParameterValuesResponse><multiRef id="1"><Name href="#2"/><Value>%s</Value></multiRef>`,
	// Credentials of transfers.
	`<Download><Username>%s</Username></Download>`, `<Upload><Password>%s</Password></Upload>`,
	`<Download><URL>http://host/dir/file?signature=%s</URL></Download>`, `<Download><URL>http://u:%s@host/file</URL></Download>`,
	`<Download><URL>http://u&#58;%s@host/file</URL></Download>`, `<Download><SuccessURL>http://host/%s</SuccessURL></Download>`, `<Download><URL>%s</URL></Download>`,
	`<ChangeDUState><Operations><InstallOpStruct><URL>ftp://%s@host/</URL><Password>%s</Password></InstallOpStruct></Operations></ChangeDUState>`,
	`<SetParameterValues><ParameterList><ParameterValueStruct><Name>Device.IP.Diagnostics.DownloadDiagnostics.DownloadURL</Name><Value>http://a:%s@host/</Value></ParameterValueStruct></ParameterList></SetParameterValues>`,
	`<RequestDownload><FileTypeArg><ArgStruct><Name>Version</Name><Value>%s</Value></ArgStruct></FileTypeArg></RequestDownload>`,
	// What is quoted.
	`<Fault><faultcode>Client</faultcode><faultstring>%s</faultstring><detail><Fault><FaultCode>9007</FaultCode><FaultString>no %s</FaultString>` +
		`<SetParameterValuesFault><ParameterName>Device.X.Password: %s</ParameterName><FaultString>%s</FaultString></SetParameterValuesFault></Fault></detail></Fault>`,
	`<TransferComplete><FaultStruct><FaultString>%s</FaultString></FaultStruct></TransferComplete>`,
	// What belongs nowhere.
	`<!-- %s --><GetRPCMethods/>`, `<?hint %s?><GetRPCMethods/>`, `%s<GetRPCMethods/>`, `<X_Method><Arg>%s</Arg></X_Method>`, `<X_Method>%s</X_Method>`,
	`<GetRPCMethods password="%s"/>`, `<GetRPCMethodsResponse><MethodList><string>a %s</string></MethodList></GetRPCMethodsResponse>`,
	`<GetParameterNames><NextLevel><b>%s</b></NextLevel></GetParameterNames>`, `<string>%s</string>`, `</Body></Envelope>%s<Envelope><Body>`, `</Body></Envelope><Envelope><Body><ID>%s</ID>`,
}

func envelope(body, secret string) string {
	return `<?xml version="1.0"?><!-- start --><soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/" xmlns:cwmp="` + NamespaceV1_0 + `"><soap:Header><cwmp:ID soap:mustUnderstand="1">7</cwmp:ID></soap:Header>` +
		"<soap:Body>" + strings.ReplaceAll(body, "%s", secret) + "</soap:Body></soap:Envelope>"
}

// FuzzRedact: no secret is shown, wherever it stands, whatever is wrong with the message elsewhere.
func FuzzRedact(f *testing.F) {
	for kind := range hiding {
		f.Add(uint(kind), uint(0), "", "")
		f.Add(uint(kind), uint(40), "\x00", "text/xml; charset=iso-8859-1")
		f.Add(uint(kind), uint(200), "<br>", "")
		f.Add(uint(kind), uint(300), "&", "")
	}
	f.Fuzz(func(t *testing.T, kind, at uint, noise, contentType string) {
		if len(noise) > 16 || strings.ContainsFunc(noise, isLetter) && noise != "<br>" {
			return // it could change the names, or the secret's own
		}
		body := envelope(hiding[kind%uint(len(hiding))], hidden)
		if i := int(at % uint(len(body))); noise != "" && (strings.IndexByte("<>", body[i]) >= 0) {
			body = body[:i] + noise + body[i:]
		}
		if got, _ := redact(body, contentType, password); strings.Contains(got, hidden) {
			t.Fatalf("%s\n\nin %s", got, body)
		}
	})
}

func isLetter(r rune) bool { return r|0x20 >= 'a' && r|0x20 <= 'z' }

// TestRedactShows: what is no secret is there, and what was cut is told.
func TestRedactShows(t *testing.T) {
	for _, tt := range []struct{ body, want string }{
		{`<SetParameterValues><ParameterList soap:arrayType="cwmp:ParameterValueStruct[2]" note="x">
 <ParameterValueStruct><Name>Device.A.B</Name><Value xsi:type="xsd:string">a &amp; b</Value></ParameterValueStruct>
 <ParameterValueStruct><Name>Device.A.Password</Name><Value xsi:type="xsd:string">p</Value></ParameterValueStruct>
 <ParameterValueStruct><Name>Device.B.Password</Name><Value xsi:type="xsd:string"/></ParameterValueStruct></ParameterList><ParameterKey>k</ParameterKey></SetParameterValues>`,
			`<SetParameterValues><ParameterList soap:arrayType="cwmp:ParameterValueStruct[2]" note="[cut]">
 <ParameterValueStruct><Name>Device.A.B</Name><Value xsi:type="xsd:string">a &amp; b</Value></ParameterValueStruct>
 <ParameterValueStruct><Name>Device.A.Password</Name><Value xsi:type="xsd:string">[cut]</Value></ParameterValueStruct>
 <ParameterValueStruct><Name>Device.B.Password</Name><Value xsi:type="xsd:string"></Value></ParameterValueStruct></ParameterList><ParameterKey>k</ParameterKey></SetParameterValues>`},
		{`<Download><CommandKey>c</CommandKey><FileType>1 Firmware Upgrade Image</FileType><URL>http://host:80/f?s</URL><Username>u</Username><SuccessURL>http://host</SuccessURL><DelaySeconds>1</DelaySeconds></Download>`,
			`<Download><CommandKey>c</CommandKey><FileType>1 Firmware Upgrade Image</FileType><URL>http://host:80/[cut]</URL><Username>[cut]</Username><SuccessURL>http://host</SuccessURL><DelaySeconds>1</DelaySeconds></Download>`},
		{`<Fault><faultcode>Client</faultcode><detail><cwmp:Fault><FaultCode>9005</FaultCode><FaultString>bad</FaultString></cwmp:Fault></detail></Fault>`,
			`<Fault><faultcode>Client</faultcode><detail><cwmp:Fault><FaultCode>9005</FaultCode><FaultString>[cut]</FaultString></cwmp:Fault></detail></Fault>`},
		{`<GetParameterNames><ParameterPath>Device.</ParameterPath><NextLevel>1</NextLevel></GetParameterNames>`, ``},
		{`<GetParameterValues><ParameterNames><string>Device.A.</string><string>a b</string></ParameterNames></GetParameterValues>`,
			`<GetParameterValues><ParameterNames><string>Device.A.</string><string>[cut]</string></ParameterNames></GetParameterValues>`},
		{`<X_Do><It>now</It></X_Do>`, `<X_Do>[cut]</X_Do>`},
	} {
		if tt.want == "" {
			tt.want = tt.body
		}
		got, ok := redact(envelope(tt.body, ""), "", password)
		_, got, _ = strings.Cut(got, "<soap:Body>")
		if got, _, _ = strings.Cut(got, "</soap:Body>"); !ok || got != tt.want {
			t.Errorf("%s\nwant\n%s", got, tt.want)
		}
	}
}

// TestRedactReal: what real CPE have sent can be shown, and reads as the same message.
func TestRedactReal(t *testing.T) {
	files, err := filepath.Glob("../testdata/cwmp/*.xml")
	if err != nil || len(files) == 0 {
		t.Fatal(err, len(files))
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		was, err := Decode(b, "")
		if err != nil {
			t.Fatal(err)
		}
		text, ok := redact(string(b), "", password)
		is, err := Decode([]byte(text), "")
		if !ok || err != nil || is.ID != was.ID || is.Body.Name() != was.Body.Name() || is.Namespace != was.Namespace {
			t.Errorf("%s: %v %v: %+v, was %+v", file, ok, err, is, was)
		}
	}
}

// TestRedactBounds: a message of references or of brackets takes no more than a few times its size.
func TestRedactBounds(t *testing.T) {
	long := strings.Repeat("<![CDATA[<<<<]]>", 1<<14)
	refs := strings.Repeat(`<Event href="#1"/>`, 1<<10)
	body := envelope("<Inform>"+refs+"</Inform><multiRef id=\"1\"><CommandKey>"+long+"</CommandKey></multiRef>", "")
	if got, ok := redact(body, "", password); !ok || len(got) > 6*len(body) {
		t.Errorf("%v: %d bytes of %d", ok, len(got), len(body))
	}
	if _, ok := redact(strings.Repeat("<a>", 1000), "", password); ok {
		t.Error("what is no message is shown")
	}
}
