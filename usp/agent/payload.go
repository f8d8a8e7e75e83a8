package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"time"

	"isthmus/usp"
	"isthmus/usp/e2e"
	"isthmus/usp/mtp"
	"isthmus/usp/secure"
	"isthmus/usp/usppb"
)

// The values of PayloadSecurity.
const (
	payloadPlaintext = "Plaintext"
	payloadTLS       = "TLS"
)

const (
	// handshakeTime is how long a TLS handshake in a session may take.
	handshakeTime = 30 * time.Second
	// maxSealed is the size in bytes of a message that a session keeps until it is acknowledged, whatever TLS and small Records add to it.
	maxSealed = 4 << 20
)

var (
	errNegotiating   = errors.New("the TLS session in the session context is not up yet")
	errHandshake     = errors.New("the TLS handshake has come to no end")
	errNoCertificate = usp.Errorf(usp.SecureSessionNotSupported, "this Agent has no certificate for payload security")
	errWantsTLS      = usp.Errorf(usp.SecureSessionRequired, "this Controller has to protect its payloads by TLS")
)

// securedSession is a session context with what protects its Records: signatures, or a TLS session in their payloads and MACs that come of it.
type securedSession struct {
	*e2e.Session
	a    *Agent
	peer usp.EndpointID
	l    *channel         // that is in use
	cert *tls.Certificate // that signs while there is no MAC; nil: nothing does
	tls  *secure.TLS      // nil: payloads are in clear
	mac  bool             // what is sent has a MAC
	over bool             // it has been ended
	// shaken is closed when the handshake is over or will never be; nil without TLS.
	shaken chan struct{}
}

// secureSession makes a session. An id of 0 stands for one of the Agent's own, which makes the Agent the client of a TLS session (TR-369, "Session
// Handshake"). The error is errNoCertificate, or that there should be one and is not.
func (a *Agent) secureSession(rs *rowSet, peer usp.EndpointID, l *channel, id uint64, security usppb.Record_PayloadSecurity) (*securedSession, error) {
	s := &securedSession{a: a, peer: peer}
	o := e2e.Options{From: a.id.ID, To: peer, Security: security, Sign: s.protect, Check: s.check}
	if security == usppb.Record_TLS12 {
		cert, err := a.certificate()
		if err != nil {
			return nil, err
		}
		if cert == nil {
			return nil, errNoCertificate
		}
		s.tls = secure.NewTLS(secure.Config{Client: id == 0, Certificate: cert, Verify: s.recognise})
		o.Open, s.shaken = s.tls.Feed, make(chan struct{})
	}
	s.Session = e2e.New(o, id)
	if err := s.use(rs, l); err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

// end lets go of what the session holds. It is of no use any more.
func (s *securedSession) end() {
	if s.tls != nil && !s.over {
		s.over = true
		s.tls.Close()
		if !s.mac {
			close(s.shaken)
		}
	}
}

// use says which channel is in use, what the session may send over it, and what signs that while there is no MAC. A Record in which the signature would
// take more than half goes without. The channel must be ready.
func (s *securedSession) use(rs *rowSet, l *channel) (err error) {
	s.l, s.cert = l, nil
	maxRecord, retransmits := contextLimits(rs, s.peer, l)
	size := secure.MACSize
	if !s.mac {
		if s.cert, err = s.a.signer(l); err != nil {
			return err
		}
		if size = 0; s.cert != nil {
			size = secure.Size(s.cert)
		}
		if maxRecord > 0 && size > maxRecord/2 {
			s.cert, size = nil, 0
		}
	}
	s.Limit(maxRecord, size, retransmits)
	return nil
}

// protect adds a MAC or a signature to a Record (R-E2E.29, R-E2E.33). What carries the end of a handshake is signed still: its receiver has no keys yet.
func (s *securedSession) protect(r *usppb.Record) error {
	switch {
	case s.mac:
		s.tls.Protect(r)
	case s.cert != nil:
		return secure.Sign(r, s.cert)
	}
	return nil
}

// check verifies a Record whose turn it is (R-E2E.23, R-E2E.30). Once there are keys, only an MTP that protects it can stand in for its MAC.
func (s *securedSession) check(r *usppb.Record) error {
	if s.tls == nil || !s.tls.Complete() {
		ctx, cancel := context.WithTimeout(s.a.life(), sendTimeout)
		defer cancel()
		return s.a.verify(ctx, s.l, r)
	}
	err := s.tls.Check(r)
	if errors.Is(err, secure.ErrUnsigned) && s.l.protected {
		return nil
	}
	if err != nil {
		s.a.refuse("mac")
	}
	return err
}

// recognise judges what the Controller has shown in the TLS handshake (R-E2E.43, R-SEC.0a).
func (s *securedSession) recognise(shown []*x509.Certificate) error {
	ctx, cancel := context.WithTimeout(s.a.life(), sendTimeout)
	defer cancel()
	err := s.a.recognise(ctx, s.peer, shown)
	if err != nil {
		s.a.refuse("certificate")
	}
	return err
}

// flight is what the TLS session has to say: a part of its handshake, or an alert.
func (s *securedSession) flight() [][]byte {
	if s.tls == nil {
		return nil
	}
	return s.tls.Take()
}

// say makes the Records of a message. The error is errNegotiating while the handshake is under way.
func (s *securedSession) say(rs *rowSet, l *channel, msg []byte) ([][]byte, error) {
	if s.tls != nil && !s.mac {
		return nil, errNegotiating
	}
	if err := s.use(rs, l); err != nil {
		return nil, err
	}
	if s.tls == nil {
		return s.Send(msg)
	}
	if len(msg) > maxSealed {
		return nil, mtp.ErrTooBig // before TLS has counted it
	}
	payload, err := s.tls.Seal(msg)
	if err != nil {
		return nil, err
	}
	return s.Send(payload...)
}

// shake sends the flight that there is, if there is one.
func (a *Agent) shake(ctx context.Context, s *securedSession, to mtp.Address) error {
	flight := s.flight()
	if len(flight) == 0 {
		return nil
	}
	records, err := s.Send(flight...)
	if err != nil {
		return err
	}
	return a.sendAll(ctx, s.l, records, to)
}

// settleShake notes that a handshake is over, and has sent what waited for it. The caller has the turn.
func (a *Agent) settleShake(x *sessionContext) {
	if x.s.mac || x.s.tls == nil || !x.s.tls.Complete() {
		return
	}
	x.s.mac = true
	close(x.s.shaken)
	a.mu.Lock()
	x.shakeBy, x.heard = time.Time{}, true
	a.mu.Unlock()
	a.hurry(x.peer)
	a.kick()
}

// answerInContext is sendInContext for an answer, which waits for a handshake that is under way.
func (a *Agent) answerInContext(ctx context.Context, in *inbound, msg []byte) error {
	x := in.session
	for {
		err := a.sendInContext(ctx, x, in.l, msg, in.reply)
		if !errors.Is(err, errNegotiating) {
			return err
		}
		if err := x.takeTurn(ctx); err != nil {
			return err
		}
		s := x.s
		x.giveTurn()
		if s == nil {
			return err // there is a wait for the next session: it is too late then
		}
		if s.tls == nil {
			continue
		}
		select {
		case <-s.shaken:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-a.life().Done(): // it holds up nothing
			return errClosed
		}
	}
}

// private says that a Record came with TLS in its payload. The goroutine that reads its session must not wait for another handshake in it.
func (in *inbound) private() bool { return in.record.GetPayloadSecurity() == usppb.Record_TLS12 }

// shakenOut says that a handshake has had its time.
func (a *Agent) shakenOut(x *sessionContext) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !x.shakeBy.IsZero() && !x.shakeBy.After(time.Now())
}

