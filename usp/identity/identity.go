// Package identity issues the certificates by which Agents prove who they are (TR-369, "Agent Authentication").
package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"isthmus/usp"
)

const (
	// lifetime is how long a certificate is good for, if its CA's is; half of it before its end there is a new one.
	lifetime = 7 * 24 * time.Hour
	// skew is how far the clock of a peer may be behind.
	skew = time.Hour
	// generation is how many certificates are kept before the oldest are dropped: twice that at most.
	generation = 1024
)

// What is wrong with a CA.
var (
	ErrNotCA   = errors.New("the certificate is not that of a CA: it needs basicConstraints CA:TRUE and, if it has a key usage, keyCertSign")
	ErrKeyType = errors.New("the CA's key is neither ECDSA nor RSA")
	ErrExpired = errors.New("the CA's certificate is not valid at this time")
)

// CA issues one certificate per Agent. All have the same key, which lives as long as the CA. Its methods may be called from any goroutine.
type CA struct {
	cert  *x509.Certificate
	key   crypto.Signer
	chain [][]byte // what is sent after an Agent's certificate
	own   *ecdsa.PrivateKey

	mu         sync.Mutex
	young, old map[usp.EndpointID]*tls.Certificate
}

// NotAfter is when the CA, and with it every certificate that it issues, expires.
func (c *CA) NotAfter() time.Time { return c.cert.NotAfter }

// New makes a CA of its certificate, which those of the CAs above it may follow, and its key, both in PEM.
func New(certPEM, keyPEM []byte) (*CA, error) {
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, err
	}
	c := &CA{cert: pair.Leaf, young: map[usp.EndpointID]*tls.Certificate{}}
	switch key := pair.PrivateKey.(type) {
	case *ecdsa.PrivateKey:
		c.key = key
	case *rsa.PrivateKey:
		c.key = key
	default:
		return nil, ErrKeyType
	}
	if u := c.cert.KeyUsage; !c.cert.BasicConstraintsValid || !c.cert.IsCA || u != 0 && u&x509.KeyUsageCertSign == 0 {
		return nil, ErrNotCA
	}
	if err := c.valid(time.Now()); err != nil {
		return nil, err
	}
	for _, der := range pair.Certificate {
		above, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		if above.CheckSignatureFrom(above) != nil { // a root need not be sent (RFC 8446, 4.4.2)
			c.chain = append(c.chain, der)
		}
	}
	if c.own, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return c, nil
}

func (c *CA) valid(now time.Time) error {
	if now.Before(c.cert.NotBefore) || now.After(c.cert.NotAfter) {
		return fmt.Errorf("%w: it is from %s to %s", ErrExpired, c.cert.NotBefore.Format(time.RFC3339), c.cert.NotAfter.Format(time.RFC3339))
	}
	return nil
}

// Certificate gives the certificate of an Agent, ECDSA P-256, with its Endpoint ID as a URI in subjectAltName (R-SEC.10). It is good for half
// of its lifetime at least, unless the CA's own ends before. The caller must not change it. The error is ErrExpired, or one of signing.
func (c *CA) Certificate(id usp.EndpointID) (*tls.Certificate, error) {
	now := time.Now()
	if kept := c.kept(id, now); kept != nil {
		return kept, nil
	}
	if err := c.valid(now); err != nil {
		return nil, err
	}
	cert, err := c.issue(id, now)
	if err != nil {
		return nil, fmt.Errorf("certificate of %s: %w", id, err)
	}
	c.keep(id, cert)
	return cert, nil
}

func (c *CA) issue(id usp.EndpointID, now time.Time) (*tls.Certificate, error) {
	name, err := url.Parse(id.URN())
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		Subject: pkix.Name{CommonName: string(id)}, URIs: []*url.URL{name},
		NotBefore: latest(now.Add(-skew), c.cert.NotBefore), NotAfter: earliest(now.Add(lifetime), c.cert.NotAfter),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, c.cert, c.own.Public(), c.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: append([][]byte{der}, c.chain...), PrivateKey: c.own, Leaf: leaf}, nil
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// kept gives a certificate that was issued already, nil if there is none or a new one is due.
func (c *CA) kept(id usp.EndpointID, now time.Time) *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	cert := c.young[id]
	if cert == nil {
		cert = c.old[id]
	}
	if cert == nil || now.After(cert.Leaf.NotAfter) || cert.Leaf.NotAfter.Sub(now) < lifetime/2 && cert.Leaf.NotAfter.Before(c.cert.NotAfter) {
		return nil
	}
	return cert
}

func (c *CA) keep(id usp.EndpointID, cert *tls.Certificate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.young) >= generation {
		c.old, c.young = c.young, make(map[usp.EndpointID]*tls.Certificate)
	}
	c.young[id] = cert
}
