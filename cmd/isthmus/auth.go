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

// credentials are what the configuration says of the credentials of single CPE.
type credentials struct {
	rows               map[usp.EndpointID]config.Credential
	username, password string // of Connection Requests to the others
}

func credentialsOf(c *config.CWMP) *credentials {
	k := &credentials{rows: make(map[usp.EndpointID]config.Credential, len(c.Auth.Credentials)),
		username: c.ConnectionRequest.Username, password: string(c.ConnectionRequest.Password)}
	for _, row := range c.Auth.Credentials {
		k.rows[usp.EndpointID(row.EndpointID)] = row
	}
	return k
}

// connectionRequest gives what a CPE asks of Connection Requests.
func (k *credentials) connectionRequest(id usp.EndpointID) (username, password string) {
	if row := k.rows[id]; row.ConnReqUsername != "" {
		return row.ConnReqUsername, string(row.ConnReqPassword)
	}
	return k.username, k.password
}

// own says whether a CPE has a row to log in with.
func (k *credentials) own(id usp.EndpointID) bool { return k.rows[id].Username != "" }

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