// security is how payloads are protected in a session that the Agent begins: as the Controller's row says, and no worse than in the last session.
func (x *sessionContext) security(rs *rowSet) usppb.Record_PayloadSecurity {
	if x.secured || wantsTLS(rs, rs.controller(x.peer)) {
		return usppb.Record_TLS12
	}
	return usppb.Record_PLAINTEXT
}

func wantsTLS(rs *rowSet, row string) bool {
	return rs.values[contextObject(row)]["PayloadSecurity"] == payloadTLS
}

// negotiate begins a TLS session, unless it is to wait for its time (R-E2E.10). What was to be sent waits: the error is errNegotiating. The caller has the
// turn.
func (a *Agent) negotiate(ctx context.Context, x *sessionContext, l *channel, to mtp.Address) error {
	a.mu.Lock()
	wait := time.Now().Before(x.retryAt)
	a.mu.Unlock()
	if wait {
		return errNegotiating
	}
	defer a.reschedule() // to when the handshake is to be over
	if err := a.beginContext(ctx, x, l, to); err != nil {
		return err
	}
	return errNegotiating
}

// acceptContext begins the session that a Controller asks for (R-E2E.4, R-E2E.6), or refuses it and says false. The caller has the turn.
func (a *Agent) acceptContext(ctx context.Context, x *sessionContext, in *inbound, rs *rowSet) (bool, error) {
	if err := a.verify(ctx, in.l, in.record); err != nil {
		if x.s == nil {
			return false, nil
		}
		return false, a.renewContext(ctx, x, in.l, in.reply, err) // R-E2E.23
	}
	var s *securedSession
	var err error = errWantsTLS
	switch security := in.record.GetPayloadSecurity(); {
	case security == usppb.Record_TLS12 || security == usppb.Record_PLAINTEXT && !wantsTLS(rs, rs.controller(x.peer)):
		s, err = a.secureSession(rs, x.peer, in.l, in.record.GetSessionContext().GetSessionId(), security)
	case security != usppb.Record_PLAINTEXT:
		err = usp.Errorf(usp.InvalidRecordValue, "payload_security %d is unknown", security)
	}
	if e := (*usp.Error)(nil); errors.As(err, &e) {
		a.hangUp(ctx, in, e)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	a.replaceContext(x, s)
	return true, nil
}

// checkSecurity says whether the Agent can protect payloads as a Controller's row asks for.
func (t *tx) checkSecurity(object string) (usp.ParamError, bool) {
	if t.rows.values[object]["PayloadSecurity"] != payloadTLS || t.agent.fleet.opts.Certificate != nil {
		return usp.ParamError{}, true
	}
	return usp.ParamError{Path: object + "PayloadSecurity", Code: usp.InvalidValue, Msg: errNoCertificate.Msg}, false
}
