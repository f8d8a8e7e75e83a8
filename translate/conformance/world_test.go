package conformance_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"isthmus/cwmp"
	"isthmus/cwmp/connreq"
	"isthmus/cwmp/cpe"
	"isthmus/store/badger"
	"isthmus/translate"
	"isthmus/usp"
	"isthmus/usp/agent"
	"isthmus/usp/controller"
	"isthmus/usp/mtp"
	"isthmus/usp/mtp/broker"
	"isthmus/usp/mtp/websocket"
)

const (
	controllerID usp.EndpointID = "proto::controller"
	// patience is for everything a test waits for: long past what a working proxy needs.
	patience = 20 * time.Second
)

// TestMain ends the world that tests share before it looks for what was left running.
func TestMain(m *testing.M) { goleak.VerifyTestMain(withShared{m}) }

type withShared struct{ m *testing.M }

func (s withShared) Run() int {
	code := s.m.Run()
	if err := closeShared(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	return code
}

// world is what `isthmus serve` wires, with a CPE on one side and a Controller on the other, all on sockets.
type world struct {
	o      options
	ctx    context.Context
	cancel context.CancelFunc
	addrs  struct{ acs, dialIn string } // kept over a restart

	ctl *controller.Controller // nil where a test is the Controller
	cpe *cpe.CPE
	id  usp.EndpointID
	a   *controller.Agent

	store  *badger.Store
	proxy  *translate.Proxy
	acs    *cwmp.Server
	dialIn *websocket.Server
	client *websocket.Client
	pool   *websocket.Pool
	behind brokers // where the Controller is behind one
	others map[usp.EndpointID]*controller.Controller
	dials  mtp.Dialers // of the others
	served sync.WaitGroup
	ran    chan error // of the CPE
}

// options of a world; only dir is needed.
type options struct {
	dir string
	url string    // of a Controller that the test makes by hand
	at  reachable // the Controller is behind a broker
	// others are more Controllers, each behind a broker of another MTP.
	others map[usp.EndpointID]reachable
	tls    *tls.Config // what the proxy dials a Controller with

	ctlTLS    *tls.Config                                    // of the Controller
	mangle    func([][]byte) [][]byte                        // what becomes of its Records in a session context
	security  controller.Security                            // of its Records
	dialInTLS *tls.Config                                    // of the Agents' listener
	cas       []*x509.Certificate                            // that may say who a Controller is
	issue     func(usp.EndpointID) (*tls.Certificate, error) // the Agent's certificate

	// cycle has the Agent reconnect when its CPE boots.
	cycle bool

	tree   *cpe.Tree  // nil: the simulated CPE's own
	faults cpe.Faults // of the CPE
	class  string     // the CPE's ProductClass, "" for one that has no quirks
	roles  []agent.Role
	role   string // the Controller's
}

// reachable says how the Controller is behind a broker.
type reachable interface {
	protocol() string
	listen(*controller.Controller) error
	pool(context.Context, broker.Options) brokers
	connections() int // that Agents share; 0: each has its own
	mtp() (agent.MTPConfig, error)
}

// brokers dials Agents to brokers.
type brokers interface {
	mtp.Dialer
	Fix(usp.EndpointID, broker.Fixed)
	Close(context.Context)
}

func start(o options) (w *world, err error) {
	w = &world{o: o}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if o.url == "" {
		w.ctl = controller.New(w.ctx, controller.Options{EndpointID: controllerID, TLS: o.ctlTLS, Logger: quiet(), Mangle: o.mangle, Security: o.security})
		if o.at != nil {
			err = o.at.listen(w.ctl)
		} else {
			w.o.url, err = w.ctl.Listen(w.ctx, "127.0.0.1:0")
		}
		if err != nil {
			return w, err
		}
	}
	w.others = map[usp.EndpointID]*controller.Controller{}
	for id, at := range o.others {
		w.others[id] = controller.New(w.ctx, controller.Options{EndpointID: id, Logger: quiet()})
		if err := at.listen(w.others[id]); err != nil {
			return w, err
		}
	}
	w.addrs.acs, w.addrs.dialIn = freeAddr(), freeAddr()
	if err := w.open(); err != nil {
		return w, err
	}
	device := cwmp.DeviceID{Manufacturer: "Example", OUI: "00D09E", ProductClass: cmp.Or(o.class, "Gateway"), SerialNumber: "S1"}
	w.cpe = cpe.New(cpe.Config{Faults: o.faults, ACS: "http://" + w.addrs.acs + "/", Logger: quiet(), DeviceID: device,
		RebootTime: 50 * time.Millisecond, RetryWait: 200 * time.Millisecond, Tree: o.tree})
	w.ran = make(chan error, 1)
	go func() { w.ran <- w.cpe.Run(w.ctx) }()
	if w.id, _, err = usp.AgentEndpointID(device.OUI, device.ProductClass, device.SerialNumber); err != nil {
		return w, err
	}
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	if err := w.cpe.WaitSessions(ctx, 1); err != nil {
		return w, fmt.Errorf("the first session: %w", err)
	}
	if w.ctl != nil {
		w.a = w.ctl.Agent(w.id)
		err = w.a.WaitConnects(ctx, 1)
	}
	return w, err
}

// open starts the proxy.
func (w *world) open() (err error) {
	if w.store, err = badger.Open(w.o.dir, &badger.Options{Logger: quiet()}); err != nil {
		return err
	}
	reached, err := w.reach()
	if err != nil {
		return err
	}
	controllers := []agent.ControllerConfig{{EndpointID: controllerID, Role: w.o.role, MTP: reached}}
	w.dials = mtp.Dialers{}
	for id, at := range w.o.others {
		pool := at.pool(w.ctx, broker.Options{Logger: quiet()})
		pool.Fix(id, broker.Fixed{})
		w.dials[at.protocol()] = pool
		c := agent.ControllerConfig{EndpointID: id}
		if c.MTP, err = at.mtp(); err != nil {
			return err
		}
		controllers = append(controllers, c)
	}
	w.proxy, err = translate.New(w.ctx, translate.Options{
		Store: w.store, Linger: 200 * time.Millisecond, MaxAge: time.Minute, Logger: quiet(), LegacyTree: w.o.roles != nil,
		ConnectionRequest: translate.ConnectionRequest{Timeout: 3 * time.Second, Client: &connreq.Client{}},
		Agents: agent.Options{RequestTimeout: 8 * time.Second, Logger: quiet(), SoftwareVersion: "test", CAs: w.o.cas, Certificate: w.o.issue, Dialer: w.dialer(), Roles: w.o.roles,
			Controllers: controllers},
	})
	if err != nil {
		return err
	}
	w.acs = cwmp.NewServer(w.proxy, &cwmp.ServerOptions{Logger: quiet()})
	w.dialIn = websocket.NewServer(w.proxy.Lookup, websocket.ServerOptions{TLS: w.o.dialInTLS, Logger: quiet()})
	if err := w.serve(&w.addrs.acs, w.acs.Serve); err != nil {
		return err
	}
	if err := w.serve(&w.addrs.dialIn, w.dialIn.Serve); err != nil {
		return err
	}
	w.proxy.Start()
	return nil
}

// reach makes what the Controller is dialled with, and says how its MTP row has it.
func (w *world) reach() (agent.MTPConfig, error) {
	w.pool = websocket.NewPool(w.ctx, websocket.PoolOptions{Client: websocket.ClientOptions{TLS: w.o.tls, Extension: true, Logger: quiet()}})
	if w.o.at != nil {
		w.behind = w.o.at.pool(w.ctx, broker.Options{TLS: w.o.tls, Logger: quiet()})
		w.behind.Fix(controllerID, broker.Fixed{TLS: w.o.tls, Cycle: w.o.cycle, Shared: w.o.at.connections()})
		for id, at := range w.o.others {
			if at.protocol() == w.o.at.protocol() { // behind the same broker
				w.behind.Fix(id, broker.Fixed{TLS: w.o.tls})
			}
		}
		return w.o.at.mtp()
	}
	u, err := url.Parse(w.o.url)
	if err != nil {
		return agent.MTPConfig{}, err
	}
	host, err := netip.ParseAddrPort(u.Host)
	if err != nil {
		return agent.MTPConfig{}, err
	}
	w.client, err = websocket.NewClient(w.ctx, websocket.ClientOptions{URL: w.o.url, Controller: controllerID, TLS: w.o.tls,
		Extension: true, Retry: usp.Retry{Minimum: 20 * time.Millisecond}, Logger: quiet()})
	if err != nil {
		return agent.MTPConfig{}, err
	}
	w.pool.Fix(controllerID, w.client, w.o.cycle)
	return agent.MTPConfig{Protocol: "WebSocket", Host: host.Addr().String(), Port: int(host.Port()), Path: u.Path}, nil
}

func (w *world) dialer() mtp.Dialer {
	all := maps.Clone(w.dials)
	all["WebSocket"] = w.pool
	if w.behind != nil {
		all[w.o.at.protocol()] = w.behind
	}
	return all
}

func (w *world) serve(addr *string, serve func(net.Listener) error) error {
	l, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	*addr = l.Addr().String()
	w.served.Go(func() {
		if err := serve(l); err != nil {
			fmt.Fprintln(os.Stderr, "serving:", err)
		}
	})
	return nil
}

// stop ends the proxy and leaves the CPE and the Controller.
func (w *world) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var errs []error
	if w.proxy != nil {
		w.proxy.Stop()
		errs = append(errs, w.acs.Shutdown(ctx), w.proxy.Close(ctx))
		w.dialIn.Shutdown(ctx)
	}
	if w.pool != nil {
		w.pool.Close(ctx)
	}
	if w.behind != nil {
		w.behind.Close(ctx)
	}
	for _, d := range w.dials {
		if pool, ok := d.(brokers); ok {
			pool.Close(ctx)
		}
	}
	w.served.Wait()
	if w.store != nil {
		errs = append(errs, w.store.Close())
	}
	w.proxy, w.client, w.pool, w.behind, w.store = nil, nil, nil, nil, nil
	return errors.Join(errs...)
}

