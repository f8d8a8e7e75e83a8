package translate

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"isthmus/cwmp"
	"isthmus/cwmp/connreq"
	"isthmus/cwmp/cpe"
	"isthmus/cwmp/xmpp"
	"isthmus/cwmp/xmpp/xmpptest"
	"isthmus/usp"
)

// reached fails the test unless a CPE that HTTP does not reach comes with the credentials that it was given, and none that it had before.
func (w *world) reached(c *cpe.CPE, id usp.EndpointID, method string) {
	w.t.Helper()
	if name := c.Value(server + "ConnectionRequestUsername"); name != givenName {
		w.t.Fatalf("the CPE asks for %q", name)
	}
	for range 2 {
		w.live(id)
		w.must(c.WaitIdle(w.in(deadline)))
	}
	if tried := methodsTried(w.t, w, id); tried != method {
		w.t.Error(tried)
	}
	w.must(c.SetValue(server+"ConnectionRequestPassword", "another"))
	w.p.opts.ConnectionRequest.Timeout = 200 * time.Millisecond
	if _, err := w.get(id, neverCached); code(err) != usp.Unreachable {
		w.t.Errorf("with another password: %v", err)
	}
}

// booted has the CPE tell how it can be reached.
func (w *world) booted(c *cpe.CPE) {
	w.t.Helper()
	n := c.Sessions()
	c.Inform(cwmp.EventBoot)
	w.must(c.WaitSessions(w.in(deadline), n+1))
	w.must(c.WaitIdle(w.in(deadline)))
}

// N8: a UDP Connection Request is signed with the password that the CPE was given, also after a restart.
func TestN8_ProvisionedCredentials(t *testing.T) {
	w, u := udpWorld(t)
	w.restart(func(o *Options) { o.Provision.ConnectionRequest = true })
	c, id := w.boot(stunCPE(u, func(cfg *cpe.Config) { cfg.Faults.ConnReq = cpe.ConnReqDrop }))
	w.must(c.WaitValue(w.in(deadline), server+"UDPConnectionRequestAddress"))
	w.booted(c)
	w.restart(func(*Options) {})
	w.reached(c, id, "udp")
}

// N10: an XMPP Connection Request has the credentials that the CPE was given, also after a restart.
func TestN10_ProvisionedCredentials(t *testing.T) {
	s := xmpptest.New(t, map[string]string{"acs": "a", "cpe": "c"}, nil)
	account := func(user, password string) xmpp.Options {
		return xmpp.Options{Server: s.Address, JID: user + "@" + xmpptest.Domain, Password: password, TLS: s.TLS}
	}
	x := connreq.NewXMPP(connreq.XMPPOptions{Options: account("acs", "a"), Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { x.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	w := newWorld(t, func(o *Options) {
		o.MaxAge, o.ConnectionRequest.XMPP, o.Provision.ConnectionRequest = 0, x, true
		o.ConnectionRequest.Username, o.ConnectionRequest.Password = "cr", "secret"
	})
	c, id := w.boot(func(cfg *cpe.Config) {
		cfg.ConnReqUsername, cfg.ConnReqPassword = "cr", "secret"
		own := account("cpe", "c")
		cfg.XMPP, cfg.Faults.ConnReq = &own, cpe.ConnReqDrop
	})
	w.must(c.WaitValue(w.in(deadline), server+"ConnReqJabberID"))
	w.booted(c)
	w.restart(func(*Options) {})
	w.reached(c, id, "xmpp")
}
