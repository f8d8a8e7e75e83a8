package cpe

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/icholy/digest"

	"isthmus/cwmp"
)

func TestCookiesAndConnections(t *testing.T) {
	for _, test := range []struct {
		name    string
		faults  Faults
		cookies bool
		proto   string
	}{
		{"plain", Faults{}, true, "HTTP/1.1"},
		{"DropCookies", Faults{DropCookies: true}, false, "HTTP/1.1"},
		{"CloseEachPost", Faults{CloseEachPost: true}, true, "HTTP/1.1"},
		{"HTTP10", Faults{HTTP10: true}, true, "HTTP/1.0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newACS(t)
			idle(t, run(t, Config{ACS: a.URL, Faults: test.faults}))
			a.mu.Lock()
			defer a.mu.Unlock()
			if (a.cookies > 0) != test.cookies || a.protocols[0] != test.proto {
				t.Errorf("%d cookies, %s", a.cookies, a.protocols[0])
			}
		})
	}
}

func TestCharset(t *testing.T) {
	a := newACS(t)
	c := run(t, Config{ACS: a.URL, Faults: Faults{Charset: "iso-8859-1"}})
	if err := c.SetValue(info+"ProvisioningCode", "Küche"); err != nil {
		t.Fatal(err)
	}
	idle(t, c)
	a.mu.Lock()
	defer a.mu.Unlock()
	if last := a.raw[len(a.raw)-1]; !strings.Contains(last, "K\xfcche") {
		t.Error("the Inform is not in ISO 8859-1")
	}
	if got := valueIn(a.informs[len(a.informs)-1].ParameterList, info+"ProvisioningCode"); got != "Küche" {
		t.Errorf("decoded %q", got)
	}
}

func TestAuthentication(t *testing.T) {
	digestChallenge := `Digest realm="acs", qop="auth", nonce="n", algorithm=MD5`
	for _, test := range []struct {
		name  string
		check func(r *http.Request) string
	}{
		{"Digest", func(r *http.Request) string {
			got, err := digest.ParseCredentials(r.Header.Get("Authorization"))
			if err != nil {
				return digestChallenge
			}
			want, err := digest.Digest(&digest.Challenge{Realm: "acs", QOP: []string{"auth"}, Nonce: "n", Algorithm: "MD5"}, digest.Options{
				Method: r.Method, URI: r.RequestURI, Count: got.Nc, Username: "cpe", Password: "secret", Cnonce: got.Cnonce,
			})
			if err != nil || want.Response != got.Response {
				return digestChallenge
			}
			return ""
		}},
		{"Basic", func(r *http.Request) string {
			if u, p, _ := r.BasicAuth(); u == "cpe" && p == "secret" {
				return ""
			}
			return `Basic realm="acs"`
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newACS(t)
			a.challenge = test.check
			idle(t, run(t, Config{ACS: a.URL, Username: "cpe", Password: "secret"}))
			if len(a.informs) != 1 {
				t.Errorf("%d Informs passed", len(a.informs))
			}
			c := run(t, Config{ACS: a.URL, Username: "cpe", Password: "wrong", RetryWait: time.Hour})
			if len(a.informs) != 1 || c.failures != 1 {
				t.Errorf("a wrong password: %d Informs, %d failures", len(a.informs), c.failures)
			}
		})
	}
}

func TestLostBeforeInformResponseRepeatsEvents(t *testing.T) {
	a := newACS(t)
	c := run(t, Config{ACS: a.URL, Faults: Faults{CloseAfterPost: 1}})
	idle(t, c)
	if m := a.inform(-1); codes(m) != "0 BOOTSTRAP,1 BOOT" || m.RetryCount != 1 {
		t.Errorf("second Inform: %q, RetryCount %d", codes(m), m.RetryCount)
	}
}

func TestLostAfterInformResponseForgetsEvents(t *testing.T) {
	a := newACS(t)
	c := run(t, Config{ACS: a.URL, Faults: Faults{CloseOn: "AddObject"}})
	idle(t, c)
	a.mu.Lock()
	a.queue = []cwmp.RPC{&cwmp.AddObject{ObjectName: mapping}}
	a.mu.Unlock()
	c.Inform(cwmp.EventPeriodic)
	if err := c.WaitSessions(timeout(t), 3); err != nil {
		t.Fatal(err)
	}
	if m := a.inform(-1); codes(m) != "" || m.RetryCount != 1 {
		t.Errorf("retry: %q, RetryCount %d", codes(m), m.RetryCount)
	}
	if !c.Exists(mapping + "2.") {
		t.Error("CloseOn did not carry out the RPC")
	}
}

func TestLostRPCIsNotCarriedOut(t *testing.T) {
	a := newACS(t)
	c := run(t, Config{ACS: a.URL, Faults: Faults{LoseOn: "AddObject"}})
	idle(t, c)
	a.mu.Lock()
	a.queue = []cwmp.RPC{&cwmp.AddObject{ObjectName: mapping}}
	a.mu.Unlock()
	c.Inform(cwmp.EventPeriodic)
	if err := c.WaitSessions(timeout(t), 3); err != nil {
		t.Fatal(err)
	}
	if c.Exists(mapping+"2.") || c.failures != 1 {
		t.Errorf("LoseOn carried out the RPC, or the session did not fail (%d)", c.failures)
	}
}

