//go:build unix

package main

import (
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"isthmus/cmd/isthmus/config"
	"isthmus/cwmp"
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

// The line "Auth" of the matrix: what a CPE can get wrong about Digest, and about what it is let in by.
func TestFaultsAuth(t *testing.T) {
	t.Parallel()
	b := newBed(t, func(c *config.Config) {
		c.CWMP.Auth = config.Auth{Mode: "digest", Username: "fleet", Password: "f"}
	})
	const truly, challenged, stale, wrong = "ok", "challenged", "stale", "credentials"
	var faults []fault
	for _, f := range []struct {
		name    string
		counted string
		status  int
		send    func(a *badAuth) *http.Response
	}{
		{"empty POST first (A2)", challenged, 401, func(a *badAuth) *http.Response { return a.post(nil, "") }},
		{"no credentials", challenged, 401, func(a *badAuth) *http.Response { return a.post(a.inform, "") }},
		{"no envelope and no credentials", challenged, 401, func(a *badAuth) *http.Response { return a.post([]byte("<!DOCTYPE x>"), "") }},
		{"new socket after 401, no qop (A3, A8)", truly, 200, func(a *badAuth) *http.Response { return a.post(a.inform, digest("f", a.nonce(), "/")) }},
		{`uri="" (A6)`, truly, 200, func(a *badAuth) *http.Response { return a.post(a.inform, digest("f", a.nonce(), "")) }},
		{"cut nonce (A7)", stale, 401, func(a *badAuth) *http.Response { return a.post(a.inform, digest("f", a.nonce()[:20], "/")) }},
		{"expired nonce, or another ACS's", stale, 401, func(a *badAuth) *http.Response {
			return a.post(a.inform, digest("f", "dcd98b7102dd2f0e8b11d0f600bfb0c093", "/"))
		}},
		{"wrong", wrong, 401, func(a *badAuth) *http.Response { return a.post(a.inform, digest("x", a.nonce(), "/")) }},
		{"wrong then right", truly, 200, func(a *badAuth) *http.Response {
			a.post(a.inform, digest("x", a.nonce(), "/"))
			return a.post(a.inform, digest("f", a.nonce(), "/"))
		}},
		{"Basic over HTTP (A1)", challenged, 401, func(a *badAuth) *http.Response {
			return a.post(a.inform, "Basic "+base64.StdEncoding.EncodeToString([]byte("fleet:f")))
		}},
		{"nothing after the scheme", wrong, 401, func(a *badAuth) *http.Response { return a.post(a.inform, "Digest") }},
		{"a header of 12 KB", wrong, 401, func(a *badAuth) *http.Response { return a.post(a.inform, "Digest "+strings.Repeat(`a="b", `, 1700)) }},
	} {
		faults = append(faults, fault{f.name, fmt.Sprintf("cwmp_authentications_total{outcome=%q}", f.counted), func(t *testing.T, b *bed) {
			a := &badAuth{t: t, acs: "http://" + b.addr + "/", inform: []byte(b.inform(t, b.id(), cwmp.EventBoot)),
				client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: faultTime}}
			if got := f.send(a).StatusCode; got != f.status {
				t.Errorf("status %d, want %d", got, f.status)
			}
		}})
	}
	b.each(t, faults)
}