func (w *world) close() error {
	err := w.stop()
	w.cancel()
	if w.ran != nil {
		err = errors.Join(err, <-w.ran)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if w.ctl != nil {
		w.ctl.Close(ctx)
	}
	for _, c := range w.others {
		c.Close(ctx)
	}
	return err
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// lasting is a world of the cases that leave it as they found it.
type lasting struct {
	sync.Once
	w   *world
	dir string
	err error
}

var common lasting

func closeShared() error {
	err := common.close()
	for _, h := range homes {
		err = errors.Join(err, h.close())
	}
	return err
}

func (l *lasting) close() error {
	if l.w == nil {
		return nil
	}
	return errors.Join(l.w.close(), os.RemoveAll(l.dir))
}

func (l *lasting) open(t *testing.T, o options) *eut {
	t.Helper()
	l.Do(func() {
		if l.dir, l.err = os.MkdirTemp("", "conformance"); l.err == nil {
			o.dir = l.dir
			l.w, l.err = start(o)
		}
	})
	if l.err != nil {
		t.Fatal(l.err)
	}
	return &eut{T: t, w: l.w, a: l.w.a}
}

// shared is the Agent of the common world, its tables as after the first contact.
func shared(t *testing.T) *eut {
	t.Helper()
	return common.open(t, options{})
}

// fresh is an Agent in a world of its own.
func fresh(t *testing.T, o options) *eut {
	t.Helper()
	o.dir = t.TempDir()
	w, err := start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.close(); err != nil {
			t.Error(err)
		}
	})
	return &eut{T: t, w: w, a: w.a}
}

func itoa(n int) string { return strconv.Itoa(n) }

// freeAddr is an address that the system gives no connection, so that it can be listened on again.
func freeAddr() string {
	const first, last = 18_000, 24_000 // below where Linux and macOS begin to give ports; other packages have the others
	for {
		addr := "127.0.0.1:" + itoa(first+rand.IntN(last-first))
		if l, err := net.Listen("tcp", addr); err == nil {
			_ = l.Close()
			return addr
		}
	}
}
