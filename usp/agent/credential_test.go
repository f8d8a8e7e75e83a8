package agent

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"isthmus/usp"
	"isthmus/usp/identity/identitytest"
	"isthmus/usp/mtp"
)

// certifiedWire is a wire whose peer has shown certificates.
type certifiedWire struct {
	*wire
	chain []*x509.Certificate
}

func (w *certifiedWire) Certificates() []*x509.Certificate { return w.chain }

// meet has ctl2 come over a channel with certificates and go again; it gives its Roles as they are then.
func (r *rig) meet(cert *tls.Certificate) (assigned, inherited string) {
	r.t.Helper()
	w := &certifiedWire{wire: newWire(ctl2)}
	if cert != nil {
		w.chain = identitytest.Chain(r.t, cert)
	}
	r.a.Up(w)
	<-r.a.link(w).ready.opened()
	r.a.Down(w, mtp.ErrDown)
	row := controllerTable + "2."
	get := func(name string) string {
		return strings.TrimPrefix(strings.ReplaceAll(r.get(row+name), roleTable, ""), row+name+"=")
	}
	return get("AssignedRole"), get("InheritedRole")
}

func ended(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }

// R-SEC.0a, R-SEC.2, R-SEC.3, R-SEC.20: who is believed to be ctl2.
func TestAuthenticate(t *testing.T) {
	r, operator, second := certified(t)
	stranger := identitytest.Root(t, "stranger")
	below := operator.CA(t, "below")
	for name, c := range map[string]struct {
		cert   *tls.Certificate
		proven bool
		fails  bool
	}{
		"the CA of all":                    {operator.Issue(t, ctl2), true, false},
		"a CA below it":                    {below.Issue(t, ctl2), true, false},
		"its own CA":                       {second.Issue(t, ctl2), true, false},
		"another name":                     {operator.Issue(t, ctl1), false, true},
		"no name":                          {operator.Issue(t, ""), false, false},
		"an unknown CA":                    {stranger.Issue(t, ctl2), false, true},
		"itself":                           {(&identitytest.Authority{}).Issue(t, ctl2), false, true},
		"expired":                          {operator.Issue(t, ctl2, ended), false, true},
		"not for TLS":                      {operator.Issue(t, ctl2, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }), false, true},
		"the CA in the middle is no CA":    {operator.CA(t, "x", func(c *x509.Certificate) { c.IsCA = false }).Issue(t, ctl2), false, true},
		"the CA in the middle has expired": {operator.CA(t, "x", ended).Issue(t, ctl2), false, true},
	} {
		proven, err := r.a.Authenticate(t.Context(), ctl2, identitytest.Chain(t, c.cert))
		if proven != c.proven || (err != nil) != c.fails {
			t.Errorf("%s: %v, %v", name, proven, err)
		}
	}
	// ctl2's CA says nothing of ctl1.
	if _, err := r.a.Authenticate(t.Context(), ctl1, identitytest.Chain(t, second.Issue(t, ctl1))); !errors.Is(err, errUntrusted) {
		t.Errorf("of another's CA: %v", err)
	}
	// Whoever does not say who it is stays a stranger.
	if proven, err := r.a.Authenticate(t.Context(), "", identitytest.Chain(t, operator.Issue(t, ctl2))); proven || err != nil {
		t.Errorf("without a name: %v, %v", proven, err)
	}
}

