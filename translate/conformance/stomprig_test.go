package conformance_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"isthmus/usp/agent"
	"isthmus/usp/controller"
	"isthmus/usp/identity/identitytest"
	"isthmus/usp/mtp/broker"
	"isthmus/usp/mtp/brokertest"
	"isthmus/usp/mtp/stomp"
	"isthmus/usp/mtp/stomp/client"
	"isthmus/usp/mtp/stomp/stomptest"
)

const (
	agentDestination      = "/queue/usp.agent.{endpoint_id}"
	controllerDestination = "/queue/usp.controller"
	stompConnection       = "Device.STOMP.Connection.1."
)

// atServer says how the Controller is behind a STOMP server.
type atServer struct {
	server           string // where the Controller is connected
	addr             string // where the Agent is
	encrypted        bool
	agentDestination string
	shared           int // connections that Agents share
}

func (*atServer) protocol() string { return stomp.Protocol }

func (s *atServer) connections() int { return s.shared }

func (*atServer) pool(ctx context.Context, o broker.Options) brokers { return stomp.NewPool(ctx, o) }

func (s *atServer) listen(c *controller.Controller) error {
	return c.STOMP(stomp.ControllerOptions{Host: "/", Destination: controllerDestination, AgentDestination: agentDestination, Again: 50 * time.Millisecond, Logger: quiet(),
		Dial: func(ctx context.Context) (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, "tcp", s.server) }})
}

func (s *atServer) mtp() (agent.MTPConfig, error) {
	at, err := netip.ParseAddrPort(s.addr)
	return agent.MTPConfig{Protocol: stomp.Protocol, Host: at.Addr().String(), Port: int(at.Port()), EnableEncryption: s.encrypted,
		STOMP: &agent.STOMPConfig{VirtualHost: "/", AgentDestination: s.agentDestination, ControllerDestination: controllerDestination}}, err
}

// ownServer is a STOMP server in this process.
type ownServer struct {
	t             *testing.T
	own           *tls.Certificate
	plain, secure string
	stop          func()
}

func newStomptest(t *testing.T, o brokerSetup) anyBroker {
	b := &ownServer{t: t, own: o.own, plain: freeAddr()}
	if o.own != nil {
		b.secure = freeAddr()
	}
	b.Start()
	t.Cleanup(b.Stop)
	return b
}

func (b *ownServer) addresses() (plain, secure string) { return b.plain, b.secure }

func (b *ownServer) Start() {
	b.t.Helper()
	s, err := stomptest.Listen(b.t.Context(), b.plain, stomptest.Options{Connected: func(*client.Frame) []client.Header {
		return []client.Header{{Name: "heart-beat", Value: "0,1000"}}
	}})
	if err != nil {
		b.t.Fatal(err)
	}
	end := func() {}
	if b.own != nil {
		end = terminate(b.t, b.secure, b.plain, b.own)
	}
	b.stop = func() {
		end()
		s.Close()
	}
}

func (b *ownServer) Stop() {
	if b.stop != nil {
		b.stop()
	}
	b.stop = nil
}

// terminate ends TLS before a server that has none.
func terminate(t *testing.T, addr, to string, own *tls.Certificate) func() {
	l, err := tls.Listen("tcp", addr, &tls.Config{Certificates: []tls.Certificate{*own}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s, err := net.Dial("tcp", to)
			if err != nil {
				_ = c.Close()
				continue
			}
			wg.Go(func() { _, _ = io.Copy(c, s); _ = c.Close() })
			wg.Go(func() { _, _ = io.Copy(s, c); _ = s.Close() })
		}
	})
	return func() {
		_ = l.Close()
		b, err := net.Dial("tcp", to)
		if err == nil {
			_ = b.Close()
		}
	}
}

// realRabbitMQ is one of Debian's, with its STOMP plugin.
type realRabbitMQ struct{ *brokertest.RabbitMQ }

func newRabbitMQ(t *testing.T, o brokerSetup) anyBroker {
	r := brokertest.RabbitMQOptions{}
	if o.own != nil {
		r.CertFile, r.KeyFile = identitytest.Files(t, t.TempDir(), "broker", o.own.Leaf, o.own.PrivateKey)
	}
	return realRabbitMQ{brokertest.NewRabbitMQ(t, r)}
}

func (r realRabbitMQ) addresses() (plain, secure string) { return r.Addr, r.TLSAddr }

