package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAuthProblems(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       []string
	}{
		{"mode", "cwmp: { auth: { mode: ntlm } }\n", []string{`isthmus.yaml:1: cwmp.auth.mode: "ntlm" is none of none, basic, digest`}},
		{"no credentials", "cwmp:\n  auth:\n    mode: digest\n", []string{"isthmus.yaml:3: cwmp.auth.mode: digest lets nobody in without credentials: set cwmp.auth.username"}},
		{"no credentials beside certificates", "cwmp:\n  auth:\n    mode: certificate+basic\n",
			[]string{"isthmus.yaml:3: cwmp.auth.mode: basic lets nobody in without credentials", "isthmus.yaml:3: cwmp.auth.mode: certificate+basic lets nobody in without TLS: set cwmp.tls.listen"}},
		{"no TLS", "cwmp:\n  auth: { mode: certificate }\n", []string{"isthmus.yaml:2: cwmp.auth.mode: certificate lets nobody in without TLS"}},
		{"no user name", "cwmp:\n  auth:\n    password: x\n", []string{"isthmus.yaml:3: cwmp.auth.password: has no cwmp.auth.username"}},
		{"no password", "cwmp:\n  auth:\n    username: x\n", []string{"isthmus.yaml:3: cwmp.auth.username: has no cwmp.auth.password"}},
		{"colon", "cwmp:\n  auth: { username: \"a:b\", password: x }\n", []string{"isthmus.yaml:2: cwmp.auth.username: has a colon"}},
		{"password file", "cwmp:\n  auth: { username: a, password_file: /no/such }\n", []string{"isthmus.yaml:2: cwmp.auth.password_file: cannot be read: "}},
		{"credentials file", "cwmp:\n  auth: { credentials_file: /no/such }\n", []string{"isthmus.yaml:2: cwmp.auth.credentials_file: cannot be read: open /no/such"}},
		{"client CA", "cwmp:\n  tls: { client_ca_file: /no/such }\n", []string{"isthmus.yaml:2: cwmp.tls.client_ca_file: cannot be used: open /no/such"}},
		{"legacy TLS", "cwmp:\n  legacy_tls:\n    listen: \":7549\"\n", []string{"isthmus.yaml:3: cwmp.legacy_tls.listen: needs cwmp.legacy_tls.cert_file"}},
		{"legacy TLS on a port that is taken", "cwmp:\n  legacy_tls: { listen: \":7547\", cert_file: x }\n",
			[]string{"isthmus.yaml:2: cwmp.legacy_tls.cert_file: has no cwmp.legacy_tls.key_file", "isthmus.yaml:2: cwmp.legacy_tls.listen: :7547 is the address of cwmp.listen too"}},
		{"proxies", "cwmp:\n  trusted_proxies:\n    - 10.0.0.1\n    - 0.0.0.0/0\n",
			[]string{`isthmus.yaml:3: cwmp.trusted_proxies[0]: "10.0.0.1" is no CIDR`, "isthmus.yaml:4: cwmp.trusted_proxies[1]: 0.0.0.0/0 is everybody"}},
		{"rate", "cwmp: { new_devices_per_second: -1 }\n", []string{`isthmus.yaml:1: cwmp.new_devices_per_second: "-1" is no whole number`}},
	} {
		t.Run(tc.name, func(t *testing.T) { wantProblems(t, tc.want, problems(t, tc.text)) })
	}
}

func wantProblems(t *testing.T, want, got []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d problems, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("got  %s\nwant %s…", got[i], want[i])
		}
	}
}

const header = "endpoint_id,username,password,connreq_username,connreq_password\n"