// R-SEC.4, R-SEC.8: a certificate that a Controller's row refers to is believed, as long as it does; so is a CA that an enabled Credential refers to.
func TestAddedCertificateIsTrustedByReference(t *testing.T) {
	r, _, _ := certified(t)
	self, nameless := (&identitytest.Authority{}).Issue(t, ctl2), (&identitytest.Authority{}).Issue(t, "")
	ca := identitytest.Root(t, "late")
	believed := func(id usp.EndpointID, cert *tls.Certificate) bool {
		proven, _ := r.a.Authenticate(t.Context(), id, identitytest.Chain(t, cert))
		return proven
	}
	for _, cert := range []*x509.Certificate{self.Leaf, nameless.Leaf, ca.Cert} {
		r.addCertificate(cert, "")
	}
	equal(t, believed(ctl2, self) || believed(ctl2, nameless) || believed(ctl2, ca.Issue(t, ctl2)), false)

	row := controllerTable + "2."
	r.ask(setReq(false, obj{row, []param{req("Credential", certificateRow(self.Leaf)+","+certificateRow(nameless.Leaf))}}))
	equal(t, believed(ctl2, self) && believed(ctl2, nameless), true)
	equal(t, believed(ctl1, self) || believed(ctl1, nameless), false)

	// A Credential proves whom the certificate names.
	other := (&identitytest.Authority{}).Issue(t, "")
	r.addCertificate(other.Leaf, "")
	r.added(obj{credentialTable, []param{req("Enable", "true"), req("Credential", certificateRow(other.Leaf)), req("AllowedUses", mtpAndUSP)}})
	equal(t, believed(ctl2, other), false)
	cred := r.added(obj{credentialTable, []param{req("Credential", certificateRow(ca.Cert)), req("AllowedUses", mtpAndUSP)}})
	equal(t, believed(ctl2, ca.Issue(t, ctl2)), false)
	r.ask(setReq(false, obj{cred, []param{req("Enable", "true")}}))
	equal(t, believed(ctl2, ca.Issue(t, ctl2)) && believed(ctl1, ca.Issue(t, ctl1)), true)
	equal(t, believed(ctl2, ca.Issue(t, "")), false) // it is no stored certificate
	r.ask(setReq(false, obj{cred, []param{req("AllowedUses", mtpOnly)}}))
	proven, err := r.a.Authenticate(t.Context(), ctl2, identitytest.Chain(t, ca.Issue(t, ctl2)))
	equal(t, !proven && err == nil, true) // good for the connection, and for nothing more

	r.ask(setReq(false, obj{row, []param{req("Credential", "")}}))
	equal(t, believed(ctl2, self), false)
}

// R-SEC.25: the Role comes from the first CA of the chain that has one, for as long as that CA has it.
func TestInheritedRole(t *testing.T) {
	r, operator, _ := certified(t)
	middle := operator.CA(t, "middle")
	r.addCertificate(middle.Cert, "middle")
	roleA, roleB := r.added(obj{roleTable, []param{req("Enable", "true"), req("Name", "a")}}), r.added(obj{roleTable, []param{req("Enable", "true"), req("Name", "b")}})
	equal(t, roleA+roleB, roleTable+"3."+roleTable+"4.")
	above := r.added(obj{credentialTable, []param{req("Enable", "true"), req("Credential", certificateRow(operator.Cert)), req("AllowedUses", mtpAndUSP), req("Role", roleA)}})
	inherits := func(cert *tls.Certificate) string {
		t.Helper()
		_, inherited := r.meet(cert)
		return inherited
	}
	equal(t, inherits(middle.Issue(t, ctl2)), "3")
	nearest := r.added(obj{credentialTable, []param{req("Enable", "true"), req("Credential", certificateRow(middle.Cert)), req("AllowedUses", mtpAndUSP), req("Role", roleB)}})
	equal(t, inherits(middle.Issue(t, ctl2)), "4")
	equal(t, inherits(operator.Issue(t, ctl2)), "3")
	equal(t, inherits(operator.Issue(t, "")), "") // R-SEC.4
	equal(t, inherits(nil), "")                   // the next session has its own

	equal(t, inherits(middle.Issue(t, ctl2)), "4")
	commits := r.keep.commits
	equal(t, inherits(middle.Issue(t, ctl2)), "4")
	equal(t, r.keep.commits, commits) // nothing changes, nothing is written
	r.stop()
	r.start()
	r.connect()
	row := controllerTable + "2."
	equal(t, r.get(row+"InheritedRole"), row+"InheritedRole="+roleTable+"4")

	// What is said of the CA holds at once for who has come with it.
	r.ask(setReq(false, obj{nearest, []param{req("Role", roleA+","+roleB)}}))
	equal(t, r.get(row+"InheritedRole"), row+"InheritedRole="+roleTable+"3,"+roleTable+"4")
	r.ask(delReq(false, roleB))
	equal(t, r.get(row+"InheritedRole"), row+"InheritedRole="+roleTable+"3")
	r.ask(setReq(false, obj{nearest, []param{req("AllowedUses", mtpOnly)}}))
	equal(t, r.get(row+"InheritedRole"), row+"InheritedRole=")
	equal(t, inherits(middle.Issue(t, ctl2)), "") // the first that matches counts
	r.ask(delReq(false, nearest))
	equal(t, inherits(middle.Issue(t, ctl2)), "3")
	r.ask(setReq(false, obj{above, []param{req("Enable", "false")}}))
	equal(t, r.get(row+"InheritedRole"), row+"InheritedRole=")
}

