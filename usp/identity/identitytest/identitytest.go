// Package identitytest makes certificates for tests.
package identitytest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"isthmus/usp"
)

// Authority is a CA.
type Authority struct {
	Cert  *x509.Certificate
	Key   crypto.Signer
	chain [][]byte // what is sent after a certificate: this CA and those above it, but for the root
}

// Root makes a CA that signs itself. Edits change the certificate before it is signed.
func Root(t testing.TB, name string, edits ...func(*x509.Certificate)) *Authority {
	t.Helper()
	return (&Authority{}).CA(t, name, edits...)
}

// CA makes a CA below a.
func (a *Authority) CA(t testing.TB, name string, edits ...func(*x509.Certificate)) *Authority {
	t.Helper()
	below := &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true}
	pair := a.sign(t, below, edits)
	ca := &Authority{Cert: pair.Leaf, Key: pair.PrivateKey.(crypto.Signer)}
	if a.Cert != nil {
		ca.chain = pair.Certificate
	}
	return ca
}

// Issue makes a certificate for 127.0.0.1 that names an Endpoint, unless id is "". A zero Authority makes one that signs itself.
func (a *Authority) Issue(t testing.TB, id usp.EndpointID, edits ...func(*x509.Certificate)) *tls.Certificate {
	t.Helper()
	c := &x509.Certificate{Subject: pkix.Name{CommonName: string(id)}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	if id != "" {
		c.URIs = []*url.URL{Name(t, id)}
	}
	return a.sign(t, c, edits)
}

// Name is an Endpoint as a certificate names it.
func Name(t testing.TB, id usp.EndpointID) *url.URL {
	t.Helper()
	u, err := url.Parse(id.URN())
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func (a *Authority) sign(t testing.TB, c *x509.Certificate, edits []func(*x509.Certificate)) *tls.Certificate {
	t.Helper()
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	for _, edit := range edits {
		edit(c)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, by := a.Cert, a.Key
	if parent == nil {
		parent, by = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: append([][]byte{der}, a.chain...), PrivateKey: key, Leaf: leaf}
}

// Pool has one CA.
func (a *Authority) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.Cert)
	return p
}

// PEM is a certificate as text.
func PEM(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

// Chain gives what a peer is shown, parsed.
func Chain(t testing.TB, c *tls.Certificate) []*x509.Certificate {
	t.Helper()
	var out []*x509.Certificate
	for _, der := range c.Certificate {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, cert)
	}
	return out
}

// Files writes a certificate and its key in PEM to dir, as name.pem and name.key.
func Files(t testing.TB, dir, name string, cert *x509.Certificate, key crypto.PrivateKey) (certFile, keyFile string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	for file, text := range map[string][]byte{certFile: []byte(PEM(cert)), keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}
