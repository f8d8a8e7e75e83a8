// Package xmpptest is an XMPP server for tests: STARTTLS, SASL, resources, and IQ stanzas from one client to another.
package xmpptest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // SCRAM-SHA-1
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"hash"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Domain is the domain of the server and its accounts.
const Domain = "xmpp.example"

// Server is an XMPP server on loopback. Its fields must not change after New.
type Server struct {
	Mechanisms []string          // of SASL
	Accounts   map[string]string // passwords by local part
	NoTLS      bool              // no STARTTLS is offered
	Address    string            // host:port
	TLS        *tls.Config       // for clients

	// Intercept sees every stanza of a client and may answer it itself; nil: nobody.
	Intercept func(c *Client, s *Stanza) (done bool)

	listener net.Listener
	tls      *tls.Config
	served   sync.WaitGroup

	mu      sync.Mutex
	clients map[*Client]struct{}
}

// Stanza is what a client sent.
type Stanza struct {
	XMLName xml.Name
	Type    string `xml:"type,attr"`
	To      string `xml:"to,attr"`
	From    string `xml:"from,attr"`
	ID      string `xml:"id,attr"`
	Inner   string `xml:",innerxml"`
}

// Client is a connection to the server.
type Client struct {
	JID string // full

	server *Server
	conn   net.Conn
	mu     sync.Mutex // of writing
}

const (
	iterations = 4096
	salt       = "salt of all accounts"
)

// New starts a server, which change may alter before; the test's end stops it.
func New(t testing.TB, accounts map[string]string, change func(*Server)) *Server {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{Domain}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Mechanisms: []string{"SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"}, Accounts: accounts, Address: l.Addr().String(),
		TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, listener: l, clients: make(map[*Client]struct{}),
		tls: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}}
	if change != nil {
		change(s)
	}
	s.served.Go(s.serve)
	t.Cleanup(func() {
		_ = l.Close()
		s.Disconnect()
		s.served.Wait()
	})
	return s
}

func (s *Server) serve() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		c := &Client{server: s, conn: conn}
		s.mu.Lock()
		s.clients[c] = struct{}{}
		s.mu.Unlock()
		s.served.Go(func() {
			_ = c.serve() // a client's end is no failure of the test
			s.mu.Lock()
			delete(s.clients, c)
			s.mu.Unlock()
			_ = c.conn.Close()
		})
	}
}

// Disconnect cuts every connection.
func (s *Server) Disconnect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		_ = c.conn.Close()
	}
}

func (s *Server) client(jid string) *Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		if c.JID != "" && c.JID == jid {
			return c
		}
	}
	return nil
}

// Send writes to a client as it is.
func (c *Client) Send(format string, args ...any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := fmt.Fprintf(c.conn, format, args...)
	return err
}

// open answers a stream header and offers features.
func (c *Client) open(features string) (*xml.Decoder, error) {
	d := xml.NewDecoder(c.conn)
	for {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		if e, ok := t.(xml.StartElement); ok && e.Name.Local == "stream" {
			return d, c.Send("<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' from='%s' version='1.0'>"+
				"<stream:features>%s</stream:features>", Domain, features)
		}
	}
}

func next(d *xml.Decoder) (*Stanza, error) {
	for {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			s := new(Stanza)
			return s, d.DecodeElement(s, &t)
		case xml.EndElement:
			return nil, fmt.Errorf("the stream has ended")
		}
	}
}

func (c *Client) serve() error {
	offer := "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
	if c.server.NoTLS {
		offer = ""
	}
	d, err := c.open(offer)
	if err != nil {
		return err
	}
	if s, err := next(d); err != nil || s.XMLName.Local != "starttls" {
		return fmt.Errorf("%v, %w", s, err)
	}
	if err := c.Send("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"); err != nil {
		return err
	}
	secure := tls.Server(c.conn, c.server.tls)
	c.server.mu.Lock()
	c.conn = secure
	c.server.mu.Unlock()
	user, err := c.authenticate()
	if err != nil {
		_ = c.Send("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure></stream:stream>")
		return err
	}
	if d, err = c.open("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"); err != nil {
		return err
	}
	for {
		s, err := next(d)
		if err != nil {
			return err
		}
		if err := c.route(s, user); err != nil {
			return err
		}
	}
}

