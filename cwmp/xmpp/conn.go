// Package xmpp is the little of XMPP (RFC 6120) that Connection Requests over it need (TR-069 Annex K): a client's stream under TLS,
// SASL, a resource, and stanzas. It believes nothing of its peer: a stanza has a bounded size, depth and number of elements.
package xmpp

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

const (
	defaultPort  = "5222"
	dialTimeout  = 30 * time.Second // until a resource is bound
	writeTimeout = 10 * time.Second
	closeTime    = 200 * time.Millisecond
	maxJID       = 3071 // bytes (RFC 7622)
)

// Options say who connects where.
type Options struct {
	Server   string // host or host:port; "": the JID's domain
	JID      string // account, with a resource or without: the server chooses one then
	Password string
	TLS      *tls.Config // nil: the system's roots, the JID's domain for a name

	Dial func(ctx context.Context, network, address string) (net.Conn, error) // nil: a net.Dialer's
}

// Conn is a stream to a server on which a resource is bound. One goroutine may read; any may send.
type Conn struct {
	raw  net.Conn // below TLS
	conn net.Conn
	in   *bufio.Reader
	r    *reader
	jid  string

	mu sync.Mutex // of writing
}

// ErrTLS says that a server offers no TLS: nothing is told to it then.
var ErrTLS = errors.New("xmpp: the server offers no TLS")

// Dial connects, negotiates TLS, authenticates and binds a resource, in 30 s at most.
func Dial(ctx context.Context, o Options) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	user, domain, resource, err := SplitJID(o.JID)
	if err != nil || user == "" {
		return nil, fmt.Errorf("%w: %q is no JID of an account", ErrAuth, o.JID)
	}
	address := cmp.Or(o.Server, domain)
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(strings.Trim(address, "[]"), defaultPort)
	}
	dial := o.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c := &Conn{raw: conn, conn: conn}
	stop := context.AfterFunc(ctx, func() { conn.Close() }) //nolint:errcheck // ends what waits
	if err := c.negotiate(ctx, &o, user, domain, resource); err != nil {
		stop()
		conn.Close() //nolint:errcheck // it is of no use any more
		return nil, cmp.Or(ctx.Err(), err)
	}
	if !stop() {
		return nil, ctx.Err()
	}
	return c, nil
}

func (c *Conn) negotiate(ctx context.Context, o *Options, user, domain, resource string) error {
	features, err := c.open(domain)
	if err != nil {
		return err
	}
	if features.Child(nsTLS, "starttls") == nil {
		return ErrTLS
	}
	if err := c.startTLS(ctx, o.TLS, domain); err != nil {
		return err
	}
	if features, err = c.open(domain); err != nil {
		return err
	}
	if err := c.authenticate(features, user, o.Password); err != nil {
		return err
	}
	if features, err = c.open(domain); err != nil {
		return err
	}
	return c.bind(features, resource)
}

// open begins a stream on what the connection is now, and reads what the server offers on it.
func (c *Conn) open(domain string) (features *Element, err error) {
	if c.in == nil {
		c.in = bufio.NewReader(c.conn)
	}
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0"?><stream:stream xmlns="` + NSClient + `" xmlns:stream="` + nsStream + `" version="1.0" to="`)
	_ = xml.EscapeText(&b, []byte(domain)) // a Buffer takes everything
	b.WriteString(`">`)
	if err := c.write(b.Bytes()); err != nil {
		return nil, err
	}
	c.r = newReader(c.in)
	if err := c.r.header(); err != nil {
		return nil, err
	}
	return c.expect(nsStream, "features")
}

// expect reads the next element, which is to have that name.
func (c *Conn) expect(space, local string) (*Element, error) {
	e, err := c.r.next()
	switch {
	case err != nil:
		return nil, err
	case e.Is(nsStream, "error"):
		return nil, streamError(e)
	case !e.Is(space, local):
		return nil, fmt.Errorf("%w: %s instead of %s", ErrStream, e.Name.Local, local)
	}
	return e, nil
}

func streamError(e *Element) error {
	return fmt.Errorf("xmpp: the server ended the stream: %s", e.Condition(nsStreams))
}

func (c *Conn) startTLS(ctx context.Context, config *tls.Config, domain string) error {
	if err := c.Send(New(nsTLS, "starttls")); err != nil {
		return err
	}
	if _, err := c.expect(nsTLS, "proceed"); err != nil {
		return err
	}
	if c.in.Buffered() > 0 {
		return fmt.Errorf("%w: bytes before TLS begins", ErrStream) // somebody's who hopes they are taken for the server's
	}
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName = domain
	}
	secure := tls.Client(c.conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return err
	}
	c.conn, c.in = secure, nil
	return nil
}

