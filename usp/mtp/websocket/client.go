package websocket

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"isthmus/usp"
	"isthmus/usp/mtp"
)

const (
	defaultHandshakes = 32
	sessionCache      = 1 // TLS sessions: all are with one server
)

// ClientOptions say whom a Client dials and how. Only URL is needed.
type ClientOptions struct {
	URL        string         // ws:// or wss://; "{endpoint_id}" is replaced, eid=<Endpoint ID> is added to the query
	Controller usp.EndpointID // whom to expect there; "" takes anybody
	// TLS is for wss; it gets a session cache. The server's certificate may also come from what an Endpoint accepts that is an
	// mtp.Authenticator, and has to name Controller, or where it names no Endpoint the host.
	TLS *tls.Config
	// Certificate gives an Endpoint's own certificate when the server asks for one; nil: what TLS says. TLS sessions are then not resumed:
	// one would be another Endpoint's.
	Certificate func(usp.EndpointID) (*tls.Certificate, error)
	// Dial opens the connection; nil: TCP, from LocalAddrs in turn if there are any.
	Dial           func(ctx context.Context, network, addr string) (net.Conn, error)
	LocalAddrs     []netip.Addr
	KeepAlive      time.Duration // interval of Pings (R-WS.17); 0: 30 s
	Retry          usp.Retry     // back-off of R-WS.19
	MaxSize        int           // largest Record either way; 0: 5 MiB
	Extension      bool          // also name the Endpoint in the header that Controllers before USP 1.3 read (R-WS.10a)
	Pace           mtp.Pace
	HandshakeLimit int // connections being set up at a time; 0: 32
	Logger         *slog.Logger
	Registerer     prometheus.Registerer
}

// Client keeps a connection from each of its Endpoints to one peer. Endpoints that cannot connect try again as R-WS.19 says.
type Client struct {
	o        ClientOptions
	sh       *shared
	ctx      context.Context
	cancel   context.CancelFunc
	dialTurn int // of LocalAddrs

	mu       sync.Mutex
	links    map[usp.EndpointID]*link
	queue    []*link // waiting for one of the HandshakeLimit places
	dialling int
	nextDial time.Time   // for Pace
	pacing   *time.Timer // until then, if anybody waits for it
	closed   bool
	failing  bool      // the Controller was said to be out of reach
	told     time.Time // when
	wg       sync.WaitGroup
}

// link is one Endpoint's use of a Client; the Client's mu guards it.
type link struct {
	endpoint mtp.Endpoint
	state    linkState
	failures int // in a row, for the back-off
	timer    *time.Timer
	rested   time.Time // no attempt before then (Pace.AfterLoss)
	conn     *conn
	again    bool // dial at once when the connection has ended
	gone     bool // removed
}

type linkState int

const (
	waiting linkState = iota // for its timer
	queued
	dialling
	up
)

