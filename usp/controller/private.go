package controller

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"isthmus/usp"
	"isthmus/usp/e2e"
	"isthmus/usp/secure"
	"isthmus/usp/usppb"
)

// Security is how a Controller protects its Records by itself.
type Security struct {
	// Certificate, ECDSA P-256, signs Records; nil: they are not signed.
	Certificate *tls.Certificate
	// Roots are the CAs of Agents' certificates in payload security.
	Roots *x509.CertPool
	// TLS has sessions that OpenSession begins protect their payloads. It needs Certificate.
	TLS bool
}

var errNegotiating = errors.New("controller: the TLS session is not up yet")

// session is a session context and the TLS session in it, if there is one.
type session struct {
	*e2e.Session
	c    *Controller
	peer usp.EndpointID
	tls  *secure.TLS
	mac  bool // what is sent has a MAC
}

// newSession makes a session: of the Agent's, if id is not 0.
func (a *Agent) newSession(id uint64, security usppb.Record_PayloadSecurity) *session {
	s := &session{c: a.c, peer: a.id}
	own := a.c.o.Security.Certificate
	o := e2e.Options{From: a.c.o.EndpointID, To: a.id, MaxRecord: a.c.o.MaxRecord, Retransmits: -1, Security: security, Sign: s.protect, Check: s.check}
	if own != nil {
		o.SignatureSize = secure.Size(own)
	}
	if security == usppb.Record_TLS12 && own != nil {
		s.tls = secure.NewTLS(secure.Config{Client: id == 0, Certificate: own, Verify: s.verify})
		o.Open = s.tls.Feed
	}
	s.Session = e2e.New(o, id)
	return s
}

func (s *session) end() {
	if s != nil && s.tls != nil {
		s.tls.Close()
	}
}

// up says whether messages can be sent.
func (s *session) up() bool { return s.tls == nil || s.mac }

func (s *session) protect(r *usppb.Record) error {
	switch {
	case s.mac:
		s.tls.Protect(r)
	case s.c.o.Security.Certificate != nil:
		return secure.Sign(r, s.c.o.Security.Certificate)
	}
	return nil
}

// check verifies what has a signature, and a MAC once there are keys.
func (s *session) check(r *usppb.Record) error {
	if s.tls != nil && s.tls.Complete() {
		return s.tls.Check(r)
	}
	if len(r.GetMacSignature()) == 0 {
		return nil
	}
	shown, err := secure.Verify(r, nil)
	if err != nil || s.c.o.Security.Roots == nil {
		return err
	}
	return s.verify(shown)
}

// verify judges the Agent's certificate (R-SEC.9, R-SEC.10a).
func (s *session) verify(shown []*x509.Certificate) error {
	_, err := usp.VerifyCertificates(shown, x509.VerifyOptions{Roots: s.c.o.Security.Roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err == nil && usp.Named(shown[0], s.peer) != usp.NamesIt {
		err = fmt.Errorf("the certificate does not name %s", s.peer)
	}
	return err
}

// say makes the Records of a message.
func (s *session) say(msg []byte) ([][]byte, error) {
	if s.tls == nil {
		return s.Send(msg)
	}
	if !s.mac {
		return nil, errNegotiating
	}
	payload, err := s.tls.Seal(msg)
	if err != nil {
		return nil, err
	}
	return s.Send(payload...)
}

// shake makes the Records of what the TLS session has to say, and notes when its handshake is over.
func (s *session) shake() (records [][]byte, err error) {
	if s.tls == nil {
		return nil, nil
	}
	if flight := s.tls.Take(); len(flight) > 0 {
		records, err = s.Send(flight...)
	}
	s.mac = s.tls.Complete()
	return records, err
}