func (c *Client) route(s *Stanza, user string) error {
	s.From = c.JID
	to := c.server.client(s.To)
	switch {
	case c.server.Intercept != nil && c.server.Intercept(c, s):
		return nil
	case strings.Contains(s.Inner, "urn:ietf:params:xml:ns:xmpp-bind"):
		_, resource, _ := strings.Cut(s.Inner, "<resource>")
		resource, _, _ = strings.Cut(resource, "<")
		if resource == "" {
			resource = rand.Text()
		}
		c.server.mu.Lock()
		c.JID = user + "@" + Domain + "/" + resource
		c.server.mu.Unlock()
		return c.Send("<iq type='result' id='%s'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>%s</jid></bind></iq>", s.ID, c.JID)
	case s.XMLName.Local != "iq":
		return nil
	case to != nil:
		return to.Send("<iq type='%s' from='%s' to='%s' id='%s'>%s</iq>", s.Type, s.From, s.To, s.ID, s.Inner)
	case strings.Contains(s.Inner, "urn:xmpp:ping"):
		return c.Send("<iq type='result' id='%s'/>", s.ID)
	}
	return c.Send("<iq type='error' from='%s' id='%s'>%s<error type='cancel'>"+
		"<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>", s.To, s.ID, s.Inner)
}

func (c *Client) authenticate() (user string, err error) {
	var offer strings.Builder
	for _, m := range c.server.Mechanisms {
		offer.WriteString("<mechanism>" + m + "</mechanism>")
	}
	d, err := c.open("<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>" + offer.String() + "</mechanisms>")
	if err != nil {
		return "", err
	}
	read := func() (string, error) {
		s, err := next(d)
		if err != nil {
			return "", err
		}
		b, err := base64.StdEncoding.DecodeString(s.Inner)
		return string(b), err
	}
	first, err := read()
	if err != nil {
		return "", err
	}
	const success = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>%s</success>"
	if fields := strings.Split(first, "\x00"); len(fields) == 3 {
		if password, ok := c.server.Accounts[fields[1]]; !ok || password != fields[2] {
			return "", fmt.Errorf("wrong password")
		}
		return fields[1], c.Send(success, "")
	}
	h := sha1.New
	if c.server.Mechanisms[0] == "SCRAM-SHA-256" {
		h = sha256.New
	}
	bare := strings.TrimPrefix(first, "n,,")
	user, nonce, _ := strings.Cut(strings.TrimPrefix(bare, "n="), ",r=")
	nonce += rand.Text()
	challenge := fmt.Sprintf("r=%s,s=%s,i=%d", nonce, base64.StdEncoding.EncodeToString([]byte(salt)), iterations)
	if err := c.Send("<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>%s</challenge>", base64.StdEncoding.EncodeToString([]byte(challenge))); err != nil {
		return "", err
	}
	final, err := read()
	if err != nil {
		return "", err
	}
	without, proof, _ := strings.Cut(final, ",p=")
	signature, err := c.server.verify(h, user, bare+","+challenge+","+without, proof)
	if err != nil || without != "c=biws,r="+nonce {
		return "", fmt.Errorf("%q: %w", final, err)
	}
	return user, c.Send(success, base64.StdEncoding.EncodeToString([]byte("v="+signature)))
}

// verify checks a client's proof (RFC 5802 3) and gives the server's own.
func (s *Server) verify(h func() hash.Hash, user, message, proof string) (string, error) {
	salted, err := pbkdf2.Key(h, s.Accounts[user], []byte(salt), iterations, h().Size())
	if err != nil {
		return "", err
	}
	mac := func(key []byte, text string) []byte {
		m := hmac.New(h, key)
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	got, err := base64.StdEncoding.DecodeString(proof)
	if err != nil || len(got) != h().Size() || s.Accounts[user] == "" {
		return "", fmt.Errorf("proof: %w", err)
	}
	stored := h()
	stored.Write(mac(salted, "Client Key"))
	clientSignature := mac(stored.Sum(nil), message)
	for i := range got {
		got[i] ^= clientSignature[i]
	}
	again := h()
	again.Write(got)
	if !hmac.Equal(again.Sum(nil), stored.Sum(nil)) {
		return "", fmt.Errorf("wrong password")
	}
	return base64.StdEncoding.EncodeToString(mac(mac(salted, "Server Key"), message)), nil
}