// NewClient checks the options. The Client dials once it has Endpoints, and no more when ctx is done; Close ends it.
func NewClient(ctx context.Context, o ClientOptions) (*Client, error) {
	if _, err := dialURL(o.URL, ""); err != nil {
		return nil, err
	}
	o.MaxSize = orDefault(o.MaxSize, defaultMaxSize)
	o.HandshakeLimit = orDefault(o.HandshakeLimit, defaultHandshakes)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.TLS = o.TLS.Clone()
	if o.TLS == nil {
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	o.TLS.ClientSessionCache = nil
	if o.Certificate == nil {
		o.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(sessionCache)
	}
	c := &Client{o: o, links: map[usp.EndpointID]*link{}}
	c.sh = &shared{maxSize: o.MaxSize, log: o.Logger, metrics: newMetrics(o.Registerer), wheel: newWheel(o.KeepAlive)}
	c.ctx, c.cancel = context.WithCancel(ctx)
	return c, nil
}

func orDefault(n, def int) int {
	if n <= 0 {
		return def
	}
	return n
}

// Add connects an Endpoint, now and whenever its connection is lost, until Remove. An Endpoint that is there already is left alone.
func (c *Client) Add(e mtp.Endpoint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.links[e.EndpointID()] != nil {
		return
	}
	l := &link{endpoint: e}
	c.links[e.EndpointID()] = l
	c.enqueue(l)
}

// Remove ends an Endpoint's connection and dials no more for it.
func (c *Client) Remove(id usp.EndpointID) {
	c.mu.Lock()
	l := c.links[id]
	if l == nil {
		c.mu.Unlock()
		return
	}
	delete(c.links, id)
	l.gone = true
	l.stopTimer()
	if live := l.conn; live != nil {
		c.wg.Go(func() { live.Close(mtp.Normal) }) // which waits for a peer that does not read
	}
	c.mu.Unlock()
}

// State is how an Endpoint's connection is.
func (c *Client) State(id usp.EndpointID) mtp.State {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.links[id]
	switch {
	case l == nil:
		return mtp.State{}
	case l.state == up:
		return mtp.State{Status: mtp.Connected}
	case l.state == waiting:
		return mtp.State{Status: mtp.Unreachable, Failures: l.failures}
	}
	return mtp.State{Status: mtp.Connecting, Failures: l.failures}
}

// Reconnect ends an Endpoint's connection, if it has one, and dials at once.
func (c *Client) Reconnect(id usp.EndpointID) {
	c.mu.Lock()
	l := c.links[id]
	if l == nil || l.conn == nil {
		c.kick(l)
		c.mu.Unlock()
		return
	}
	l.again = true
	live := l.conn
	c.mu.Unlock()
	live.Close(mtp.Normal)
}

// Kick dials at once for an Endpoint that is waiting to, and starts its back-off anew: the peer gave a sign of life, or the CPE
// rebooted.
func (c *Client) Kick(id usp.EndpointID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kick(c.links[id])
}

// Close ends all connections (1001) and returns when all is ended: after ctx without closing handshakes.
func (c *Client) Close(ctx context.Context) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	c.queue = nil
	var live []*conn
	for _, l := range c.links {
		l.stopTimer()
		if l.conn != nil {
			live = append(live, l.conn)
		}
	}
	c.mu.Unlock()
	c.cancel()
	shutAll(ctx, live, &c.wg)
	c.sh.wheel.close()
}

// shutAll closes connections as going away and waits for their goroutines.
func shutAll(ctx context.Context, live []*conn, wg *sync.WaitGroup) {
	ended := make(chan struct{})
	go func() {
		wg.Wait()
		close(ended)
	}()
	for _, l := range live {
		if ctx.Err() == nil {
			l.shut(websocket.CloseGoingAway, "", ErrClosed)
		}
	}
	select {
	case <-ended:
	case <-ctx.Done():
		for _, l := range live {
			l.abort(ErrClosed)
		}
		<-ended
	}
}

func (c *Client) kick(l *link) {
	if l == nil {
		return
	}
	l.failures = 0
	if l.state == waiting && !time.Now().Before(l.rested) {
		l.stopTimer()
		c.enqueue(l)
	}
}

func (l *link) stopTimer() {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
}

// enqueue gives l a place in the queue of those to dial. Like pump and later it needs mu.
func (c *Client) enqueue(l *link) {
	if c.closed || l.gone || l.state != waiting {
		return
	}
	l.state = queued
	c.queue = append(c.queue, l)
	c.pump()
}

func (c *Client) pump() {
	for c.dialling < c.o.HandshakeLimit && len(c.queue) > 0 {
		l := c.queue[0]
		if !l.gone && !c.mayDial() {
			return
		}
		c.queue = c.queue[1:]
		if l.gone {
			continue
		}
		l.state = dialling
		c.dialling++
		c.dialTurn++
		turn := c.dialTurn
		c.wg.Go(func() { c.connect(l, turn) })
	}
}

// mayDial says whether Pace allows a dial now; if not, pump is called again when it does.
func (c *Client) mayDial() bool {
	if c.o.Pace.Connects == 0 {
		return true
	}
	now := time.Now()
	if wait := c.nextDial.Sub(now); wait > 0 {
		if c.pacing == nil {
			c.pacing = time.AfterFunc(wait, func() {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.pacing = nil
				c.pump()
			})
		}
		return false
	}
	c.nextDial = now.Add(c.o.Pace.Connects)
	return true
}

// later dials again after the back-off.
func (c *Client) later(l *link) {
	l.state = waiting
	l.failures++
	l.timer = time.AfterFunc(max(c.o.Retry.Wait(l.failures, rand.Float64), time.Until(l.rested)), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.enqueue(l)
	})
}

