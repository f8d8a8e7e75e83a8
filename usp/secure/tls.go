package secure

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"time"

	"isthmus/usp/usppb"
)

const (
	// exporterLabel and keyLength are how the keys of the MAC are derived (R-E2E.35 to R-E2E.37, R-E2E.39): the client's and then the server's.
	exporterLabel = "EXPORTER-BBF-USP-Record"
	keyLength     = sha256.Size

	// MACSize is what Protect adds to an encoded Record, in bytes.
	MACSize = 2 + sha256.Size

	// Of a TLS record's header: its length, and where the type and the length of the fragment are (RFC 5246, 6.2.1).
	tlsHeader       = 5
	tlsLength       = 3
	tlsHandshake    = 22
	helloRequest    = 0
	clientHello     = 1
	handshakeHeader = 4 // type and length of a handshake message
)

// errClosed is the error of a session that was closed.
var errClosed = errors.New("secure: the TLS session is closed")

// Config is what a TLS session needs.
type Config struct {
	// Client says that this side began the session context (TR-369, "Session Handshake").
	Client bool
	// Certificate is this side's, ECDSA P-256.
	Certificate *tls.Certificate
	// Verify judges what the peer has shown, its own certificate first, and never nothing (R-E2E.43). It is called within Feed.
	Verify func(shown []*x509.Certificate) error
	// MaxVersion is the highest version that is offered, 0 for the latest.
	MaxVersion uint16
}

// TLS is a TLS session whose records travel in the payloads of Records instead of on a connection. It costs a goroutine while its handshake is under way,
// and none later. Its methods must not be called at the same time, and Close must be called in the end.
type TLS struct {
	pipe   pipe
	conn   *tls.Conn
	client bool
	step   func() (struct{}, bool) // goes on with the handshake
	stop   func()
	done   bool
	err    error // that ended it
	send   []byte
	recv   []byte // keys of the MAC
}

// NewTLS makes a session; a client's first flight is in Take.
func NewTLS(c Config) *TLS {
	t := &TLS{client: c.Client}
	config := &tls.Config{
		MinVersion:             tls.VersionTLS12,
		MaxVersion:             c.MaxVersion,
		CipherSuites:           []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, // R-E2E.40; of TLS 1.3, Go has what it asks for
		CurvePreferences:       []tls.CurveID{tls.CurveP256},                          // R-E2E.40a
		Certificates:           []tls.Certificate{*c.Certificate},
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, // Verify does it: what is to be named is an Endpoint, not a host
		SessionTicketsDisabled: true,
		VerifyConnection:       func(s tls.ConnectionState) error { return c.Verify(s.PeerCertificates) },

		DynamicRecordSizingDisabled: true,
	}
	if c.Client {
		t.conn = tls.Client(&t.pipe, config)
	} else {
		t.conn = tls.Server(&t.pipe, config)
	}
	// The handshake of crypto/tls cannot be taken up after a read that would have to wait: it runs as a coroutine, which waits in such a read.
	t.step, t.stop = iter.Pull(func(yield func(struct{}) bool) {
		t.pipe.wait = func() bool { return yield(struct{}{}) }
		defer func() { t.pipe.wait = nil }()
		t.err = t.conn.Handshake()
	})
	if c.Client {
		t.handshake()
	}
	return t
}

// handshake goes on with the handshake as far as what has come allows.
func (t *TLS) handshake() {
	if _, under := t.step(); under || t.err != nil {
		return
	}
	state := t.conn.ConnectionState()
	// The context is empty, which for TLS 1.2 is another thing than none (R-E2E.36).
	keys, err := state.ExportKeyingMaterial(exporterLabel, []byte{}, 2*keyLength)
	if err != nil {
		t.err = fmt.Errorf("derive keys: %w", err)
		return
	}
	t.send, t.recv = keys[:keyLength], keys[keyLength:]
	if !t.client {
		t.send, t.recv = t.recv, t.send
	}
	t.done = true
}

// Complete says that the handshake has come to its end: that messages can be sent, and that Records have a MAC.
func (t *TLS) Complete() bool { return t.done }

