package cwmp

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Scheme is the HTTP authentication that CPE are asked for (TR-069 3.4.4).
type Scheme string

// The schemes. Only the one that is asked for is accepted, so that a password asked for by Digest is never taken in the clear.
const (
	NoScheme Scheme = ""
	Basic    Scheme = "Basic"
	Digest   Scheme = "Digest"
)

// Auth says how CPE prove who they are. With a Scheme and Certificate both are demanded.
//
// A CPE is authenticated once a session: at its Inform, or by what it has authenticated on the same connection before. In the
// session its cookie, or the connection, stands for it, and an Authorization header is not looked at.
type Auth struct {
	Scheme Scheme
	// Username and Password are the fleet's. They prove membership, not identity: any DeviceId that is in no Credential may use them.
	// Without a user name there is no such credential.
	Username, Password string
	// Credentials are those of single CPE, by user name.
	Credentials map[string]Credential
	// Identity gives the name that a CPE has in Credentials.
	Identity func(DeviceID) string

	// Issuer knows the credentials that CPE were given instead of the fleet's; nil: none were.
	Issuer Issuer

	// Certificate demands a TLS client certificate that was verified and has one of CertificateNames as its Common Name or among its
	// subject alternative names (DNS names and URIs).
	Certificate      bool
	CertificateNames func(DeviceID) []string
}

// Credential is the password of one CPE, good for the DeviceId with that Identity only.
type Credential struct {
	Identity, Password string
}

// Issuer gives CPE credentials of their own (TR-069 3.4.4: in place of those of the first contact). They count as Credentials do, which go
// before them. The fleet's stay good for a CPE beside its own until it has shown those (row A11). Its methods are called from any goroutine.
type Issuer interface {
	// Issued finds a credential by its user name.
	Issued(username string) (Credential, bool)
	// Fleet says whether the fleet's are good for an Inform of the CPE with an Identity, which may have credentials of its own. Where they
	// are not now, but may be later, retryAfter is when to try again, in seconds.
	Fleet(identity string, m *Inform) (ok bool, retryAfter int)
}

const (
	realm = "isthmus"

	// nonceLife is how long a nonce can be answered: a CPE may come back on another connection, but not much later.
	nonceLife = time.Minute
)

// gate is an Auth at work. It keeps nothing about CPE.
type gate struct {
	Auth
	key   [sha256.Size]byte   // of the nonces
	owned map[string]struct{} // those of the CPE that have a Credential
}

func newGate(a *Auth) *gate {
	if a == nil || a.Scheme == NoScheme && !a.Certificate {
		return nil
	}
	g := &gate{Auth: *a, owned: make(map[string]struct{}, len(a.Credentials))}
	rand.Read(g.key[:]) // never fails
	for _, c := range a.Credentials {
		g.owned[c.Identity] = struct{}{}
	}
	return g
}

// SetCredentials has a Server that demands some go by others from the next Inform on: Username, Password and Credentials of a. The rest of what
// it demands, and challenges under way, stay. A Server that demands none lets everybody in still.
func (sv *Server) SetCredentials(a *Auth) {
	old := sv.gate.Load()
	if old == nil {
		return
	}
	next := old.Auth
	next.Username, next.Password, next.Credentials = a.Username, a.Password, a.Credentials
	g := newGate(&next)
	g.key = old.key
	sv.gate.Store(g)
}

// caller is who has authenticated: a user name that was proven, "" where none is asked for.
type caller struct {
	user string
	by   *gate // whose word it is
}

// The outcomes of authentication, as the metric shows them.
const (
	authOK          = "ok"
	authChallenged  = "challenged"  // no credentials, or of another scheme
	authStale       = "stale"       // right, for a nonce that is not valid any more
	authCredentials = "credentials" // wrong, or not to be read
	authIdentity    = "identity"    // right, but those of another CPE
	authCertificate = "certificate" // none, or that of another CPE
	authLater       = "later"       // the fleet's, of a CPE that had its own and may have lost them
)

// authenticate finds out who sent a POST. c is its connection, nil where others share it. Where user is not "" beside another outcome
// than authOK it is only claimed.
func (g *gate) authenticate(r *http.Request, c *connState) (who *caller, user, outcome string) {
	if g.Certificate && (r.TLS == nil || len(r.TLS.VerifiedChains) == 0) {
		return nil, "", authCertificate
	}
	if g.Scheme == NoScheme {
		return &caller{by: g}, "", authOK
	}
	header := r.Header.Get("Authorization")
	scheme, rest, _ := strings.Cut(strings.TrimSpace(header), " ")
	switch {
	case header == "" && c != nil && c.who.Load() != nil && c.who.Load().by == g:
		who = c.who.Load()
		return who, who.user, authOK
	case !strings.EqualFold(scheme, string(g.Scheme)):
		return nil, "", authChallenged
	case g.Scheme == Basic:
		user, outcome = g.basic(rest)
	default:
		user, outcome = g.digest(r.Method, rest, time.Now())
	}
	if outcome != authOK {
		return nil, user, outcome
	}
	who = &caller{user, g}
	if c != nil {
		c.who.Store(who)
	}
	return who, user, outcome
}

