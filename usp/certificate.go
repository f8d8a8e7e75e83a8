package usp

import (
	"crypto/x509"
	"slices"
	"strings"
	"time"
)

// Naming is what a certificate says of an Endpoint.
type Naming int

// What Named gives.
const (
	NamesNobody Naming = iota // no Endpoint at all
	NamesOther                // Endpoints, but not this one
	NamesIt
)

// Named looks for an Endpoint in a certificate's subjectAltName (R-SEC.0a): as a URN, with a wildcard in the instance-id where R-SEC.12 allows one,
// or, of an Endpoint whose scheme is fqdn, as a DNS name. The certificate must have been verified.
func Named(cert *x509.Certificate, id EndpointID) Naming {
	named := NamesNobody
	for _, u := range cert.URIs {
		name := u.String()
		if len(name) < len(urn) || !strings.EqualFold(name[:len(urn)], urn) {
			continue
		}
		if covers(name[len(urn):], string(id)) {
			return NamesIt
		}
		named = NamesOther
	}
	if host, ok := strings.CutPrefix(string(id), "fqdn::"); ok &&
		slices.ContainsFunc(cert.DNSNames, func(name string) bool { return strings.EqualFold(name, host) }) {
		return NamesIt
	}
	return named
}

// covers compares a name in a certificate, which may have one "*" for a part of the instance-id, with an Endpoint ID.
func covers(name, id string) bool {
	before, after, wild := strings.Cut(name, "*")
	if !wild {
		return name == id
	}
	scheme, rest, _ := strings.Cut(before, ":")
	authority, instance, ok := strings.Cut(rest, ":")
	switch scheme {
	case "oui", "cid", "pen":
		ok = ok && authority != ""
	case "os", "ops":
		ok = ok && strings.Contains(instance, "-") // what comes before it is the OUI
	default:
		return false
	}
	return ok && len(id) > len(before)+len(after) && strings.HasPrefix(id, before) && strings.HasSuffix(id, after)
}

// past has passed: a clock that says an earlier time was not set.
var past = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// VerifyCertificates looks for chains from what a peer has shown, its own certificate first and never nothing, to the Roots of o, through what else was shown.
// While the clock is not set, what was shown may be from before or after its time (R-MTP.2, R-MTP.3, R-SEC.19, R-SEC.20). The errors are those of x509.
func VerifyCertificates(shown []*x509.Certificate, o x509.VerifyOptions) ([][]*x509.Certificate, error) {
	now := time.Now()
	if now.Before(past) {
		shown, now = undated(shown)
	}
	o.CurrentTime, o.Intermediates = now, x509.NewCertPool()
	for _, cert := range shown[1:] {
		o.Intermediates.AddCert(cert)
	}
	return shown[0].Verify(o)
}

// undated gives certificates that are good at any time, and the time at which the last of them was issued, for those of the CAs above them.
func undated(certs []*x509.Certificate) (out []*x509.Certificate, issued time.Time) {
	for _, cert := range certs {
		c := *cert
		c.NotBefore, c.NotAfter = time.Time{}, time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC)
		out = append(out, &c)
		if cert.NotBefore.After(issued) {
			issued = cert.NotBefore
		}
	}
	return out, issued
}
