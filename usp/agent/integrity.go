package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/secure"
	"isthmus/usp/usppb"
)

// certificates are what the peer has shown to the MTP; none where the MTP shows none.
func (l *channel) certificates() []*x509.Certificate {
	if c, ok := l.ch.(mtp.Certified); ok {
		return c.Certificates()
	}
	return nil
}

// protected says that the MTP protects what is exchanged with the Controller (R-E2E.28): its certificate names the Controller or is the one that
// the Agent has for it. The Agent must be loaded.
func (a *Agent) protected(l *channel) bool {
	shown := l.certificates()
	if l.stranger || l.peer == "" || len(shown) == 0 {
		return false
	}
	if usp.Named(shown[0], l.peer) == usp.NamesIt {
		return true
	}
	v, err := a.rows().vouch(a.fleet, l.peer, shown)
	return err == nil && v.stored
}

// certificate is the Agent's own, nil if it has none.
func (a *Agent) certificate() (*tls.Certificate, error) {
	if a.fleet.opts.Certificate == nil {
		return nil, nil
	}
	cert, err := a.fleet.opts.Certificate(a.id.ID)
	if err != nil {
		return nil, fmt.Errorf("certificate of %s: %w", a.id.ID, err)
	}
	return cert, nil
}

// signer is what Records on a channel are signed with (R-E2E.29): nil where the MTP protects them, and where the Agent has no certificate.
func (a *Agent) signer(l *channel) (*tls.Certificate, error) {
	if l.protected {
		return nil, nil
	}
	return a.certificate()
}

// sign adds the signature that is needed to a Record that is encoded already and belongs to no session.
func (a *Agent) sign(l *channel, to usp.EndpointID, record []byte) ([]byte, error) {
	cert, err := a.signer(l)
	if cert == nil || err != nil {
		return record, err
	}
	return secure.SignEncoded(record, a.id.ID, to, "", cert)
}

// encode makes the Record that carries a message outside of a session, when the channel is ready.
func (a *Agent) encode(ctx context.Context, l *channel, to usp.EndpointID, msg *usppb.Msg) ([]byte, error) {
	record, err := usp.EncodeRecord(a.id.ID, to, "", msg)
	if err != nil {
		return nil, err
	}
	if err := l.wait(ctx); err != nil {
		return nil, err
	}
	return a.sign(l, to, record)
}

// wait returns when the Connect Record has left (R-MTP.8).
func (l *channel) wait(ctx context.Context) error {
	select {
	case <-l.ready.opened():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// signed says that a Record has a signature that is still to be verified: those of sessions have been, when their turn came.
func (in *inbound) signed() bool { return in.session == nil && len(in.record.GetMacSignature()) > 0 }

// errNamesNobody is the error of a certificate that is good and says nothing of who the Controller is.
var errNamesNobody = errors.New("the certificate names no Endpoint")

// verify checks the signature of a Record that has one (R-E2E.30, R-SEC.10a), and counts one that is not good. It says nothing of the payload, so that it
// proves nothing of a peer that is a stranger; and where there is none, the channel's word is taken. The Agent must be loaded.
func (a *Agent) verify(ctx context.Context, l *channel, r *usppb.Record) error {
	if len(r.GetMacSignature()) == 0 {
		return nil
	}
	chain, err := secure.Verify(r, l.certificates())
	if err != nil {
		a.refuse("signature")
		return err
	}
	if err := a.recognise(ctx, usp.EndpointID(r.GetFromId()), chain); err != nil {
		a.refuse("certificate")
		return err
	}
	return nil
}

// recognise is Authenticate for who must not stay a stranger.
func (a *Agent) recognise(ctx context.Context, peer usp.EndpointID, shown []*x509.Certificate) error {
	proven, err := a.Authenticate(ctx, peer, shown)
	if err == nil && !proven {
		err = errNamesNobody
	}
	return err
}
