package cpe

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // what TR-069 G.2.2.3 asks for
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"isthmus/cwmp"
	"isthmus/cwmp/stun"
)

// STUN has a CPE keep a NAT binding open and take UDP Connection Requests there (TR-069 Annex G).
type STUN struct {
	Server             string        // host:port, where Connection Requests come from, too
	Username, Password string        // STUNUsername, STUNPassword
	Period             time.Duration // between Binding Requests; 0: 30 s
}

const (
	defaultSTUNPeriod = 30 * time.Second
	maxUDP            = 2048 // bytes
	udpRetry          = 100 * time.Millisecond
)

// udp is the port of a CPE for STUN and UDP Connection Requests. Its goroutine owns it.
type udp struct {
	c      *CPE
	cfg    *STUN
	conn   net.Conn // connected, so nobody but the STUN server is heard
	id     stun.ID  // of the request under way
	change bool     // the server does not know of the latest binding
	mapped netip.AddrPort
	ts, cr uint64 // of the last UDP Connection Request
}

// dialSTUN opens the port, if the CPE has one.
func (c *CPE) dialSTUN(ctx context.Context) (*udp, error) {
	if c.cfg.STUN == nil {
		return nil, nil
	}
	conn, err := c.cfg.Dial(ctx, "udp", c.cfg.STUN.Server)
	if err != nil {
		return nil, fmt.Errorf("STUN server: %w", err)
	}
	return &udp{c: c, cfg: c.cfg.STUN, conn: conn}, nil
}

func (u *udp) close() {
	if u != nil {
		u.conn.Close() //nolint:errcheck // nothing to be lost
	}
}

// start serves the port until ctx ends; wait is for that.
func (u *udp) start(ctx context.Context) (wait func()) {
	if u == nil {
		return func() {}
	}
	context.AfterFunc(ctx, u.close)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer u.close()
		u.run(ctx)
	}()
	return func() { <-done }
}

func (u *udp) run(ctx context.Context) {
	b := make([]byte, maxUDP)
	u.bind(false)
	next := time.Now().Add(cmp.Or(u.cfg.Period, defaultSTUNPeriod))
	for ctx.Err() == nil {
		if err := u.conn.SetReadDeadline(next); err != nil {
			return
		}
		n, err := u.conn.Read(b)
		switch {
		case err == nil:
			u.take(b[:n])
		case errors.Is(err, net.ErrClosed):
			return
		case time.Now().Before(next):
			time.Sleep(udpRetry) // nobody is there (ICMP)
		default:
			u.bind(false)
			next = time.Now().Add(cmp.Or(u.cfg.Period, defaultSTUNPeriod))
		}
	}
}

// bind sends a Binding Request.
func (u *udp) bind(signed bool) {
	rand.Read(u.id[:]) //nolint:errcheck // never fails
	u.id[0] = 0        // classic: not the cookie of RFC 5389
	w := stun.New(stun.BindingRequest, u.id)
	w.Text(stun.ConnectionRequestBinding, stun.ConnectionRequestBindingValue)
	if u.change {
		w.Text(stun.BindingChange, "")
	}
	if u.cfg.Username != "" {
		w.Text(stun.Username, u.cfg.Username)
	}
	if signed {
		w.Sign(u.cfg.Password)
	}
	u.conn.Write(w.Bytes()) //nolint:errcheck // lost like any datagram; the next one follows
}

func (u *udp) take(b []byte) {
	m, err := stun.Parse(b)
	if err != nil {
		u.connectionRequest(b)
		return
	}
	switch {
	case m.ID != u.id:
	case m.Type == stun.BindingError && m.Error() == stun.Unauthorized && u.cfg.Username != "":
		u.bind(true)
	case m.Type == stun.BindingResponse:
		u.change = false
		if mapped := m.Address(stun.MappedAddress); mapped.IsValid() && mapped != u.mapped {
			u.mapped, u.change = mapped, true
			u.c.bound(mapped, u.conn.LocalAddr())
			u.bind(false)
		}
	}
}

// bound tells the tree of a new binding.
func (c *CPE) bound(mapped netip.AddrPort, local net.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	server := c.root + "ManagementServer."
	c.change(server+"NATDetected", strconv.FormatBool(mapped.String() != local.String()))
	c.change(server+"UDPConnectionRequestAddress", mapped.String())
	c.changedState()
}

// connectionRequest checks a UDP Connection Request (TR-069 G.2.2.3): a copy of one that was taken is nothing new.
func (u *udp) connectionRequest(b []byte) {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
	if err != nil {
		return
	}
	on, username, password := u.c.connReqCredentials()
	q := r.URL.Query()
	ts, tsErr := strconv.ParseUint(q.Get("ts"), 10, 32)
	id, idErr := strconv.ParseUint(q.Get("id"), 10, 32)
	mac := hmac.New(sha1.New, []byte(password))
	mac.Write([]byte(q.Get("ts") + q.Get("id") + q.Get("un") + q.Get("cn")))
	sig, sigErr := hex.DecodeString(q.Get("sig"))
	if !on || errors.Join(tsErr, idErr, sigErr) != nil || ts <= u.ts || id == u.cr || !equal(q.Get("un"), username) || !hmac.Equal(sig, mac.Sum(nil)) {
		u.c.log.Debug("UDP Connection Request refused", "serial", u.c.id.SerialNumber)
		return
	}
	u.ts, u.cr = ts, id
	u.c.Inform(cwmp.EventConnectionRequest)
}

// reachable gives a tree the parameters that tell how else than by HTTP the CPE can be reached.
func (c *CPE) reachable(t *Tree) *Tree {
	server := c.root + "ManagementServer."
	if s := c.cfg.STUN; s != nil {
		host, port, _ := net.SplitHostPort(s.Server) //nolint:errcheck // it was dialled
		t = t.With(server+"STUNEnable", "boolean", "true").With(server+"STUNServerAddress", "string", host).
			With(server+"STUNServerPort", "unsignedInt", port).With(server+"STUNUsername", "string", s.Username).
			With(server+"NATDetected", "boolean", "false").With(server+"UDPConnectionRequestAddress", "string", "")
	}
	if c.cfg.XMPP != nil {
		t = t.With(server+"ConnReqJabberID", "string", "")
	}
	return t
}
