package xmpp_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"isthmus/cwmp/xmpp"
	"isthmus/cwmp/xmpp/xmpptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func server(t *testing.T, change func(*xmpptest.Server)) *xmpptest.Server {
	return xmpptest.New(t, map[string]string{"acs": "secret, =1", "cpe": "other"}, change)
}

func options(s *xmpptest.Server) xmpp.Options {
	return xmpp.Options{Server: s.Address, JID: "acs@" + xmpptest.Domain, Password: "secret, =1", TLS: s.TLS}
}

func TestMechanisms(t *testing.T) {
	for _, m := range []string{"SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"} {
		s := server(t, func(s *xmpptest.Server) { s.Mechanisms = []string{m} })
		c, err := xmpp.Dial(t.Context(), options(s))
		if err != nil {
			t.Fatalf("%s: %v", m, err)
		}
		if !strings.HasPrefix(c.JID(), "acs@"+xmpptest.Domain+"/") {
			t.Errorf("%s: %s", m, c.JID())
		}
		c.Close()
		o := options(s)
		if o.Password = "wrong"; !fails(t, o, xmpp.ErrAuth) {
			t.Errorf("%s: a wrong password was taken", m)
		}
	}
	s := server(t, func(s *xmpptest.Server) { s.Mechanisms = []string{"DIGEST-MD5"} })
	fails(t, options(s), xmpp.ErrAuth)
}

func fails(t *testing.T, o xmpp.Options, want error) bool {
	t.Helper()
	c, err := xmpp.Dial(t.Context(), o)
	if err == nil {
		c.Close()
	}
	if !errors.Is(err, want) {
		t.Errorf("%v, want %v", err, want)
	}
	if err != nil && strings.Contains(err.Error(), o.Password) {
		t.Errorf("the password is in %q", err)
	}
	return err != nil
}

func TestResource(t *testing.T) {
	s := server(t, nil)
	o := options(s)
	o.JID += "/of its own"
	c, err := xmpp.Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.JID() != o.JID {
		t.Error(c.JID())
	}
}

// Neither account nor password is told to who cannot prove to be the server.
func TestTLSIsNeeded(t *testing.T) {
	s := server(t, func(s *xmpptest.Server) { s.NoTLS = true })
	fails(t, options(s), xmpp.ErrTLS)
	s = server(t, nil)
	o := options(s)
	o.TLS = nil
	var unknown *tls.CertificateVerificationError
	if _, err := xmpp.Dial(t.Context(), o); !errors.As(err, &unknown) {
		t.Errorf("an unknown certificate: %v", err)
	}
	o = options(s)
	o.TLS = s.TLS.Clone()
	o.TLS.ServerName = "other.example"
	if _, err := xmpp.Dial(t.Context(), o); !errors.As(err, &unknown) {
		t.Errorf("another server's certificate: %v", err)
	}
}

func TestStanzas(t *testing.T) {
	s := server(t, nil)
	acs, err := xmpp.Dial(t.Context(), options(s))
	if err != nil {
		t.Fatal(err)
	}
	defer acs.Close()
	cpe, err := xmpp.Dial(t.Context(), xmpp.Options{Server: s.Address, JID: "cpe@" + xmpptest.Domain + "/r", Password: "other", TLS: s.TLS})
	if err != nil {
		t.Fatal(err)
	}
	defer cpe.Close()
	text := xmpp.New("urn:x", "t", "a", `'"<&>`)
	text.Text = "<&>\u00e9 ]]>"
	if err := acs.Send(xmpp.New(xmpp.NSClient, "iq", "type", "get", "to", cpe.JID(), "id", "1").Add(xmpp.New("urn:x", "q").Add(text))); err != nil {
		t.Fatal(err)
	}
	e, err := cpe.Read()
	if err != nil {
		t.Fatal(err)
	}
	got := e.Child("urn:x", "q").Child("urn:x", "t")
	if e.Get("from") != acs.JID() || e.Get("id") != "1" || got.Text != text.Text || got.Get("a") != text.Get("a") {
		t.Errorf("%+v", got)
	}
	s.Disconnect()
	if _, err := cpe.Read(); err == nil {
		t.Error("no error at the end")
	}
}

