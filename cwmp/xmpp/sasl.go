package xmpp

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // SCRAM-SHA-1, which every server knows
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"strings"
)

// ErrAuth says that the server refused the account, or could not show that it knows it.
var ErrAuth = errors.New("xmpp: not authenticated")

const (
	plain         = "PLAIN"
	maxIterations = 1_000_000 // of PBKDF2; servers ask for 4096 to some 100,000
	nonceSize     = 18        // bytes
)

// mechanisms of SASL (RFC 4422), the best first. All are used inside of TLS only.
var mechanisms = []struct {
	name string
	hash func() hash.Hash
}{{"SCRAM-SHA-256", sha256.New}, {"SCRAM-SHA-1", sha1.New}, {plain, nil}}

// authenticator is the client's side of a SASL exchange.
type authenticator interface {
	// first is the initial response, next answers a challenge; done checks what came with success.
	first() string
	next(challenge string) (string, error)
	done(data string) error
}

// choose takes the best mechanism that the server offers.
func choose(offered []string, user, password string) (name string, a authenticator, err error) {
	for _, m := range mechanisms {
		switch {
		case !slices.Contains(offered, m.name):
		case m.name == plain:
			return m.name, plainAuth{user, password}, nil
		default:
			var nonce [nonceSize]byte
			rand.Read(nonce[:]) //nolint:errcheck // never fails
			return m.name, &scram{hash: m.hash, user: user, password: password, nonce: base64.StdEncoding.EncodeToString(nonce[:])}, nil
		}
	}
	return "", nil, fmt.Errorf("%w: the server offers %s", ErrAuth, strings.Join(offered, ", "))
}

type plainAuth struct{ user, password string }

func (p plainAuth) first() string { return "\x00" + p.user + "\x00" + p.password }

func (plainAuth) next(string) (string, error) {
	return "", fmt.Errorf("%w: a challenge where PLAIN has none", ErrAuth)
}

func (plainAuth) done(string) error { return nil }

// scram is RFC 5802 without channel binding.
type scram struct {
	hash                  func() hash.Hash
	user, password, nonce string
	signature             []byte // of the server; nil until it is known
	verified              bool
}

func (s *scram) bare() string {
	return "n=" + strings.NewReplacer("=", "=3D", ",", "=2C").Replace(s.user) + ",r=" + s.nonce
}

func (s *scram) first() string { return "n,," + s.bare() }

func (s *scram) next(challenge string) (string, error) {
	if s.signature != nil {
		return "", s.done(challenge) // some servers challenge with what belongs to success
	}
	fields := scramFields(challenge)
	salt, err := base64.StdEncoding.DecodeString(fields["s"])
	iterations, number := strconv.Atoi(fields["i"])
	nonce := fields["r"]
	if err != nil || number != nil || iterations < 1 || iterations > maxIterations || len(nonce) <= len(s.nonce) || !strings.HasPrefix(nonce, s.nonce) {
		return "", fmt.Errorf("%w: the server's challenge is wrong", ErrAuth)
	}
	salted, err := pbkdf2.Key(s.hash, s.password, salt, iterations, s.hash().Size())
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrAuth, err)
	}
	final := "c=" + base64.StdEncoding.EncodeToString([]byte("n,,")) + ",r=" + nonce
	message := s.bare() + "," + challenge + "," + final
	client := s.mac(salted, "Client Key")
	h := s.hash()
	h.Write(client)
	proof := s.mac(h.Sum(nil), message)
	subtle.XORBytes(proof, proof, client)
	s.signature = s.mac(s.mac(salted, "Server Key"), message)
	return final + ",p=" + base64.StdEncoding.EncodeToString(proof), nil
}

func (s *scram) done(data string) error {
	if s.verified && data == "" {
		return nil
	}
	v, err := base64.StdEncoding.DecodeString(scramFields(data)["v"])
	if err != nil || s.signature == nil || !hmac.Equal(v, s.signature) {
		return fmt.Errorf("%w: the server does not know the password", ErrAuth)
	}
	s.verified = true
	return nil
}

func (s *scram) mac(key []byte, text string) []byte {
	m := hmac.New(s.hash, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

func scramFields(s string) map[string]string {
	fields := make(map[string]string)
	for f := range strings.SplitSeq(s, ",") {
		if key, value, ok := strings.Cut(f, "="); ok {
			fields[key] = value
		}
	}
	return fields
}
