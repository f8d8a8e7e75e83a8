package admin

import (
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// TestHTML: each page is whole, says nothing unescaped, and needs nothing from elsewhere.
func TestHTML(t *testing.T) {
	at := start(t, Options{})
	c := browser(t)
	for path, want := range map[string][]string{
		"/":                          {"<h1>Fleet", "3 CPE", `href="/devices/os::001122-3"`, `href="/devices/ops::001122-GW-a%2520b"`, "a &lt;b&gt;reason&lt;/b&gt;"},
		"/?q=GW-1&state=":            {"GW-1", "Clear"},
		"/?q=nothing":                {"No CPE is like that"},
		"/?state=odd":                {"state must be one of"},
		"/devices/os::001122-3":      {`action="/devices/os::001122-3/quarantine"`, "2026-01-02 03:04:05Z", "No Controller has asked"},
		"/devices/none":              {"There is no device none"},
		"/sessions":                  {"192.0.2.1:7", "1 BOOT"},
		"/problems":                  {"Quarantined", `href="/devices/os::001122-3"`},
		"/traces/t3":                 {"no device has this trace"},
		"/api/v1/traces/t3":          {"no device has this trace"},
		"/api/v1/traces/T1":          {`{"endpoint_id":"ops::001122-GW-a%20b","exchange":{"trace_id":"t1",`},
		"/login":                     {`name="token"`},
		"/assets/style.css":          {"prefers-color-scheme"},
		"/assets/page.js":            {"search"},
		"/assets/icon.svg":           {"<svg"},
		"/assets/layout.html":        {"no such resource"},
		"/assets/..%2fpages.go":      {"no such resource"},
		"/devices/%3Cscript%3Ealert": {"There is no device &lt;script&gt;alert"},
	} {
		_, text := page(t, c, at+path)
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s lacks %q:\n%s", path, w, text)
			}
		}
		if strings.HasSuffix(path, ".svg") {
			continue
		}
		if away := regexp.MustCompile(`(?:src|href|action|url\()="?(?:https?:)?//[^"]*`).FindString(text); away != "" {
			t.Errorf("%s needs %s", path, away)
		}
	}
}

// TestTracedPage: the link of an exemplar leads to its exchange on the page of its device.
func TestTracedPage(t *testing.T) {
	at := start(t, Options{})
	c := browser(t)
	c.CheckRedirect = nil
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at+"/traces/T1", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if u := resp.Request.URL; err != nil || u.Path != "/devices/ops::001122-GW-a%20b" || u.Fragment != "trace-t1" || !strings.Contains(string(text), `id="trace-t1"`) {
		t.Errorf("it leads to %s (%v):\n%s", u, err, text)
	}
}

// TestActions: an action needs a POST that our page has made, is in the audit log, and says what came of it.
func TestActions(t *testing.T) {
	var log strings.Builder
	at := start(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	c := browser(t)
	_, text := page(t, c, at+"/devices/os::001122-3")
	found := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(text)
	if found == nil {
		t.Fatal("the forms carry no token")
	}
	of := url.Values{csrfField: {found[1]}}
	for _, tt := range []struct {
		path   string
		fields url.Values
		want   int
		says   string
	}{
		{"/devices/os::001122-3/quarantine", nil, http.StatusForbidden, "the form is too old"},
		{"/devices/os::001122-3/quarantine", of, http.StatusSeeOther, ""},
		{"/devices/os::001122-3/connection-request", of, http.StatusConflict, "the CPE cannot be reached"},
		{"/devices/os::001122-3/forget", of, http.StatusConflict, "in a session"},
		{"/devices/none/refresh", of, http.StatusNotFound, "There is no device"},
		{"/devices/os::001122-3/explode", of, http.StatusNotFound, ""},
		{"/api/v1/devices/os::001122-3/release", of, http.StatusOK, "done"},
		{"/api/v1/devices/os::001122-3/release", nil, http.StatusForbidden, "the form is too old"},
		{"/api/v1/devices/os::001122-3/forget", of, http.StatusConflict, "in a session"},
		{"/api/v1/devices/os::001122-3/connection-request", of, http.StatusBadGateway, "cannot be reached"},
		{"/api/v1/devices/none/refresh", of, http.StatusNotFound, "no device"},
		{"/api/v1/devices/os::001122-3/explode", of, http.StatusNotFound, "no such resource"},
	} {
		if status, text := form(t, c, at+tt.path, tt.fields); status != tt.want || !strings.Contains(text, tt.says) {
			t.Errorf("%s: %d %s, want %d %q", tt.path, status, text, tt.want, tt.says)
		}
	}
	if status, _ := page(t, c, at+"/api/v1/devices/os::001122-3/refresh"); status != http.StatusMethodNotAllowed {
		t.Errorf("a GET that does something: %d", status)
	}
	for _, line := range []string{`msg=audit who=local`, "action=quarantine device=os::001122-3", `action=forget device=os::001122-3 err=`} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("the log lacks %s:\n%s", line, log.String())
		}
	}
}