// script answers whatever comes with the given bytes, one for each Read, and then nothing more.
func script(t *testing.T, answers ...string) xmpp.Options {
	t.Helper()
	return xmpp.Options{JID: "a@b", Password: "a password", Dial: func(context.Context, string, string) (net.Conn, error) {
		client, peer := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			b := make([]byte, 4096)
			for _, a := range answers {
				if _, err := peer.Read(b); err != nil {
					return
				}
				if _, err := io.WriteString(peer, a); err != nil {
					return
				}
			}
			_, _ = io.Copy(io.Discard, peer)
		}()
		t.Cleanup(func() { _ = peer.Close(); <-done })
		return client, nil
	}}
}

const header = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"

// What a server, or somebody before it, may send to do harm.
func TestHostileServer(t *testing.T) {
	for name, answer := range map[string]string{
		"DOCTYPE":        `<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a "aaaa">]>` + header,
		"entity":         header + "<stream:features>&a;</stream:features>",
		"comment":        header + "<!-- -->",
		"PI":             header + "<?php ?>",
		"deep":           header + strings.Repeat("<a>", 1000),
		"wide":           header + "<stream:features>" + strings.Repeat("<a/>", 1000) + "</stream:features>",
		"large":          header + "<stream:features>" + strings.Repeat("x", 100_000),
		"endless name":   header + "<" + strings.Repeat("x", 100_000),
		"endless space":  strings.Repeat(" ", 100_000),
		"another stream": "<stream xmlns='urn:x'>",
		"no XMPP":        "<html>",
		"no XML":         "\x00<",
		"wrong end":      header + "</stream:features>",
	} {
		if !fails(t, script(t, answer), xmpp.ErrStream) {
			t.Error(name)
		}
	}
	const offer = header + "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>"
	if !fails(t, script(t, offer, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><stream:features/>"), xmpp.ErrStream) {
		t.Error("bytes before TLS were taken")
	}
	if _, err := xmpp.Dial(t.Context(), script(t, header+"<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>")); err == nil ||
		!strings.Contains(err.Error(), "host-unknown") {
		t.Error(err)
	}
}

func TestSilentServer(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := xmpp.Dial(ctx, script(t)); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestSplitJID(t *testing.T) {
	for jid, want := range map[string]string{"a@b": "a b ", "a@b/c@d/e": "a b c@d/e", "b": " b ", "b/r": " b r"} {
		local, domain, resource, err := xmpp.SplitJID(jid)
		if got := local + " " + domain + " " + resource; err != nil || got != want {
			t.Errorf("%s: %q, %v", jid, got, err)
		}
	}
	for _, jid := range []string{"", "@b", "a@", "/r", "a@b@c", "a b@c", "a<@b", "a'@b", strings.Repeat("a", 4000) + "@b"} {
		if _, _, _, err := xmpp.SplitJID(jid); err == nil {
			t.Errorf("%q was taken", jid)
		}
	}
}

// FuzzStream reads what it is given as a stream: it must end, within the bounds.
func FuzzStream(f *testing.F) {
	const iq = "<iq type='get' id='1' from='a@b/c'><connectionRequest xmlns='urn:broadband-forum-org:cwmp:xmppConnReq-1-0'>" +
		"<username>u</username><password>p</password></connectionRequest></iq>"
	f.Add([]byte("<?xml version='1.0'?>" + header + iq + " " + iq + "</stream:stream>"))
	f.Add([]byte(header + "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms></stream:features>"))
	f.Add([]byte(header + "<iq type='error' id='1'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"))
	f.Add([]byte("<!DOCTYPE x>" + header))
	f.Add([]byte(header + "<a><b/><!-- --></a>"))
	f.Fuzz(func(t *testing.T, b []byte) { xmpp.ReadAll(t, bytes.NewReader(b)) })
}