// A row that comes to be another Endpoint's loses what the one before has proven.
func TestInheritedRoleIsTheEndpoints(t *testing.T) {
	r, operator, _ := certified(t)
	r.added(obj{credentialTable, []param{req("Enable", "true"), req("Credential", certificateRow(operator.Cert)), req("AllowedUses", mtpAndUSP), req("Role", roleTable+"1")}})
	row := r.added(obj{controllerTable, []param{req("EndpointID", "self::third"), req("Enable", "true")}})
	w := &certifiedWire{newWire("self::third"), identitytest.Chain(t, operator.Issue(t, "self::third"))}
	r.a.Up(w)
	<-r.a.link(w).ready.opened()
	equal(t, r.get(row+"InheritedRole"), row+"InheritedRole="+roleTable+"1")
	r.ask(setReq(false, obj{row, []param{req("EndpointID", "self::fourth")}}))
	equal(t, r.get(row+"InheritedRole"), row+"InheritedRole=")
}

// A certificate that is disabled is revoked: who shows it, or one below it, is refused, and banned if there is a BannedRole.
func TestRevokedAndBanned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, operator, _ := certified(t)
		defer r.stop()
		middle := operator.CA(t, "middle")
		bad, good := middle.Issue(t, ctl2), operator.Issue(t, ctl2)
		r.addCertificate(middle.Cert, "")
		equal(t, r.believes(bad), true)
		r.ask(setReq(false, obj{certificateRow(middle.Cert), []param{req("Enable", "false")}}))
		equal(t, r.believes(bad), false)
		equal(t, r.believes(good), true)
		assigned, _ := r.meet(bad)
		equal(t, assigned, "1") // there is no BannedRole yet

		banned := r.added(obj{roleTable, []param{req("Enable", "true"), req("Name", "banned")}})
		r.ask(setReq(false, obj{trustObject, []param{req("BannedRole", banned)}}))
		equal(t, r.get(trustObject+"BannedRole"), trustObject+"BannedRole="+roleTable+"3")
		equal(t, r.believes(middle.Issue(t, ctl1)), false) // it is about ctl2 alone
		equal(t, r.believes(bad), false)
		assigned, inherited := r.meet(nil)
		equal(t, assigned+inherited, "3")
		equal(t, r.a.accepts(ctl2), false)

		// The configuration says what its Role is; a good certificate gives it back.
		assigned, _ = r.meet(good)
		equal(t, assigned, "1")
		equal(t, r.a.accepts(ctl2), true)

		// A CA whose Role is BannedRole bans as well.
		cred := r.added(obj{credentialTable, []param{req("Enable", "true"), req("Credential", certificateRow(operator.Cert)), req("AllowedUses", mtpAndUSP), req("Role", banned)}})
		r.meet(good)
		equal(t, r.a.accepts(ctl2), false)
		r.ask(delReq(false, cred))
		equal(t, r.a.accepts(ctl2), true)
	})
}

// believes says whether a certificate proves that it is ctl2 who shows it.
func (r *rig) believes(cert *tls.Certificate) bool {
	r.t.Helper()
	proven, err := r.a.Authenticate(r.t.Context(), ctl2, identitytest.Chain(r.t, cert))
	return proven && err == nil
}
