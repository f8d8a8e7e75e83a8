package xmpp

import (
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"hash"
	"testing"
)

// The examples of RFC 5802 5 and RFC 7677 3. A server that does not know the password is told from one that does.
func TestSCRAM(t *testing.T) {
	for name, tc := range map[string]struct {
		hash                             func() hash.Hash
		nonce, challenge, answer, server string
	}{
		"SCRAM-SHA-1": {sha1.New, "fyko+d2lbbFgONRv9qkxdawL", "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
			"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", "v=rmF9pqV8S7suAoZWja4dJRkFsKQ="},
		"SCRAM-SHA-256": {sha256.New, "rOprNGfwEbeRWgbNEkqO", "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
			"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
			"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
	} {
		s := &scram{hash: tc.hash, user: "user", password: "pencil", nonce: tc.nonce}
		if got, err := s.next(tc.challenge); err != nil || got != tc.answer {
			t.Errorf("%s: %s, %v", name, got, err)
		}
		for _, wrong := range []string{"", "v=", "v=AAAA", "e=other-error"} {
			if err := s.done(wrong); !errors.Is(err, ErrAuth) {
				t.Errorf("%s: the server's %q was taken: %v", name, wrong, err)
			}
		}
		if err := s.done(tc.server); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSCRAMChallenges(t *testing.T) {
	for _, challenge := range []string{"", "r=nonce,s=AAAA,i=4096", "r=other1,s=AAAA,i=4096", "r=nonce1,s=!,i=4096", "r=nonce1,s=AAAA,i=0", "r=nonce1,s=AAAA,i=1000000000"} {
		if got, err := (&scram{hash: sha1.New, nonce: "nonce"}).next(challenge); !errors.Is(err, ErrAuth) {
			t.Errorf("%q: %q, %v", challenge, got, err)
		}
	}
	if _, err := (plainAuth{}).next("x"); !errors.Is(err, ErrAuth) {
		t.Error(err)
	}
	if got := (&scram{user: "a=b,c", nonce: "n"}).first(); got != "n,,n=a=3Db=2Cc,r=n" {
		t.Error(got)
	}
}