func TestConnectionRequestIsNotRetried(t *testing.T) {
	a := newACS(t)
	c := run(t, Config{ACS: a.URL})
	idle(t, c)
	a.mu.Lock()
	a.refuse = 1
	a.mu.Unlock()
	c.Inform(cwmp.EventConnectionRequest)
	if err := c.WaitSessions(timeout(t), 3); err != nil {
		t.Fatal(err)
	}
	if m := a.inform(-1); codes(m) != "" {
		t.Errorf("retry has %q", codes(m))
	}
}

func TestRetryRequest(t *testing.T) {
	a := newACS(t)
	a.retry = 2
	c := run(t, Config{ACS: a.URL})
	idle(t, c)
	if len(a.informs) != 3 || c.Sessions() != 1 {
		t.Errorf("%d Informs in %d sessions, want 3 in 1", len(a.informs), c.Sessions())
	}
}

func TestHoldRequests(t *testing.T) {
	a := newACS(t)
	c := run(t, Config{ACS: a.URL})
	idle(t, c)
	a.mu.Lock()
	a.hold = true
	a.queue = []cwmp.RPC{&cwmp.GetRPCMethods{}}
	a.mu.Unlock()
	c.Send(&cwmp.RequestDownload{FileType: "1 Firmware Upgrade Image"}, cwmp.EventRequestDownload)
	idle(t, c)
	if codes(a.inform(-1)) != cwmp.EventRequestDownload {
		t.Errorf("events %q", codes(a.inform(-1)))
	}
	methods := slices.IndexFunc(a.raw, func(s string) bool { return strings.Contains(s, "GetRPCMethodsResponse") })
	request := slices.IndexFunc(a.raw, func(s string) bool { return strings.Contains(s, "<cwmp:RequestDownload") })
	if methods < 0 || request < methods {
		t.Errorf("GetRPCMethodsResponse was message %d, RequestDownload %d", methods, request)
	}
}

func TestObserve(t *testing.T) {
	a := newACS(t)
	var seen []string
	idle(t, run(t, Config{ACS: a.URL, Observe: func(x Exchange) {
		seen = append(seen, map[bool]string{true: "<", false: ">"}[x.FromACS]+x.RPC+" "+x.Summary)
	}}))
	want := []string{">Inform 0 BOOTSTRAP, 1 BOOT", "<InformResponse ", "> ", "< "}
	if !slices.Equal(seen, want) {
		t.Errorf("observed %q, want %q", seen, want)
	}
}

func connectionRequest(t *testing.T, c *CPE, username, password string) (int, error) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	client := &http.Client{Transport: &digest.Transport{Username: username, Password: password, Transport: transport}}
	req, err := http.NewRequestWithContext(timeout(t), http.MethodGet, c.ConnectionRequestURL(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

func TestConnectionRequest(t *testing.T) {
	a := newACS(t)
	c := run(t, Config{ACS: a.URL, ConnReqUsername: "acs", ConnReqPassword: "secret"})
	idle(t, c)
	if status, err := connectionRequest(t, c, "acs", "wrong"); status != http.StatusUnauthorized || err != nil {
		t.Errorf("a wrong password: %d, %v", status, err)
	}
	if status, err := connectionRequest(t, c, "acs", "secret"); status != http.StatusOK || err != nil {
		t.Errorf("status %d, %v", status, err)
	}
	if err := c.WaitSessions(timeout(t), 2); err != nil {
		t.Fatal(err)
	}
	if got := codes(a.inform(-1)); got != "6 CONNECTION REQUEST" || c.Sessions() != 2 {
		t.Errorf("events %q, %d sessions", got, c.Sessions())
	}
	a.talk(c, set("", server+"ConnectionRequestPassword", "string", "changed"))
	if status, err := connectionRequest(t, c, "acs", "changed"); status != http.StatusOK || err != nil {
		t.Errorf("the new password: %d, %v", status, err)
	}
	idle(t, c)
	n := c.Sessions()
	for _, test := range []struct {
		mode   ConnReqMode
		status int
		fails  bool
	}{{ConnReqBusy, http.StatusServiceUnavailable, false}, {ConnReqIgnore, http.StatusOK, false}, {ConnReqDrop, 0, true}} {
		c.SetFaults(Faults{ConnReq: test.mode})
		if status, err := connectionRequest(t, c, "acs", "changed"); status != test.status || (err != nil) != test.fails {
			t.Errorf("mode %d: %d, %v", test.mode, status, err)
		}
	}
	idle(t, c)
	if c.Sessions() != n {
		t.Errorf("%d sessions too many", c.Sessions()-n)
	}
}

func TestRunEndsWhileACSIsSilent(t *testing.T) {
	reached := make(chan struct{})
	release := make(chan struct{})
	a := newACS(t)
	a.challenge = func(*http.Request) string {
		close(reached)
		<-release
		return ""
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	c := New(Config{ACS: a.URL})
	go func() { done <- c.Run(ctx) }()
	<-reached
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-timeout(t).Done():
		t.Error("Run did not end")
	}
	close(release)
}
