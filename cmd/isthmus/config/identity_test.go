package config

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pemFiles writes a certificate that signs itself and its key.
func pemFiles(t *testing.T, dir, name string, key crypto.Signer, ca bool, until time.Time) {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: until, IsCA: ca, BasicConstraintsValid: true}
	cert, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: cert}, name + ".key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestIdentity(t *testing.T) {
	dir := t.TempDir()
	key := func() crypto.Signer {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	year := time.Now().Add(365 * 24 * time.Hour)
	pemFiles(t, dir, "ca", key(), true, year)
	pemFiles(t, dir, "other", key(), true, year)
	pemFiles(t, dir, "leaf", key(), false, year)
	pemFiles(t, dir, "old", key(), true, time.Now().Add(-time.Minute))
	pemFiles(t, dir, "ed", ed, true, year)
	const certKey, keyKey = "isthmus.yaml:1: usp.identity.ca_cert_file: ", "isthmus.yaml:1: usp.identity.ca_key_file: "
	for _, c := range []struct{ cert, key, want string }{
		{"ca.pem", "ca.key", ""},
		{"ca.pem", "", certKey + "has no usp.identity.ca_key_file: set both"},
		{"", "ca.key", keyKey + "has no usp.identity.ca_cert_file: set both"},
		{"none.pem", "ca.key", certKey + "cannot be read: "},
		{"ca.pem", "none.key", keyKey + "cannot be read: "},
		{"ca.pem", "other.key", certKey + "does not load together with ca_key_file: "},
		{"ca.key", "ca.key", certKey + "does not load together with ca_key_file: "},
		{"leaf.pem", "leaf.key", certKey + "the certificate is not that of a CA"},
		{"old.pem", "old.key", certKey + "the CA's certificate is not valid at this time: it is from "},
		{"ed.pem", "ed.key", keyKey + "the CA's key is neither ECDSA nor RSA: "},
	} {
		var set []string
		if c.cert != "" {
			set = append(set, fmt.Sprintf("ca_cert_file: %q", filepath.Join(dir, c.cert)))
		}
		if c.key != "" {
			set = append(set, fmt.Sprintf("ca_key_file: %q", filepath.Join(dir, c.key)))
		}
		got := strings.Join(problems(t, "usp: { identity: { "+strings.Join(set, ", ")+" } }\n"), "\n")
		if !strings.HasPrefix(got, c.want) || c.want == "" && got != "" || strings.Contains(got, "\n") {
			t.Errorf("%s, %s: got %q, want %q", c.cert, c.key, got, c.want)
		}
	}
}
