package admin

import (
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// talks is a fakeCaptures whose CPE says much.
type talks struct{ fakeCaptures }

func (f *talks) StartCapture(id string, d time.Duration) (time.Time, error) {
	_, err := f.fakeCaptures.StartCapture(id, d)
	return time.Now().Add(d), err
}

func (f *talks) Captured(id string, after int) (*Capture, bool) {
	c := &Capture{Until: time.Now().Add(f.d), Dropped: 1234}
	for seq := after + 1; seq <= captureShown+2; seq++ {
		c.Messages = append(c.Messages, Message{Seq: seq, FromCPE: seq%2 == 1, Remote: "192.0.2.1:7", Method: "POST", Path: "/acs<", Status: 204})
	}
	if after == 0 {
		c.Messages[0].Size, c.Messages[0].Headers = 5000, map[string]string{"Cookie": "[cut]"}
		c.Messages[0].Body = `<s:Envelope><s:Body id="1"><cwmp:Inform><Name><script>x</script></Name></cwmp:Inform></s:Body></s:Envelope>`
	}
	return c, id == f.id
}

// TestCapturePage: a person starts a capture, sees it in pages, has it go on and stops it, by forms that only our pages have; both are in the audit log.
func TestCapturePage(t *testing.T) {
	var log strings.Builder
	f := &talks{}
	site := start(t, Options{Captures: f, Log: slog.New(slog.NewTextHandler(&log, nil))})
	c := browser(t)
	const id, at = "ops::001122-GW-a%20b", "/devices/ops::001122-GW-a%2520b/capture"
	look := func(at string, status int, want ...string) string {
		t.Helper()
		got, text := page(t, c, site+at)
		if got != status {
			t.Errorf("%s: %d", at, got)
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s lacks %q:\n%s", at, w, text)
			}
		}
		return text
	}
	look("/devices/ops::001122-GW-a%2520b", http.StatusOK, `href="`+at+`"`)
	look("/devices/none/capture", http.StatusNotFound, "There is no device none")
	text := look(at, http.StatusOK, "Nothing is captured", ">Start<")
	if strings.Contains(text, "/stop") {
		t.Error("what has not begun can be stopped")
	}
	of := url.Values{csrfField: {regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(text)[1]}}
	with := func(name, value string) url.Values { return url.Values{csrfField: of[csrfField], name: {value}} }
	for _, tt := range []struct {
		path   string
		fields url.Values
		want   int
		says   string
		d      time.Duration // of the capture afterwards, 0 if there is none
	}{
		{at + "/start", nil, http.StatusForbidden, "the form is too old", 0},
		{at + "/start", with("for", "2h"), http.StatusBadRequest, "of an hour at most", 0},
		{"/devices/os::none/capture/start", of, http.StatusNotFound, "There is no device", 0},
		{at + "/start", of, http.StatusSeeOther, "", defaultCapture},
		{at + "/start", with("for", "1h"), http.StatusSeeOther, "", time.Hour},
		{"/devices/os::001122-3/capture/start", of, http.StatusConflict, `role="alert">too many`, time.Hour},
		{at + "/stop", nil, http.StatusForbidden, "the form is too old", time.Hour},
		{"/devices/os::001122-3/refresh", with("from", "capture"), http.StatusSeeOther, "", time.Hour},
	} {
		if status, text := form(t, c, site+tt.path, tt.fields); status != tt.want || !strings.Contains(text, tt.says) || f.id != "" != (tt.d != 0) || f.id != "" && f.d != tt.d {
			t.Errorf("%s %v: %d %s, want %d %q", tt.path, tt.fields, status, text, tt.want, tt.says)
		}
	}
	text = look(at, http.StatusOK, "Captured until", "<strong>Inform</strong>", "5\u202f000 bytes", "1\u202f234 messages had to give way", "204 No Content", "POST /acs&lt;",
		"<dt>Cookie</dt><dd><code>[cut]</code></dd>", "&lt;Name&gt;\n&lt;script&gt;x&lt;/script&gt;&lt;/Name&gt;", `href="`+at+`?after=50" rel="next"`, ">Go on<", `href="/api/v1`+at+`"`)
	if n := strings.Count(text, "<details>"); n != captureShown {
		t.Errorf("%d messages on a page", n)
	}
	text = look(at+"?after=50", http.StatusOK, `href="`+at+`">First messages`)
	if n := strings.Count(text, "<details>"); n != 2 || strings.Contains(text, `rel="next"`) {
		t.Errorf("%d messages on the last page", n)
	}
	look(at+"?after=52", http.StatusOK, "Nothing has come since")
	look(at+"?after=x", http.StatusBadRequest, "the seq of a message")
	f.d = -time.Second
	look(at, http.StatusOK, "The capture ended at", "kept for ten minutes")
	for range 2 { // the second is pressed on a page that is old
		if status, text := form(t, c, site+at+"/stop", of); status != http.StatusSeeOther || f.id != "" {
			t.Errorf("stop: %d %s", status, text)
		}
	}
	if status, _ := page(t, c, site+at+"/start"); status != http.StatusMethodNotAllowed {
		t.Errorf("a GET that starts a capture: %d", status)
	}
	for _, what := range []string{`"start capture" for=5m0s`, `"start capture" for=1h0m0s`, `"stop capture"`} {
		if strings.Count(log.String(), "action="+what+" device="+id) != 1 {
			t.Errorf("the log lacks %s:\n%s", what, log.String())
		}
	}
}

func TestBodyName(t *testing.T) {
	for body, want := range map[string]string{
		"": "", "<Body>": "", "[cut]": "",
		"<soapenv:Envelope>\n<soapenv:Body>\n<cwmp:GetParameterValues>": "GetParameterValues",
		`<Envelope xmlns="x"><Body a="b"><Fault/></Body></Envelope>`:    "Fault",
		"<Bodyguard><x></Bodyguard>":                                    "",
		"<s:Body><" + strings.Repeat("x", 100) + ">":                    strings.Repeat("x", 64),
	} {
		if got := bodyName(Message{Body: body}); got != want {
			t.Errorf("%q is %q, want %q", body, got, want)
		}
	}
}
