package config

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
)

// Credential is a row of cwmp.auth.credentials_file: what one CPE shows, and what it is shown in Connection Requests.
type Credential struct {
	EndpointID      string
	Username        string
	Password        Secret
	ConnReqUsername string
	ConnReqPassword Secret
}

const (
	maxCredentialsFile    = 128 << 20
	maxCredentialProblems = 10 // told of one file; it may have as many rows as there are CPE

	// maxInstanceID is the longest that follows "::" in the Endpoint ID of a CPE's Agent.
	maxInstanceID = 50
)

var credentialsHeader = []string{"endpoint_id", "username", "password", "connreq_username", "connreq_password"}

// cpeEndpointID is how the Agent of a CPE is named.
var cpeEndpointID = func() *regexp.Regexp {
	const field = `(?:[0-9A-Za-z_]|%[0-9A-F]{2})+`
	return regexp.MustCompile(`^(?:ops::` + field + `-` + field + `-` + field + `|os::` + field + `-` + field + `|uuid::[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$`)
}()

// HTTP is the scheme in the mode: "basic", "digest" or "".
func (a *Auth) HTTP() string {
	for _, scheme := range []string{"basic", "digest"} {
		if strings.HasSuffix(a.Mode, scheme) {
			return scheme
		}
	}
	return ""
}

// Certificate says whether the mode asks for a client certificate.
func (a *Auth) Certificate() bool { return strings.HasPrefix(a.Mode, "certificate") }

// checkAuth checks how CPE authenticate, and reads the credentials file.
func (l *loader) checkAuth(c *CWMP) {
	a := &c.Auth
	l.secretFile("cwmp.auth.password", &a.Password, a.PasswordFile)
	switch {
	case a.Password != "" && a.Username == "":
		l.add("cwmp.auth.password", "has no cwmp.auth.username: set both")
	case a.Username != "" && a.Password == "" && a.PasswordFile == "":
		l.add("cwmp.auth.username", "has no cwmp.auth.password: set both")
	case strings.Contains(a.Username, ":"):
		l.add("cwmp.auth.username", "has a colon, which HTTP authentication cannot carry: choose another")
	}
	if a.CredentialsFile != "" {
		l.credentials("cwmp.auth.credentials_file", a)
	}
	if scheme := a.HTTP(); scheme != "" && a.Username == "" && a.CredentialsFile == "" {
		l.add("cwmp.auth.mode", "%s lets nobody in without credentials: set cwmp.auth.username and cwmp.auth.password, or cwmp.auth.credentials_file", scheme)
	}
	if a.Certificate() && (c.TLS.ClientCAFile == "" || c.TLS.Listen == "" && c.LegacyTLS.Listen == "") {
		l.add("cwmp.auth.mode", "%s lets nobody in without TLS: set cwmp.tls.listen and, for the CA of the CPE's certificates, cwmp.tls.client_ca_file", a.Mode)
	}
	if scheme := a.HTTP(); scheme == "" && c.Provision.Credentials {
		l.add("cwmp.provision.credentials", "has no effect: cwmp.auth.mode %s asks for no user name and password; write basic or digest there, or leave this out", a.Mode)
	}
	for i, p := range c.TrustedProxies {
		if p.Bits() == 0 {
			l.add(fmt.Sprintf("cwmp.trusted_proxies[%d]", i), "%s is everybody, who could then say where they come from: list the proxies", p)
		}
	}
}

// credentials reads the credentials file.
func (l *loader) credentials(key string, a *Auth) {
	told := 0
	add := func(line int, format string, args ...any) {
		if told++; told <= maxCredentialProblems {
			l.add(key, "%s:%d: "+format, append([]any{a.CredentialsFile, line}, args...)...)
		}
	}
	f, err := os.Open(a.CredentialsFile)
	if err != nil {
		l.add(key, "cannot be read: %v", err)
		return
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.Size() > maxCredentialsFile {
		l.add(key, "%s is larger than %d bytes", a.CredentialsFile, maxCredentialsFile)
		return
	}
	text := bufio.NewReader(io.LimitReader(f, maxCredentialsFile))
	if bom, err := text.Peek(3); err == nil && string(bom) == "\ufeff" {
		_, _ = text.Discard(len(bom)) // spreadsheets write one; it was peeked at
	}
	r := csv.NewReader(text)
	header, err := r.Read()
	if err != nil || !slices.Equal(header, credentialsHeader) {
		add(1, "does not begin with the header %s", strings.Join(credentialsHeader, ","))
		return
	}
	r.ReuseRecord = true
	endpoints, users := map[string]int{}, map[string]int{}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		line := 0
		if err == nil || errors.Is(err, csv.ErrFieldCount) {
			line, _ = r.FieldPos(0)
		}
		switch bad := (*csv.ParseError)(nil); {
		case errors.Is(err, csv.ErrFieldCount):
			add(line, "has %d fields instead of %d", len(row), len(credentialsHeader))
			continue
		case errors.As(err, &bad):
			add(bad.Line, "%v: write it as RFC 4180 has it, with quotes doubled within quotes", bad.Err)
			return
		case err != nil:
			l.add(key, "cannot be read: %v", err)
			return
		}
		c := Credential{EndpointID: strings.Clone(row[0]), Username: strings.Clone(row[1]), Password: Secret(strings.Clone(row[2])),
			ConnReqUsername: strings.Clone(row[3]), ConnReqPassword: Secret(strings.Clone(row[4]))}
		if wrong := a.wrong(&c); wrong != "" {
			add(line, "%s", wrong)
		}
		if first, twice := endpoints[c.EndpointID]; twice {
			add(line, "%s is in line %d already: give a CPE one row", c.EndpointID, first)
		}
		if first, twice := users[c.Username]; twice {
			add(line, "the username %q is in line %d already: give each CPE its own", c.Username, first)
		}
		endpoints[c.EndpointID] = line
		if c.Username != "" {
			users[c.Username] = line
		}
		a.Credentials = append(a.Credentials, c)
	}
	if more := told - maxCredentialProblems; more > 0 {
		l.add(key, "%s has %d more of these", a.CredentialsFile, more)
	}
}

// wrong says what is wrong with a row by itself.
func (a *Auth) wrong(c *Credential) string {
	_, instance, _ := strings.Cut(c.EndpointID, "::")
	switch {
	case !cpeEndpointID.MatchString(c.EndpointID):
		return fmt.Sprintf("%q is no CPE's Endpoint ID: write it as isthmus devices shows it, such as ops::<OUI>-<ProductClass>-<SerialNumber>", c.EndpointID)
	case len(instance) > maxInstanceID:
		return fmt.Sprintf("%s has more than %d characters after its ::, so the Agent has a uuid:: name: write that, isthmus devices shows it", c.EndpointID, maxInstanceID)
	case c.Username == "" && c.Password != "":
		return "a password without username: set both"
	case c.Username != "" && c.Password == "":
		return "a username without password: set both"
	case c.ConnReqUsername == "" && c.ConnReqPassword != "":
		return "a connreq_password without connreq_username: set both"
	case c.Username == "" && a.HTTP() != "":
		return fmt.Sprintf("no username, so this CPE could not log in with cwmp.auth.mode %s: give it one", a.Mode)
	case strings.Contains(c.Username, ":"):
		return fmt.Sprintf("the username %q has a colon, which HTTP authentication cannot carry: choose another", c.Username)
	case c.Username != "" && c.Username == a.Username:
		return fmt.Sprintf("the username %q is cwmp.auth.username, too: choose another", c.Username)
	}
	return ""
}
