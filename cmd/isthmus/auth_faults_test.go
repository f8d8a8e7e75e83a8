package main

import (
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"isthmus/cmd/isthmus/config"
	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
)

// badAuth is a CPE that goes wrong in one way with Digest, over connections of its own.
type badAuth struct {
	t      *testing.T
	acs    string
	client *http.Client
	inform []byte
}

func (b *badAuth) post(body []byte, authorization string) *http.Response {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.acs, strings.NewReader(string(body)))
	if err != nil {
		b.t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		b.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp
}

// nonce fetches a challenge by an empty POST.
func (b *badAuth) nonce() string {
	b.t.Helper()
	_, rest, _ := strings.Cut(b.post(nil, "").Header.Get("WWW-Authenticate"), `nonce="`)
	nonce, _, ok := strings.Cut(rest, `"`)
	if !ok {
		b.t.Fatal("no challenge")
	}
	return nonce
}

// digest is the form of RFC 2069.
func digest(password, nonce, uri string) string {
	h := func(s string) string { return fmt.Sprintf("%x", md5.Sum([]byte(s))) }
	return fmt.Sprintf(`Digest username="fleet", realm="isthmus", nonce=%q, uri=%q, response=%q`, nonce, uri,
		h(h("fleet:isthmus:"+password)+":"+nonce+":"+h("POST:"+uri)))
}

// What a CPE can get wrong about Digest, against the whole proxy: it is answered, counted, and harms nobody else.
func TestServeBadAuth(t *testing.T) {
	i, _ := running(t, func(c *config.Config) {
		c.CWMP.Auth = config.Auth{Mode: "digest", Username: "fleet", Password: "f"}
	})
	b := &badAuth{t: t, acs: "http://" + i.listeners.cwmp.Addr().String() + "/", client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}}
	count := func(outcome string) int {
		t.Helper()
		resp, err := b.client.Get("http://" + i.listeners.admin.Addr().String() + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(text), fmt.Sprintf("isthmus_cwmp_authentications_total{outcome=%q} ", outcome))
		n := 0
		_, _ = fmt.Sscan(rest, &n) // none yet
		return n
	}
	const truly, challenged, stale, wrong = "ok", "challenged", "stale", "credentials"
	for n, tc := range []struct {
		name    string
		send    func() *http.Response
		status  int
		counted string
	}{
		{"empty POST first", func() *http.Response { return b.post(nil, "") }, 401, challenged},
		{"no credentials", func() *http.Response { return b.post(b.inform, "") }, 401, challenged},
		{"no envelope and no credentials", func() *http.Response { return b.post([]byte("<!DOCTYPE x>"), "") }, 401, challenged},
		{"new connection after the 401, no qop", func() *http.Response { return b.post(b.inform, digest("f", b.nonce(), "/")) }, 200, truly},
		{"no uri", func() *http.Response { return b.post(b.inform, digest("f", b.nonce(), "")) }, 200, truly},
		{"cut nonce", func() *http.Response { return b.post(b.inform, digest("f", b.nonce()[:20], "/")) }, 401, stale},
		{"nonce of another ACS", func() *http.Response { return b.post(b.inform, digest("f", "dcd98b7102dd2f0e8b11d0f600bfb0c093", "/")) }, 401, stale},
		{"wrong password", func() *http.Response { return b.post(b.inform, digest("x", b.nonce(), "/")) }, 401, wrong},
		{"wrong, then right", func() *http.Response {
			b.post(b.inform, digest("x", b.nonce(), "/"))
			return b.post(b.inform, digest("f", b.nonce(), "/"))
		}, 200, truly},
		{"Basic over HTTP", func() *http.Response {
			return b.post(b.inform, "Basic "+base64.StdEncoding.EncodeToString([]byte("fleet:f")))
		}, 401, challenged},
		{"nothing after the scheme", func() *http.Response { return b.post(b.inform, "Digest") }, 401, wrong},
		{"a header of 12 KB", func() *http.Response { return b.post(b.inform, "Digest "+strings.Repeat(`a="b", `, 1700)) }, 401, wrong},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b.t = t
			var err error
			if b.inform, err = cwmp.Encode(&cwmp.Envelope{ID: "1", Namespace: cwmp.NamespaceV1_0, Body: &cwmp.Inform{DeviceId: numbered(fmt.Sprint("BAD", n)), MaxEnvelopes: 1}}); err != nil {
				t.Fatal(err)
			}
			before := count(tc.counted)
			if got := tc.send().StatusCode; got != tc.status {
				t.Errorf("status %d, want %d", got, tc.status)
			}
			if after := count(tc.counted); after == before {
				t.Errorf("%s was not counted", tc.counted)
			}
			if !session(t, cpe.Config{ACS: b.acs, DeviceID: numbered(fmt.Sprint("GOOD", n)), Username: "fleet", Password: "f"}) {
				t.Error("the next CPE was not served")
			}
		})
	}
}