// stompRig has STOMP servers of one make.
type stompRig struct {
	*testing.T
	start  func(*testing.T, brokerSetup) anyBroker
	shared bool // Agents share connections
}

// stompEUT is an Agent behind a STOMP server, with a tap between them.
type stompEUT struct {
	*eut
	server      anyBroker
	at          *atServer
	tap         *frames
	destination string
}

// agent starts an Agent that onboards through a server.
func (r *stompRig) agent() *stompEUT {
	r.Helper()
	b := r.start(r.T, brokerSetup{})
	plain, _ := b.addresses()
	t := newFrames(r.T, plain)
	at := &atServer{server: plain, addr: t.addr, agentDestination: agentDestination}
	if r.shared {
		at.shared = 2
	}
	e := fresh(r.T, options{at: at})
	return &stompEUT{eut: e, server: b, at: at, tap: t, destination: strings.ReplaceAll(agentDestination, "{endpoint_id}", string(e.w.id))}
}

// restart is the EUT's reboot: that of the proxy.
func (e *stompEUT) restart() {
	e.Helper()
	e.must(e.w.stop())
	e.tap.skip()
	e.must(e.w.open())
}

// back waits for the n-th Connect Record.
func (e *stompEUT) back(n int) {
	e.Helper()
	e.must(e.a.WaitConnects(e.deadline(), n))
}

// frames is a tap for STOMP: between the Agent and a server, any server.
type frames struct {
	addr   string
	server string
	l      net.Listener
	wg     sync.WaitGroup

	mu      sync.Mutex
	changed chan struct{}
	all     []frame
	taken   int
	more    []client.Header // of CONNECTED
	conns   map[net.Conn]bool
}

// frame is one that was seen. A Command "" is a new connection of the Agent's, "beat" a heart-beat.
type frame struct {
	*client.Frame
	at         time.Time
	fromServer bool
}

const beat = "beat"

func newFrames(t *testing.T, server string) *frames {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &frames{addr: l.Addr().String(), server: server, l: l, changed: make(chan struct{}), conns: map[net.Conn]bool{}}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *frames) accept() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		p.saw(&client.Frame{}, false)
		to, err := net.Dial("tcp", p.server)
		if err != nil {
			_ = c.Close()
			continue
		}
		p.mu.Lock()
		p.conns[c] = true
		p.mu.Unlock()
		p.wg.Go(func() { p.copy(to, c, false); _ = to.Close() })
		p.wg.Go(func() {
			p.copy(c, to, true)
			_ = c.Close()
			p.mu.Lock()
			delete(p.conns, c)
			p.mu.Unlock()
		})
	}
}

func (p *frames) copy(to io.Writer, from io.Reader, fromServer bool) {
	in := bufio.NewReader(from)
	for {
		f, err := client.ReadFrame(in, 8<<20, func() {
			p.saw(&client.Frame{Command: beat}, fromServer)
			_, _ = to.Write([]byte{'\n'})
		})
		if err != nil {
			return
		}
		out := &client.Frame{Command: f.Command, Body: f.Body}
		for _, h := range f.Headers {
			if h.Name != "content-length" { // Append makes it
				out.Headers = append(out.Headers, h)
			}
		}
		p.mu.Lock()
		if f.Command == "CONNECTED" {
			out.Headers = append(out.Headers, p.more...)
		}
		p.mu.Unlock()
		p.saw(f, fromServer)
		if _, err := to.Write(out.Append(nil)); err != nil {
			return
		}
	}
}

func (p *frames) saw(f *client.Frame, fromServer bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, frame{f, time.Now(), fromServer})
	close(p.changed)
	p.changed = make(chan struct{})
}

// add has CONNECTED say more from now on.
func (p *frames) add(more ...client.Header) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.more = more
}

func (p *frames) skip() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken = len(p.all)
}

// next waits for the first frame of the Agent's after the one that it gave before.
func (p *frames) next(e *eut, command string, match func(*client.Frame) bool) frame {
	e.Helper()
	end := time.After(patience)
	for {
		p.mu.Lock()
		for p.taken < len(p.all) {
			f := p.all[p.taken]
			p.taken++
			if f.Command == command && !f.fromServer && (match == nil || match(f.Frame)) {
				p.mu.Unlock()
				return f
			}
		}
		changed := p.changed
		p.mu.Unlock()
		select {
		case <-changed:
		case <-end:
			e.Fatalf("no %s came", command)
		}
	}
}

func (p *frames) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}