// password is that of a user name. An unknown one has a password, too, but nobody knows it: so all take as long to refuse.
func (g *gate) password(user string) string {
	if c, ok := g.Credentials[user]; ok {
		return c.Password
	}
	if user == g.Username && user != "" {
		return g.Password
	}
	if c, ok := g.issued(user); ok {
		return c.Password
	}
	return string(g.key[:])
}

func (g *gate) issued(user string) (Credential, bool) {
	if g.Issuer == nil || user == "" || user == g.Username {
		return Credential{}, false
	}
	return g.Issuer.Issued(user)
}

func (g *gate) basic(encoded string) (user, outcome string) {
	text, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(strings.TrimSpace(encoded), "="))
	if err != nil {
		return "", authCredentials
	}
	user, given, _ := strings.Cut(string(text), ":")
	want, got := sha256.Sum256([]byte(g.password(user))), sha256.Sum256([]byte(given))
	if subtle.ConstantTimeCompare(want[:], got[:]) != 1 {
		return user, authCredentials
	}
	return user, authOK
}

// vouches says whether who may be the CPE of an Inform, if that says which CPE it is.
func (g *gate) vouches(who *caller, r *http.Request, m *Inform) (outcome string, retryAfter int) {
	if m.DeviceId.OUI == "" || m.DeviceId.SerialNumber == "" {
		return authOK, 0 // it is refused for that
	}
	if g.Certificate && !g.certified(r, m.DeviceId) {
		return authCertificate, 0
	}
	if g.Scheme == NoScheme {
		return authOK, 0
	}
	name := g.Identity(m.DeviceId)
	if c, ok := g.Credentials[who.user]; ok {
		return authOKIf(c.Identity == name), 0
	}
	if c, ok := g.issued(who.user); ok {
		return authOKIf(c.Identity == name), 0
	}
	if _, owned := g.owned[name]; owned || g.Issuer == nil {
		return authOKIf(!owned), 0
	}
	ok, retryAfter := g.Issuer.Fleet(name, m)
	if !ok && retryAfter > 0 {
		return authLater, retryAfter
	}
	return authOKIf(ok), 0
}

func authOKIf(same bool) (outcome string) {
	if !same {
		return authIdentity
	}
	return authOK
}

func (g *gate) certified(r *http.Request, id DeviceID) bool {
	names, leaf := g.CertificateNames(id), r.TLS.VerifiedChains[0][0]
	if slices.Contains(names, leaf.Subject.CommonName) {
		return true
	}
	for _, n := range leaf.DNSNames {
		if slices.Contains(names, n) {
			return true
		}
	}
	for _, u := range leaf.URIs {
		if slices.Contains(names, u.String()) {
			return true
		}
	}
	return false
}

// letIn finds out who sent an Inform that may open a session; if it may not, it is answered. who is nil where nobody has asked yet.
func (sv *Server) letIn(w http.ResponseWriter, r *http.Request, c *connState, who *caller, m *Inform) *caller {
	var user string
	var retryAfter int
	outcome := authOK
	if who == nil {
		who, user, outcome = sv.gate.Load().authenticate(r, c)
	}
	if who != nil {
		user = who.user
		outcome, retryAfter = who.by.vouches(who, r, m)
	}
	switch outcome {
	case authOK:
		sv.metrics.authentications.WithLabelValues(authOK).Inc()
		return who
	case authLater:
		sv.metrics.authentications.WithLabelValues(authLater).Inc()
		sv.log.Info("CPE told to come again", "remote", r.RemoteAddr, "user", user, "seconds", retryAfter)
		unavailable(w, retryAfter)
	default:
		sv.deny(w, r, user, outcome)
	}
	return nil
}

// deny answers a POST that was not authenticated: with a challenge, or with 403 where no other answer of the CPE could help.
func (sv *Server) deny(w http.ResponseWriter, r *http.Request, user, outcome string) {
	sv.metrics.authentications.WithLabelValues(outcome).Inc()
	switch outcome {
	case authCredentials, authIdentity, authCertificate:
		sv.log.Warn("CPE not authenticated", "remote", r.RemoteAddr, "user", user, "reason", outcome)
	}
	if outcome == authCertificate {
		write(w, answer{status: http.StatusForbidden})
		return
	}
	// As CPE look for it; Set would write Www-Authenticate.
	w.Header()["WWW-Authenticate"] = []string{sv.gate.Load().challenge(time.Now(), outcome == authStale)}
	write(w, answer{status: http.StatusUnauthorized})
}
