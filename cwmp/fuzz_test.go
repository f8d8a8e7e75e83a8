package cwmp

import (
	"crypto/rand"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// FuzzDecode: no input panics, and what was read from one can be written and read again with the same result.
func FuzzDecode(f *testing.F) {
	seeds, err := filepath.Glob("../testdata/cwmp/*.xml")
	if err != nil || len(seeds) == 0 {
		f.Fatal("no seeds in testdata/cwmp", err)
	}
	for _, s := range seeds {
		b, err := os.ReadFile(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, "text/xml; charset=iso-8859-1")
		f.Add(b, "")
	}
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		e, err := Decode(body, contentType)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrDoctype) && !errors.Is(err, ErrLimit) {
				t.Fatal("another error:", err)
			}
			return
		}
		first, err := Encode(e)
		if errors.Is(err, ErrUnencodable) {
			return
		}
		if err != nil || !utf8.Valid(first) {
			t.Fatalf("%v: %q", err, first)
		}
		again, err := Decode(first, "")
		if err != nil {
			t.Fatalf("%v: %s", err, first)
		}
		e.Namespace, e.Repaired, e.Skipped = published(e.Namespace), false, 0
		again.Skipped = 0
		second, err := Encode(again)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(first), string(second), cmpopts.EquateEmpty()); d != "" {
			t.Fatal(d)
		}
	})
}

// FuzzDigest: no header is let in without the password, and what was read from one is read again from its plainest form.
func FuzzDigest(f *testing.F) {
	for _, s := range []string{ // as CPE have sent them
		`username="au", realm="acs", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/acs", cnonce="ZDRjMDk3NGMyYWExMjBiZDM5YWY2YjgxMGVlODgwYTk=", nc=00000001, qop=auth, response="59e4d007a4c8cbbb82b52873304f8f33", opaque="5ccc069c403ebaf9f0171e9517f40e41"`,
		`username="cwmp", realm="acs", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c0", uri="", response="f6f756486f0c14e6dc05a881b7d925cf"`,
		`username="cwmp",realm="cwmpd",nonce="1cb682941cbc4f539a1ca72f990f5fbb",uri="/",qop=auth,nc=00000001,cnonce="0a4f113b",response="8fdd600a53544ec39c6cc2ec129ac919",opaque=""`,
		`username="a\"b\\" realm = x , nonce=n algorithm="MD5-sess" nc="1" qop="auth"`, `username="`, `=`, ``,
	} {
		f.Add(s)
	}
	g := newGate(&Auth{Scheme: Digest, Username: "cwmp", Password: rand.Text()})
	f.Fuzz(func(t *testing.T, header string) {
		user, outcome := g.digest("POST", header, time.Now())
		if outcome != authCredentials {
			t.Fatal(user, outcome)
		}
		c := parseDigest(header)
		var plain strings.Builder
		for _, p := range [][2]string{{"username", c.username}, {"nonce", c.nonce}, {"uri", c.uri}, {"response", c.response},
			{"algorithm", c.algorithm}, {"qop", c.qop}, {"nc", c.nc}, {"cnonce", c.cnonce}} {
			plain.WriteString(p[0] + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(p[1]) + `", `)
		}
		if again := parseDigest(plain.String()); again != c {
			t.Fatalf("%+v\n%+v", c, again)
		}
	})
}

// FuzzSource: whatever the headers say, who is no trusted proxy comes from where it comes from, and a remote proxy passes on no loopback.
func FuzzSource(f *testing.F) {
	for _, s := range []string{`for=192.0.2.1;proto=https`, `For="[2001:db8::1]:4711", for=10.9.9.9`, `for=unknown, for=_x`, `192.0.2.1, 10.0.0.2`, `127.0.0.1`, `,;="`} {
		f.Add(s, s)
	}
	trusted := prefixes("10.0.0.0/8")
	f.Fuzz(func(t *testing.T, forwarded, forwardedFor string) {
		h := http.Header{"Forwarded": {forwarded}, "X-Forwarded-For": {forwardedFor}}
		from, proxied := source(&http.Request{RemoteAddr: "10.0.0.1:1", Header: h}, trusted)
		if !proxied || from.Addr().IsLoopback() {
			t.Fatal(from, proxied)
		}
		if from, proxied := source(&http.Request{RemoteAddr: "192.0.2.1:1", Header: h}, trusted); proxied || from.String() != "192.0.2.1:1" {
			t.Fatal(from, proxied)
		}
	})
}
