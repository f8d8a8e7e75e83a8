package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"testing"
	"testing/synctest"
	"time"

	"isthmus/usp"
)

const agentID usp.EndpointID = "ops::00D09E-Gate%2Dway-S1"

// root signs itself, or is signed by above.
func root(t *testing.T, key, above crypto.Signer, parent *x509.Certificate, edit func(*x509.Certificate)) (*x509.Certificate, []byte) {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "CA"}, NotBefore: time.Now().Add(-time.Minute),
		NotAfter: time.Now().Add(1000 * time.Hour), IsCA: true, BasicConstraintsValid: true}
	if edit != nil {
		edit(c)
	}
	if parent == nil {
		above, parent = key, c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), above)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return c, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func keyPEM(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func p256(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newCA(t *testing.T, edit func(*x509.Certificate)) (*CA, *x509.Certificate) {
	t.Helper()
	key := p256(t)
	cert, text := root(t, key, nil, nil, edit)
	c, err := New(text, keyPEM(t, key))
	if err != nil {
		t.Fatal(err)
	}
	return c, cert
}

// R-SEC.10, R-SEC.0a: the Endpoint ID is a URI of subjectAltName; the certificate is good for both ends of TLS.
func TestCertificate(t *testing.T) {
	c, cert := newCA(t, nil)
	got, err := c.Certificate(agentID)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
		if _, err := got.Leaf.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Error(err)
		}
	}
	if len(got.Leaf.URIs) != 1 || got.Leaf.URIs[0].String() != "urn:bbf:usp:id:"+string(agentID) {
		t.Errorf("URIs %v", got.Leaf.URIs)
	}
	if k, ok := got.Leaf.PublicKey.(*ecdsa.PublicKey); !ok || k.Curve != elliptic.P256() {
		t.Errorf("key %T", got.Leaf.PublicKey)
	}
	if again, err := c.Certificate(agentID); err != nil || again != got {
		t.Errorf("another certificate at once (%v)", err)
	}
	other, err := c.Certificate("os::00D09E-2")
	if err != nil || other.Leaf.SerialNumber.Cmp(got.Leaf.SerialNumber) == 0 || other.PrivateKey != got.PrivateKey {
		t.Errorf("of another Agent: %v", err)
	}
}

// An issuing CA below a root sends its own certificate along, the root not.
func TestChain(t *testing.T) {
	top, key := p256(t), p256(t)
	topCert, topText := root(t, top, nil, nil, nil)
	_, text := root(t, key, top, topCert, func(c *x509.Certificate) { c.Subject.CommonName = "issuing" })
	c, err := New(append(text, topText...), keyPEM(t, key))
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Certificate(agentID)
	if err != nil || len(got.Certificate) != 2 {
		t.Fatalf("%d certificates: %v", len(got.Certificate), err)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(topCert)
	above, err := x509.ParseCertificate(got.Certificate[1])
	if err != nil {
		t.Fatal(err)
	}
	between.AddCert(above)
	if _, err := got.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between}); err != nil {
		t.Error(err)
	}
}

// A certificate is renewed while it is still good, never outlives the CA's, and is not issued after that.
func TestRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, cert := newCA(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(lifetime + lifetime/2) })
		first, err := c.Certificate(agentID)
		if err != nil || time.Until(first.Leaf.NotAfter).Round(time.Minute) != lifetime {
			t.Fatalf("good until %v: %v", first.Leaf.NotAfter, err)
		}
		time.Sleep(lifetime/2 + time.Minute)
		second, err := c.Certificate(agentID)
		if err != nil || second == first || !second.Leaf.NotAfter.Equal(cert.NotAfter) {
			t.Fatalf("not renewed, or not to the end of the CA's: %v", err)
		}
		time.Sleep(lifetime * 9 / 10)
		if third, err := c.Certificate(agentID); err != nil || third != second {
			t.Errorf("renewed where there is nothing to gain: %v", err)
		}
		time.Sleep(lifetime / 5)
		if _, err := c.Certificate(agentID); !errors.Is(err, ErrExpired) {
			t.Errorf("%v", err)
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	c, _ := newCA(t, nil)
	for i := range 2*generation + 10 {
		if _, err := c.Certificate(usp.EndpointID(fmt.Sprintf("os::00D09E-%d", i))); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(c.young) + len(c.old); n > 2*generation {
		t.Errorf("%d certificates", n)
	}
}

func TestNew(t *testing.T) {
	key := p256(t)
	_, good := root(t, key, nil, nil, nil)
	_, leaf := root(t, key, nil, nil, func(c *x509.Certificate) { c.IsCA = false })
	_, noSign := root(t, key, nil, nil, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature })
	_, expired := root(t, key, nil, nil, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) })
	_, future := root(t, key, nil, nil, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) })
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edCert := root(t, ed, nil, nil, nil)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, rsaCert := root(t, rsaKey, nil, nil, nil)
	for _, c := range []struct {
		name string
		cert []byte
		key  crypto.Signer
		want error
	}{
		{"ECDSA", good, key, nil},
		{"RSA", rsaCert, rsaKey, nil},
		{"not a CA", leaf, key, ErrNotCA},
		{"may not sign", noSign, key, ErrNotCA},
		{"expired", expired, key, ErrExpired},
		{"not yet", future, key, ErrExpired},
		{"Ed25519", edCert, ed, ErrKeyType},
	} {
		ca, err := New(c.cert, keyPEM(t, c.key))
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err == nil {
			if _, err := ca.Certificate(agentID); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	}
	if _, err := New(good, keyPEM(t, p256(t))); err == nil {
		t.Error("another's key is taken")
	}
	if _, err := New(nil, nil); err == nil {
		t.Error("nothing is taken")
	}
}

func BenchmarkIssue(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	ca := &CA{key: key, own: key, cert: &x509.Certificate{Subject: pkix.Name{CommonName: "CA"}, NotBefore: now, NotAfter: now.Add(time.Hour), PublicKey: key.Public()}}
	for b.Loop() {
		if _, err := ca.issue(agentID, now); err != nil {
			b.Fatal(err)
		}
	}
}
