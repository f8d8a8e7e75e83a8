package usp

import (
	"crypto/x509"
	"slices"
	"strings"
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
