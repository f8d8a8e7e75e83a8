package connreq

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"isthmus/cwmp/xmpp"
	"isthmus/cwmp/xmpp/xmpptest"
)

const account = "acs@" + xmpptest.Domain

func startXMPP(t *testing.T, s *xmpptest.Server) *XMPP {
	t.Helper()
	x := NewXMPP(XMPPOptions{Options: xmpp.Options{Server: s.Address, JID: account, Password: "secret", TLS: s.TLS},
		Domains: []string{"other.example"}, Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { x.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return x
}

// awaitConnection waits until it is there.
func awaitConnection(t *testing.T, x *XMPP) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); testutil.ToFloat64(x.connected) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never connected")
		}
	}
}

func xmppServer(t *testing.T, intercept func(c *xmpptest.Client, s *xmpptest.Stanza) bool) *xmpptest.Server {
	return xmpptest.New(t, map[string]string{"acs": "secret"}, func(s *xmpptest.Server) { s.Intercept = intercept })
}

const cpeJID = "cpe@" + xmpptest.Domain + "/cwmp"

// What the CPE, or its server in its place, answers.
func TestN10_Answers(t *testing.T) {
	for condition, want := range map[string]error{"": nil, "not-authorized": ErrAuth, "service-unavailable": ErrUnreachable,
		"remote-server-not-found": ErrUnreachable, "resource-constraint": ErrRefused, "feature-not-implemented": ErrAnswer} {
		s := xmppServer(t, func(c *xmpptest.Client, s *xmpptest.Stanza) bool {
			if s.To != cpeJID {
				return false
			}
			if s.Type != "get" || !strings.Contains(s.Inner, `<connectionRequest xmlns="`+nsConnReq+`"><username>u&amp;</username><password>p&lt;</password></connectionRequest>`) {
				t.Errorf("%+v", s)
			}
			// An answer from elsewhere counts for nothing.
			_ = c.Send("<iq type='error' from='cpe@%s/other' id='%s'><error><bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>", xmpptest.Domain, s.ID)
			if condition == "" {
				_ = c.Send("<iq type='result' from='%s' id='%s'/>", s.To, s.ID)
			} else {
				_ = c.Send("<iq type='error' from='%s' id='%s'>%s<error type='cancel'><%s xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>no</text></error></iq>",
					s.To, s.ID, s.Inner, condition)
			}
			return true
		})
		x := startXMPP(t, s)
		awaitConnection(t, x)
		err := x.Request(t.Context(), Target{JID: cpeJID, Username: "u&", Password: "p<"})
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", condition, err)
		}
		if err != nil && (!strings.Contains(err.Error(), condition) && condition != "resource-constraint" || strings.Contains(err.Error(), "p<")) {
			t.Errorf("%s is told as %v", condition, err)
		}
		if len(x.asked) != 0 {
			t.Error("the question is kept")
		}
	}
}

// Nobody but CPE of our own domain, or those that are named, is told a password.
func TestN10_OnlyOurDomains(t *testing.T) {
	x := NewXMPP(XMPPOptions{Options: xmpp.Options{JID: account}, Domains: []string{"other.example"}})
	for jid, want := range map[string]error{
		"cpe@" + strings.ToUpper(xmpptest.Domain) + "/r": ErrUnreachable, "cpe@other.example/r": ErrUnreachable, // not connected
		"thief@evil.example/r": ErrNotAllowed, "cpe@x." + xmpptest.Domain + "/r": ErrNotAllowed, "": ErrNotAllowed, "a@b@c": ErrNotAllowed, "a'@b": ErrNotAllowed,
	} {
		if err := x.Request(t.Context(), Target{JID: jid, Username: "u", Password: "p"}); !errors.Is(err, want) {
			t.Errorf("%s: %v", jid, err)
		}
	}
}

func TestXMPPNoAnswer(t *testing.T) {
	asked := make(chan struct{}, 8)
	s := xmppServer(t, func(_ *xmpptest.Client, s *xmpptest.Stanza) bool {
		if s.To == cpeJID {
			asked <- struct{}{}
		}
		return s.To == cpeJID
	})
	x := startXMPP(t, s)
	awaitConnection(t, x)
	x.opts.Timeout = time.Millisecond
	if err := x.Request(t.Context(), Target{JID: cpeJID}); !errors.Is(err, ErrUnreachable) {
		t.Error(err)
	}
	within(t, asked)
	x.opts.Timeout = time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	if err := x.Request(ctx, Target{JID: cpeJID}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	lost := make(chan error, 1)
	go func() { lost <- x.Request(context.Background(), Target{JID: cpeJID}) }()
	within(t, asked)
	s.Disconnect()
	if err := within(t, lost); !errors.Is(err, ErrUnreachable) {
		t.Error(err)
	}
	if len(x.asked) != 0 {
		t.Error("questions are kept")
	}
	awaitConnection(t, x) // again, by itself
}

// The server's pings are answered; what else is asked of us is refused; nothing else is answered.
func TestXMPPAsked(t *testing.T) {
	answers := make(chan xmpptest.Stanza, 8)
	s := xmppServer(t, func(c *xmpptest.Client, s *xmpptest.Stanza) bool {
		if s.XMLName.Local == "presence" {
			_ = c.Send("<message from='x@y'><body>hello</body></message><iq type='result' id='nobody asked'/>" +
				"<iq type='get' from='" + xmpptest.Domain + "' id='1'><ping xmlns='urn:xmpp:ping'/></iq><iq type='set' from='x@y/z' id='2'><q xmlns='urn:x'/></iq>")
		}
		if s.Type == "result" || s.Type == "error" {
			answers <- *s
		}
		return false
	})
	startXMPP(t, s)
	if a := within(t, answers); a.Type != "result" || a.ID != "1" || a.To != xmpptest.Domain {
		t.Errorf("%+v", a)
	}
	if a := within(t, answers); a.Type != "error" || a.ID != "2" || a.To != "x@y/z" || !strings.Contains(a.Inner, "service-unavailable") {
		t.Errorf("%+v", a)
	}
}