// credentialsFile is a configuration with a file of credentials.
func credentialsFile(t *testing.T, auth, rows string) string {
	t.Helper()
	f := filepath.Join(t.TempDir(), "cpe.csv")
	if err := os.WriteFile(f, []byte(rows), 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("cwmp:\n  auth: { credentials_file: %q%s }\n", f, auth)
}

func TestCredentialsFileProblems(t *testing.T) {
	for _, tc := range []struct {
		name, auth, rows string
		want             []string // line: what
	}{
		{"empty", "", "", []string{"1: does not begin with the header endpoint_id,"}},
		{"no header", "", "os::A-B,u,p,,\n", []string{"1: does not begin with the header"}},
		{"another order", "", "username,password,endpoint_id,connreq_username,connreq_password\n", []string{"1: does not begin with the header"}},
		{"fields", "", header + "os::A-B,u,p\nos::A-C,u,p,,,\n", []string{"2: has 3 fields instead of 5", "3: has 6 fields"}},
		{"quotes", "", header + "os::A-B,\"u\"x,p,,\n", []string{"2: extraneous or missing \" in quoted-field: write it as RFC 4180 has it"}},
		{"no Endpoint ID", "", header + "001122-Box-1,u,p,,\nproto::x,v,p,,\nops::A-B-C%2d,w,p,,\nops::A-B,x,p,,\n",
			[]string{`2: "001122-Box-1" is no CPE's Endpoint ID`, `3: "proto::x" is no`, `4: "ops::A-B-C%2d" is no`, `5: "ops::A-B" is no`}},
		{"a long one", "", header + "os::001122-" + strings.Repeat("x", 44) + ",u,p,,\n", []string{"2: os::001122-" + strings.Repeat("x", 44) + " has more than 50 characters after its ::"}},
		{"duplicates", "", header + "os::A-B,u,p,,\nos::A-C,u,p,,\n\nos::A-B,v,p,,\n", []string{`3: the username "u" is in line 2 already`, "5: os::A-B is in line 2 already"}},
		{"halves", "", header + "os::A-B,u,,,\nos::A-C,,p,,\nos::A-D,,,,p\n", []string{"2: a username without password", "3: a password without username", "4: a connreq_password without connreq_username"}},
		{"no login", ", mode: digest", header + "os::A-B,,,u,p\n", []string{"2: no username, so this CPE could not log in with cwmp.auth.mode digest"}},
		{"the fleet's name", ", username: u, password: p", header + "os::A-B,u,p,,\n", []string{`2: the username "u" is cwmp.auth.username, too`}},
		{"colon", "", header + "os::A-B,a:b,p,,\n", []string{`2: the username "a:b" has a colon`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := problems(t, credentialsFile(t, tc.auth, tc.rows))
			for i, line := range got {
				rest, ok := strings.CutPrefix(line, "isthmus.yaml:2: cwmp.auth.credentials_file: ")
				if _, rest, _ = strings.Cut(rest, "cpe.csv:"); !ok {
					t.Error(line)
				}
				got[i] = rest
			}
			wantProblems(t, tc.want, got)
		})
	}
	many := problems(t, credentialsFile(t, "", header+strings.Repeat("x\n", 1000)))
	if len(many) != maxCredentialProblems+1 || !strings.Contains(many[maxCredentialProblems], "has 990 more of these") {
		t.Errorf("%d problems: %s", len(many), strings.Join(many, "\n"))
	}
}

func TestCredentialsFile(t *testing.T) {
	rows := header + "ops::001122-Box%2D1-A,u1,\"a, \"\"b\"\"\nc\",cu,cp\r\n" + "uuid::01234567-89ab-cdef-0123-456789abcdef,u2, p ,,\r\n"
	for _, text := range []string{rows, "\ufeff" + rows} {
		c, _, err := Load(write(t, credentialsFile(t, ", mode: basic", text)), nil)
		if err != nil {
			t.Fatal(err)
		}
		want := []Credential{{"ops::001122-Box%2D1-A", "u1", "a, \"b\"\nc", "cu", "cp"}, {"uuid::01234567-89ab-cdef-0123-456789abcdef", "u2", " p ", "", ""}}
		if d := cmp.Diff(want, c.CWMP.Auth.Credentials, cmp.Comparer(func(a, b Secret) bool { return string(a) == string(b) })); d != "" {
			t.Error(d)
		}
	}
	if got := problems(t, credentialsFile(t, "", header+"os::A-B,,,u,p\nos::A-C,,,,\n")); got != nil {
		t.Errorf("rows for Connection Requests alone: %s", strings.Join(got, "\n"))
	}
}

func TestAuthModes(t *testing.T) {
	for mode, want := range map[string]struct {
		http        string
		certificate bool
	}{"none": {}, "basic": {http: "basic"}, "digest": {http: "digest"}, "certificate": {certificate: true},
		"certificate+basic": {"basic", true}, "certificate+digest": {"digest", true}} {
		a := Auth{Mode: mode}
		if a.HTTP() != want.http || a.Certificate() != want.certificate {
			t.Errorf("%s: %q %v", mode, a.HTTP(), a.Certificate())
		}
	}
}