func (c *Client) connect(l *link, turn int) {
	ws, err := c.dial(l.endpoint, turn)
	if !c.connected(l, ws, err) && ws != nil {
		_ = ws.Close()
	}
}

// tellAgain is how long the log is silent about a Controller that comes and goes.
const tellAgain = time.Minute

// tell logs that the Controller cannot be reached, and that it can again: once for all Agents. It needs mu.
func (c *Client) tell(err error) {
	failing := err != nil
	if failing == c.failing || time.Since(c.told) < tellAgain {
		return
	}
	c.failing, c.told = failing, time.Now()
	if failing {
		c.o.Logger.Warn("Controller cannot be reached", "controller", c.o.Controller, "err", err)
	} else {
		c.o.Logger.Info("Controller is reached again", "controller", c.o.Controller)
	}
}

// connected takes the outcome of a dial, and says whether the connection is wanted.
func (c *Client) connected(l *link, ws *websocket.Conn, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dialling--
	defer c.pump()
	switch {
	case c.closed || l.gone || c.ctx.Err() != nil:
	case err != nil:
		c.tell(err)
		c.o.Logger.Debug("websocket dial", "endpoint", l.endpoint.EndpointID(), "controller", c.o.Controller, "failures", l.failures+1, "err", err)
		c.later(l)
	default:
		c.tell(nil)
		l.state, l.failures = up, 0
		l.conn = newConn(c.sh, ws, l.endpoint, c.o.Controller, true)
		// A new goroutine has a small stack; this one's has grown with the handshake.
		live := l.conn
		c.wg.Go(func() { c.run(l, live) })
		return true
	}
	return false
}

func (c *Client) run(l *link, live *conn) {
	live.serve()
	c.mu.Lock()
	defer c.mu.Unlock()
	l.conn = nil
	l.state = waiting
	lost := !live.parted && c.o.Pace.AfterLoss > 0
	if lost {
		l.rested = time.Now().Add(c.o.Pace.AfterLoss)
	}
	again := l.again
	l.again = false
	switch {
	case c.closed || l.gone:
	case again && !lost:
		c.enqueue(l)
	default:
		c.later(l)
	}
}

var (
	errSubprotocol = errors.New("peer does not speak " + subprotocol)
	errPeer        = errors.New("peer is another Endpoint")
)

// dial makes one connection and checks what the peer agreed to (R-WS.12a).
func (c *Client) dial(e mtp.Endpoint, turn int) (*websocket.Conn, error) {
	id := e.EndpointID()
	u, err := dialURL(c.o.URL, id)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(c.ctx, handshakeTimeout)
	defer cancel()
	d := websocket.Dialer{
		NetDialContext: c.o.Dial, TLSClientConfig: c.tls(ctx, e, u.Hostname()), Subprotocols: []string{subprotocol},
		ReadBufferSize: readBuffer, WriteBufferSize: writeBuffer, WriteBufferPool: &writeBuffers,
	}
	if d.NetDialContext == nil {
		d.NetDialContext = c.dialer(turn).DialContext
	}
	header := http.Header{}
	if c.o.Extension {
		header[extHeader] = []string{offer(id)}
	}
	ws, resp, err := d.DialContext(ctx, u.String(), header)
	if err != nil {
		if resp != nil {
			c.sh.metrics.dialed(dialRefused)
			return nil, fmt.Errorf("peer answers %s: %w", resp.Status, err)
		}
		c.sh.metrics.dialed(dialFailed)
		return nil, err
	}
	switch peer := offered(resp.Header); {
	case ws.Subprotocol() != subprotocol:
		c.sh.metrics.dialed(dialSubprotocol)
		err = errSubprotocol
	case peer != "" && c.o.Controller != "" && peer != string(c.o.Controller):
		c.sh.metrics.dialed(dialPeer)
		err = fmt.Errorf("%w: %q", errPeer, peer)
	default:
		c.sh.metrics.dialed(dialOK)
		return ws, nil
	}
	_ = ws.Close()
	return nil, err
}

func (c *Client) dialer(turn int) *net.Dialer {
	d := &net.Dialer{}
	if n := len(c.o.LocalAddrs); n > 0 {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.o.LocalAddrs[turn%n], 0))
	}
	return d
}