// Feed takes what a payload carried, whole TLS records in order, and gives the message in it, empty if there is none. After any call, also one that failed,
// Take has what the peer must be sent. An error ends the session.
func (t *TLS) Feed(records [][]byte) (msg []byte, err error) {
	if t.err != nil {
		return nil, t.err
	}
	size := 0
	for _, b := range records {
		if len(b) == 0 || t.done && renegotiates(b) {
			continue
		}
		t.pipe.in = append(t.pipe.in, b)
		size += len(b)
	}
	if !t.done {
		if t.handshake(); !t.done {
			return nil, t.err
		}
	}
	msg = make([]byte, size+1) // what is protected is shorter than its protection, so that there is always room
	for n := 0; ; {
		m, err := t.conn.Read(msg[n:])
		n += m
		if errors.Is(err, errWait) {
			return msg[:n], nil
		}
		if err != nil {
			t.err = err
			return nil, err
		}
	}
}

// renegotiates says that a TLS record asks for a renegotiation in the clear: it is left alone, and the session goes on (R-E2E.42). One that is protected
// crypto/tls refuses with an alert.
func renegotiates(record []byte) bool {
	if len(record) < tlsHeader+handshakeHeader || record[0] != tlsHandshake {
		return false
	}
	msg := record[tlsHeader:]
	length := int(msg[1])<<16 | int(msg[2])<<8 | int(msg[3])
	return (msg[0] == helloRequest || msg[0] == clientHello) && length == len(msg)-handshakeHeader
}

// Seal gives the TLS records that carry a message. The session must be Complete.
func (t *TLS) Seal(msg []byte) ([][]byte, error) {
	if t.err != nil {
		return nil, t.err
	}
	if _, t.err = t.conn.Write(msg); t.err != nil {
		return nil, t.err
	}
	return t.Take(), nil
}

// Take gives the TLS records that the peer must be sent: of the handshake, or an alert. It gives each of them once.
func (t *TLS) Take() (records [][]byte) {
	for b := t.pipe.out; len(b) >= tlsHeader; {
		n := min(tlsHeader+int(binary.BigEndian.Uint16(b[tlsLength:])), len(b))
		records, b = append(records, b[:n:n]), b[n:]
	}
	t.pipe.out = nil
	return records
}

// Protect fills in the MAC of a Record that is to be sent (R-E2E.33 to R-E2E.39). The session must be Complete.
func (t *TLS) Protect(r *usppb.Record) { r.MacSignature = mac(t.send, r) }

// Check verifies the MAC of a Record that came. The session must be Complete. The error is ErrUnsigned or ErrMismatch.
func (t *TLS) Check(r *usppb.Record) error {
	switch {
	case len(r.GetMacSignature()) == 0:
		return ErrUnsigned
	case !hmac.Equal(r.GetMacSignature(), mac(t.recv, r)):
		return ErrMismatch
	}
	return nil
}

func mac(key []byte, r *usppb.Record) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(fields(r))
	return h.Sum(nil)
}

// Close ends the session; nothing is sent.
func (t *TLS) Close() {
	t.stop()
	if t.err == nil {
		t.err = errClosed
	}
}

// pipe is the connection that crypto/tls thinks it has.
type pipe struct {
	in   [][]byte
	out  []byte
	wait func() bool // during the handshake: returns when there may be more, false if there will not
}

// errWait says that there is nothing more to be read now. It is a temporary net.Error, which crypto/tls takes for no end of a connection.
var errWait net.Error = waitError{}

type waitError struct{}

func (waitError) Error() string   { return "secure: nothing has come" }
func (waitError) Timeout() bool   { return true }
func (waitError) Temporary() bool { return true }

func (p *pipe) Read(b []byte) (int, error) {
	for len(p.in) == 0 {
		if p.wait == nil {
			return 0, errWait
		}
		if !p.wait() {
			return 0, io.ErrClosedPipe
		}
	}
	n := copy(b, p.in[0])
	if p.in[0] = p.in[0][n:]; len(p.in[0]) == 0 {
		p.in = p.in[1:]
	}
	return n, nil
}

func (p *pipe) Write(b []byte) (int, error) {
	p.out = append(p.out, b...)
	return len(b), nil
}

func (*pipe) Close() error                     { return nil }
func (*pipe) LocalAddr() net.Addr              { return nil }
func (*pipe) RemoteAddr() net.Addr             { return nil }
func (*pipe) SetDeadline(time.Time) error      { return nil }
func (*pipe) SetReadDeadline(time.Time) error  { return nil }
func (*pipe) SetWriteDeadline(time.Time) error { return nil }
