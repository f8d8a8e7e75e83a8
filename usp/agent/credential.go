package agent

import (
	"crypto/x509"
	"errors"
	"slices"
	"strings"

	"isthmus/usp"
)

const (
	credentialTable = trustObject + "Credential."
	maxCredentials  = 64

	// The values of AllowedUses. MTP-and-broker is not among them: there is no MTP with a broker.
	mtpOnly   = "MTP-only"
	mtpAndUSP = "MTP-and-USP"

	viaKey = ".via" // in a Controller: the row of its CA in credentialTable, from which InheritedRole comes
)

// credentialTables say which certificates, besides the configuration's, prove who a Controller is, and what Role comes with it.
var credentialTables = []*table{
	{ObjectDef: ObjectDef{Path: credentialTable + "{i}.", Multi: true, Access: AddDelete, Keys: [][]string{{"Alias"}, {"Credential"}}},
		limit: maxCredentials, count: "CredentialNumberOfEntries", columns: []column{
			alias(),
			flag("Enable"),
			roles("Role"),
			reference("Credential", certificateTable),
			oneOf(text("AllowedUses", mtpOnly, 0), mtpOnly, mtpAndUSP),
		}},
}

// certificates is a list of strong references to Certificates.
func certificates(name string) column {
	c := list(name, 0)
	c.refers, c.Refers = certificateTable, true
	return c
}

// anchor is a Certificate that ends a chain.
type anchor struct {
	cert       *x509.Certificate
	revoked    bool
	proves     bool   // it proves who the Controller is; else only that the connection is trustworthy
	own        bool   // it is there for this Controller alone
	credential string // the row of credentialTable that refers to it
}

// anchors gives the Certificates that count for a Controller: those that it may come from, and those that are revoked, which are the ones
// that are not enabled.
func (rs *rowSet) anchors(f *Fleet, peer usp.EndpointID) []anchor {
	mine := splitList(rs.get(rs.controller(peer), "Credential"))
	credentials := map[string]string{}
	for _, c := range rs.instances(credentialTable) {
		if rs.is(c, "Enable") {
			credentials[rs.get(c, "Credential")+"."] = c
		}
	}
	var all []anchor
	for _, path := range rs.instances(certificateTable) {
		n := anchor{credential: credentials[path], revoked: !rs.is(path, "Enable")}
		whom := strings.Fields(rs.values[path][provesKey])
		n.own = slices.Contains(mine, strings.TrimSuffix(path, ".")) || slices.Contains(whom, string(peer))
		n.proves = n.own || slices.Contains(whom, anybody) || n.credential != "" && rs.get(n.credential, "AllowedUses") == mtpAndUSP
		if !n.revoked && !n.proves && n.credential == "" {
			continue
		}
		if n.cert = rs.certificate(f, path); n.cert != nil {
			all = append(all, n)
		}
	}
	return all
}

var (
	errUntrusted = errors.New("nothing that this Agent trusts vouches for the certificate")
	errRevoked   = errors.New("the certificate, or one above it, is disabled at this Agent")
)

// voucher is what a chain of certificates is worth.
type voucher struct {
	proves bool   // it proves who the Controller is, if the first certificate names it
	stored bool   // the first certificate is itself one that the Agent has for this Controller
	via    string // the row of credentialTable that counts: that of the first certificate in the chain which has one (R-SEC.25)
}

// vouch looks for a chain from what a Controller has shown, its own certificate first, to one that counts for it. The error is errUntrusted,
// errRevoked, or says what is wrong with the certificate.
func (rs *rowSet) vouch(f *Fleet, peer usp.EndpointID, shown []*x509.Certificate) (voucher, error) {
	all := rs.anchors(f, peer)
	o := x509.VerifyOptions{Roots: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	for i := range all {
		o.Roots.AddCert(all[i].cert)
	}
	chains, err := usp.VerifyCertificates(shown, o)
	switch {
	case errors.As(err, &x509.UnknownAuthorityError{}):
		return voucher{}, errUntrusted
	case err != nil:
		return voucher{}, err
	}
	var best voucher
	sound := false
	for _, chain := range chains {
		v, ok := climb(chain, all)
		if !ok {
			continue
		}
		sound = true
		best.proves, best.stored = best.proves || v.proves, best.stored || v.stored
		if best.via == "" {
			best.via = v.via
		}
	}
	if !sound {
		return voucher{}, errRevoked
	}
	return best, nil
}

// climb goes up a chain. It is not ok if a certificate in it is revoked.
func climb(chain []*x509.Certificate, all []anchor) (v voucher, ok bool) {
	for i, cert := range chain {
		n := slices.IndexFunc(all, func(n anchor) bool { return n.cert.Equal(cert) })
		if n < 0 {
			continue
		}
		if all[n].revoked {
			return voucher{}, false
		}
		v.proves = v.proves || all[n].proves
		v.stored = v.stored || i == 0 && all[n].own
		if v.via == "" {
			v.via = all[n].credential
		}
	}
	return v, true
}

// inheritable is the Role that comes with a row of credentialTable.
func (rs *rowSet) inheritable(via string) string {
	cert := rs.get(via, "Credential") + "."
	if via == "" || !rs.is(via, "Enable") || !rs.is(cert, "Enable") || rs.get(via, "AllowedUses") != mtpAndUSP {
		return ""
	}
	return rs.get(via, "Role")
}

// inherit keeps InheritedRole as the row of credentialTable that it comes from says. That may be more than TR-369 asks for, which lets a Role
// that was withdrawn be used until the end of a session.
func (t *tx) inherit() {
	for _, c := range t.rows.instances(controllerTable) {
		if via := t.rows.values[c][viaKey]; via != "" {
			t.put(c, "InheritedRole", t.rows.inheritable(via))
		}
	}
}