func (c *Conn) authenticate(features *Element, user, password string) error {
	var offered []string
	if m := features.Child(nsSASL, "mechanisms"); m != nil {
		for _, e := range m.Children {
			offered = append(offered, strings.TrimSpace(e.Text))
		}
	}
	name, a, err := choose(offered, user, password)
	if err != nil {
		return err
	}
	auth := New(nsSASL, "auth", "mechanism", name)
	auth.Text = encode(a.first())
	for e := auth; ; {
		if err := c.Send(e); err != nil {
			return err
		}
		if e, err = c.r.next(); err != nil {
			return err
		}
		data, err := decode(e.Text)
		switch {
		case err != nil:
			return err
		case e.Is(nsSASL, "success"):
			return a.done(data)
		case e.Is(nsSASL, "failure"):
			return fmt.Errorf("%w: %s", ErrAuth, e.Condition(nsSASL))
		case !e.Is(nsSASL, "challenge"):
			return fmt.Errorf("%w: %s during authentication", ErrStream, e.Name.Local)
		}
		answer, err := a.next(data)
		if err != nil {
			return err
		}
		e = New(nsSASL, "response")
		e.Text = encode(answer)
	}
}

// encode and decode are the Base64 of RFC 6120 6.4.2, where "=" stands for a response without bytes.
func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func decode(s string) (string, error) {
	if s = strings.TrimSpace(s); s == "=" {
		return "", nil
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrStream, err)
	}
	return string(b), nil
}

func (c *Conn) bind(features *Element, resource string) error {
	if features.Child(nsBind, "bind") == nil {
		return fmt.Errorf("%w: the server binds no resource", ErrStream)
	}
	bind := New(nsBind, "bind")
	if resource != "" {
		r := New(nsBind, "resource")
		r.Text = resource
		bind.Add(r)
	}
	if err := c.Send(New(NSClient, "iq", "type", "set", "id", "bind").Add(bind)); err != nil {
		return err
	}
	for {
		e, err := c.Read()
		if err != nil {
			return err
		}
		if !e.Is(NSClient, "iq") || e.Get("id") != "bind" {
			continue
		}
		if bound := e.Child(nsBind, "bind"); e.Get("type") == "result" && bound != nil {
			c.jid = strings.TrimSpace(bound.Value(nsBind, "jid"))
		}
		if _, _, resource, err := SplitJID(c.jid); err != nil || resource == "" {
			return fmt.Errorf("%w: no resource was bound", ErrStream)
		}
		return nil
	}
}

// JID is the full JID that the server gave us.
func (c *Conn) JID() string { return c.jid }

// Read reads a stanza. io.EOF is the end of the stream.
func (c *Conn) Read() (*Element, error) {
	e, err := c.r.next()
	if err == nil && e.Is(nsStream, "error") {
		return nil, streamError(e)
	}
	return e, err
}

// SetReadDeadline bounds Read.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.conn.SetReadDeadline(t) }

// Send sends a stanza, within 10 s.
func (c *Conn) Send(e *Element) error {
	var b bytes.Buffer
	e.write(&b, NSClient)
	return c.write(b.Bytes())
}

func (c *Conn) write(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := c.conn.Write(b)
	return err
}

// Close ends the stream and the connection, soon: a peer that takes nothing holds nobody up.
func (c *Conn) Close() {
	if c.conn.SetWriteDeadline(time.Now().Add(closeTime)) == nil { // of a Send under way, too
		c.mu.Lock()
		c.conn.Write([]byte("</stream:stream>")) //nolint:errcheck // a courtesy
		c.mu.Unlock()
	}
	c.raw.Close() //nolint:errcheck // nothing to be lost
}

// SplitJID cuts a JID into its parts; local part and resource may be missing.
func SplitJID(jid string) (local, domain, resource string, err error) {
	bare, resource, _ := strings.Cut(jid, "/")
	domain = bare
	if l, d, ok := strings.Cut(bare, "@"); ok {
		if local, domain = l, d; local == "" {
			return "", "", "", fmt.Errorf("xmpp: %q is no JID", jid)
		}
	}
	if domain == "" || len(jid) > maxJID || strings.ContainsAny(bare, " \"&'<>\t\r\n") || strings.Contains(domain, "@") {
		return "", "", "", fmt.Errorf("xmpp: %q is no JID", jid)
	}
	return local, domain, resource, nil
}
