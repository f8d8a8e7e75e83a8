package cpe

import (
	"context"
	"sync"
	"time"

	"isthmus/cwmp"
	"isthmus/cwmp/xmpp"
)

const (
	nsConnReq = "urn:broadband-forum-org:cwmp:xmppConnReq-1-0"
	xmppRetry = time.Second
)

// startXMPP takes Connection Requests over XMPP (TR-069 Annex K) until ctx ends; wait is for that.
func (c *CPE) startXMPP(ctx context.Context) (wait func()) {
	if c.cfg.XMPP == nil {
		return func() {}
	}
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			err := c.xmpp(ctx)
			c.log.Debug("XMPP", "serial", c.id.SerialNumber, "err", err)
			timer := time.NewTimer(xmppRetry)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
			}
		}
	})
	return done.Wait
}

// xmpp is one connection to the server.
func (c *CPE) xmpp(ctx context.Context) error {
	conn, err := xmpp.Dial(ctx, *c.cfg.XMPP)
	if err != nil {
		return err
	}
	closed := context.AfterFunc(ctx, conn.Close)
	defer func() {
		if closed() {
			conn.Close()
		}
	}()
	if err := conn.Send(xmpp.New(xmpp.NSClient, "presence")); err != nil {
		return err
	}
	c.mu.Lock()
	c.change(c.root+"ManagementServer.ConnReqJabberID", conn.JID())
	c.changedState()
	c.mu.Unlock()
	for {
		e, err := conn.Read()
		if err != nil {
			return err
		}
		if !e.Is(xmpp.NSClient, "iq") || e.Get("type") != "get" {
			continue
		}
		if err := conn.Send(c.answerIQ(e)); err != nil {
			return err
		}
	}
}

// answerIQ serves a Connection Request and gives its answer (TR-069 K.2.3).
func (c *CPE) answerIQ(e *xmpp.Element) *xmpp.Element {
	answer := func(kind string) *xmpp.Element {
		return xmpp.New(xmpp.NSClient, "iq", "type", kind, "from", e.Get("to"), "to", e.Get("from"), "id", e.Get("id"))
	}
	refuse := func(code, condition string) *xmpp.Element {
		return answer("error").Add(xmpp.New(xmpp.NSClient, "error", "code", code, "type", "cancel").Add(xmpp.New(xmpp.NSStanzas, condition)))
	}
	request := e.Child(nsConnReq, "connectionRequest")
	on, username, password := c.connReqCredentials()
	switch {
	case request == nil || !on:
		return refuse("503", "service-unavailable")
	case !equal(request.Value(nsConnReq, "username"), username) || !equal(request.Value(nsConnReq, "password"), password):
		return refuse("401", "not-authorized")
	}
	c.Inform(cwmp.EventConnectionRequest)
	return answer("result")
}
