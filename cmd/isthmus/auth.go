package main

import (
	"crypto/tls"
	"slices"
	"strings"

	"isthmus/cmd/isthmus/config"
	"isthmus/cwmp"
	"isthmus/usp"
)

// cwmpAuth is how CPE prove who they are.
func cwmpAuth(a *config.Auth, issuer cwmp.Issuer) *cwmp.Auth {
	auth := &cwmp.Auth{Username: a.Username, Password: string(a.Password), Credentials: map[string]cwmp.Credential{}, Identity: endpointID, Issuer: issuer,
		Certificate: a.Certificate(), CertificateNames: certificateNames}
	switch a.HTTP() {
	case "basic":
		auth.Scheme = cwmp.Basic
	case "digest":
		auth.Scheme = cwmp.Digest
	}
	for _, c := range a.Credentials {
		if c.Username != "" {
			auth.Credentials[c.Username] = cwmp.Credential{Identity: c.EndpointID, Password: string(c.Password)}
		}
	}
	return auth
}

func endpointID(id cwmp.DeviceID) string {
	e, _, err := usp.AgentEndpointID(id.OUI, id.ProductClass, id.SerialNumber)
	if err != nil {
		return "" // an Inform without identity is refused anyway
	}
	return string(e)
}

// certificateNames are what the certificate of a CPE may say: the long Endpoint ID, what follows its scheme, and the plain
// OUI-ProductClass-SerialNumber where no other CPE's looks the same.
func certificateNames(id cwmp.DeviceID) []string {
	_, long, err := usp.AgentEndpointID(id.OUI, id.ProductClass, id.SerialNumber)
	if err != nil {
		return nil
	}
	_, instance, _ := strings.Cut(long, "::")
	names, fields := []string{long, instance}, []string{id.OUI, id.ProductClass, id.SerialNumber}
	if !strings.ContainsAny(strings.Join(fields, ""), "-%") {
		names = append(names, strings.Join(slices.DeleteFunc(fields, func(s string) bool { return s == "" }), "-"))
	}
	return names
}

// connReqCredentials finds what a CPE of the credentials file asks of Connection Requests.
func connReqCredentials(a *config.Auth) func(usp.EndpointID) (username, password string) {
	rows := map[usp.EndpointID]config.Credential{}
	for _, c := range a.Credentials {
		if c.ConnReqUsername != "" {
			rows[usp.EndpointID(c.EndpointID)] = c
		}
	}
	return func(id usp.EndpointID) (username, password string) {
		c := rows[id]
		return c.ConnReqUsername, string(c.ConnReqPassword)
	}
}

// legacyTLS is serverTLS for CPE that know no better: TLS 1.0, and the suites that Go leaves out of its own choice (RSA key exchange, CBC,
// 3DES), but for RC4, which nobody can need. As both are named here no GODEBUG setting is, which would hold for the whole process.
func legacyTLS(c *config.ServerTLS, clientCA string) (*tls.Config, error) {
	t, err := serverTLS(c, clientCA)
	if t == nil || err != nil {
		return nil, err
	}
	t.MinVersion = tls.VersionTLS10
	for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		if !strings.Contains(s.Name, "_RC4_") {
			t.CipherSuites = append(t.CipherSuites, s.ID)
		}
	}
	return t, nil
}
