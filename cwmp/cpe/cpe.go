// Package cpe is a small real CPE: the device side of TR-069 with a data model, sessions, events, a Connection Request listener,
// transfers and reboots, and faults on demand. `isthmus cpe`, the demo, tests and load all use it. A CPE at rest is its data and
// its timers, no goroutine, and shares its tree with its like, so a process holds many thousands.
package cpe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"isthmus/cwmp"
	"isthmus/cwmp/xmpp"
)

// Config says what a CPE is and how it behaves. Only ACS is required.
type Config struct {
	ACS      string        // URL
	DeviceID cwmp.DeviceID // zero: the tree's, or an example's
	Tree     *Tree         // nil: Device2()
	Version  string        // of CWMP, "1.0" to "1.4"; "": "1.4"

	Username, Password               string // for the ACS, Digest or Basic as it asks
	ConnReqUsername, ConnReqPassword string // asked of Connection Requests by Digest; no user name: they are let in unasked

	Listener *Listener     // of Connection Requests, may be shared; nil: one of its own on 127.0.0.1
	STUN     *STUN         // a NAT binding for UDP Connection Requests; nil: none
	XMPP     *xmpp.Options // an account for XMPP Connection Requests; nil: none
	TLS      *tls.Config   // for an https ACS; nil: the system's roots
	// Dial connects to ACS and file servers; nil: net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	RebootTime       time.Duration // from the end of the session to the Inform of the boot
	RetryWait        time.Duration // m of TR-069 3.2.1.1; 0: the tree's CWMPRetryMinimumWaitInterval, else 5 s
	PeriodicInterval time.Duration // until the ACS writes PeriodicInform…; 0: the tree's

	BootEvents       []string // of the first Inform; nil: "0 BOOTSTRAP", "1 BOOT"
	InformParameters []string // in every Inform, besides the forced ones
	Faults           Faults
	Logger           *slog.Logger   // nil: slog.Default()
	Observe          func(Exchange) // told of every message, in order, while it holds up the session; nil: nobody
}

// Exchange is one message of a session.
type Exchange struct {
	FromACS bool
	RPC     string // "Inform", "InformResponse", "Fault", "" for an empty HTTP body
	Summary string // what is in it, without secrets
}

// CPE is one device. Its methods may be called from any goroutine, those that wait only while it runs.
type CPE struct {
	cfg  Config
	id   cwmp.DeviceID
	root string // "Device."
	log  *slog.Logger

	mu      sync.Mutex
	base    *Tree // what FactoryReset restores
	tree    *Tree
	faults  Faults
	changed map[string]struct{} // notified parameters that changed on the LAN side and are not in an acknowledged Inform yet

	events    []event
	requests  []*request
	transfers []*transfer
	units     map[string]unit // deployment units by UUID
	atEnd     []func()        // run under mu when the session is over
	reset     bool            // FactoryReset at the end of the session
	reboot    *string         // Reboot at the end of the session; the CommandKey

	bootstrapped bool        // the ACS acknowledged a BOOTSTRAP
	due          bool        // a session is wanted
	running      bool        // a session is under way
	down         bool        // between reboot and boot
	work         int         // background jobs: transfers, deployment units
	scheduled    []time.Time // when ScheduleInforms are due
	retries      int
	booted       time.Time

	period          time.Duration
	periodic, retry *time.Timer
	timers          map[*time.Timer]struct{}
	tests           map[string]*time.Timer // ends of tests, by the path of their state
	ctx             context.Context        // of Run; nil while not running
	wg              sync.WaitGroup

	calls    []Call
	counts   map[string]int
	sessions int
	failures int
	signal   chan struct{} // closed at the next change; nil while nobody waits
	stats    *collector    // of a fleet, which keeps no Calls; nil: none
}

// Call is an RPC that the ACS made.
type Call struct {
	Request  cwmp.RPC
	Response cwmp.RPC // a *cwmp.Fault where it failed; nil if it was answered with an empty POST
}

var exampleID = cwmp.DeviceID{Manufacturer: "Example", OUI: "00D09E", ProductClass: "Gateway", SerialNumber: "1"}

const defaultVersion = "1.4"

// New makes a CPE that is switched off.
func New(cfg Config) *CPE {
	if cfg.Tree == nil {
		cfg.Tree = Device2()
	}
	if cfg.Version == "" {
		cfg.Version = defaultVersion
	}
	if cfg.BootEvents == nil {
		cfg.BootEvents = []string{cwmp.EventBootstrap, cwmp.EventBoot}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{}).DialContext
	}
	id := cfg.DeviceID
	if id == (cwmp.DeviceID{}) {
		id = cfg.Tree.DeviceID
	}
	if id == (cwmp.DeviceID{}) {
		id = exampleID
	}
	c := &CPE{cfg: cfg, id: id, root: cfg.Tree.rootName(), log: cfg.Logger, faults: cfg.Faults}
	c.base = c.personal(cfg.Tree)
	c.tree = c.base
	c.period = cfg.PeriodicInterval
	return c
}

// personal gives the tree what belongs to this CPE alone.
func (c *CPE) personal(t *Tree) *Tree {
	info, server := c.root+"DeviceInfo.", c.root+"ManagementServer."
	for _, p := range [][2]string{
		{info + "Manufacturer", c.id.Manufacturer}, {info + "ManufacturerOUI", c.id.OUI},
		{info + "ProductClass", c.id.ProductClass}, {info + "SerialNumber", c.id.SerialNumber},
		{server + "URL", c.cfg.ACS}, {server + "Username", c.cfg.Username}, {server + "Password", c.cfg.Password},
		{server + "ConnectionRequestUsername", c.cfg.ConnReqUsername},
		{server + "ConnectionRequestPassword", c.cfg.ConnReqPassword},
	} {
		t = t.set(p[0], p[1])
	}
	return c.reachable(t)
}

// ErrRunning is the error of a second Run while the first lasts.
var ErrRunning = errors.New("cpe: runs already")

var errPanic = errors.New("cpe: panic in a session")

// Run switches the CPE on: it boots, informs, and serves the ACS until ctx ends. All it started has ended when it returns. A later Run is
// another boot of the same device, with what it kept: values, rows, transfers to report.
func (c *CPE) Run(ctx context.Context) error {
	stop, err := c.start(ctx)
	if err != nil {
		return err
	}
	<-ctx.Done()
	stop()
	return nil
}

// start is Run's first half, for those who run many: stop, to be called after ctx has ended, is the other.
func (c *CPE) start(ctx context.Context) (stop func(), err error) {
	listener, own := c.cfg.Listener, false
	if listener == nil {
		if listener, err = Listen("127.0.0.1:0"); err != nil {
			return nil, err
		}
		own = true
	}
	port, err := c.dialSTUN(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx != nil {
		err = ErrRunning
	}
	if err != nil {
		port.close()
		if own {
			listener.Close()
		}
		return nil, err
	}
	c.ctx = ctx
	url, leave := listener.join(c)
	c.base = c.base.set(c.root+"ManagementServer.ConnectionRequestURL", url)
	c.tree = c.tree.set(c.root+"ManagementServer.ConnectionRequestURL", url)
	if c.bootstrapped {
		c.boot(cwmp.EventBoot)
	} else {
		c.boot(c.cfg.BootEvents...)
	}
	for _, t := range c.transfers {
		c.schedule(t)
	}
	waitPort, waitXMPP := port.start(ctx), c.startXMPP(ctx)
	return func() {
		leave()
		waitPort()
		waitXMPP()
		if own {
			listener.Close()
		}
		c.mu.Lock()
		for t := range c.timers {
			c.cancel(t)
		}
		c.mu.Unlock()
		c.wg.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.ctx, c.periodic, c.retry, c.down, c.due = nil, nil, nil, false, false
		c.work, c.tests = 0, nil
		c.changedState()
	}, nil
}

// boot opens the first session after power came. c.mu is held.
func (c *CPE) boot(codes ...string) {
	c.down, c.retries, c.booted = false, 0, time.Now()
	for _, code := range codes {
		c.addEvent(event{code: code})
	}
	c.rearm()
	c.want()
}

// want asks for a session: now, or when the running one has ended, or after the boot. c.mu is held.
func (c *CPE) want() {
	c.due = true
	c.wake()
}

func (c *CPE) wake() {
	defer c.changedState()
	if !c.due || c.running || c.down || c.ctx == nil || c.ctx.Err() != nil {
		return
	}
	c.due, c.running = false, true
	c.cancel(c.retry)
	c.retry = nil
	ctx := c.ctx
	c.wg.Go(func() { c.hold(ctx) })
}

// hold runs one session and what follows from it.
func (c *CPE) hold(ctx context.Context) {
	start := time.Now()
	err := c.contained(ctx)
	c.stats.session(err, time.Since(start))
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.changedState()
	c.running = false
	c.sessions++
	for _, f := range c.atEnd {
		f()
	}
	c.atEnd = nil
	if err != nil && ctx.Err() == nil {
		c.failures++
		c.log.Info("session failed", "serial", c.id.SerialNumber, "retries", c.retries, "error", err)
		c.dropEvents(unretried)
		wait := c.retryWait(c.retries)
		c.retries++
		c.retry = c.after(wait, c.want)
	} else if err == nil {
		c.retries = 0
	}
	switch {
	case c.reset:
		c.restart(true, nil)
	case c.reboot != nil:
		c.restart(false, c.reboot)
	}
	c.wake()
}

// contained is converse with panics, which an ACS might provoke, as errors.
func (c *CPE) contained(ctx context.Context) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errPanic, r)
		}
	}()
	return c.converse(ctx)
}

// restart takes the CPE down and boots it again after RebootTime, with its factory settings or with an M Reboot. c.mu is held.
func (c *CPE) restart(factory bool, key *string) {
	c.reset, c.reboot = false, nil
	c.down, c.due = true, false
	c.cancel(c.retry)
	c.cancel(c.periodic)
	c.retry, c.periodic = nil, nil
	codes := []string{cwmp.EventBoot}
	if factory {
		c.tree, c.transfers, c.requests, c.units, c.changed, c.bootstrapped = c.base, nil, nil, nil, nil, false
		c.period = c.cfg.PeriodicInterval
		c.dropEvents(func(event) bool { return true })
		codes = []string{cwmp.EventBootstrap, cwmp.EventBoot}
	} else {
		c.changed = nil
		c.dropEvents(untilReboot)
		c.forgetTests()
	}
	if key != nil {
		c.addEvent(event{code: cwmp.EventMReboot, key: *key})
	}
	c.switchImage()
	c.after(c.cfg.RebootTime, func() { c.boot(codes...) })
}

// after runs f under mu in d, if the CPE runs until then. c.mu is held.
func (c *CPE) after(d time.Duration, f func()) *time.Timer {
	if c.ctx == nil || c.ctx.Err() != nil {
		return nil
	}
	if c.timers == nil {
		c.timers = make(map[*time.Timer]struct{})
	}
	c.wg.Add(1)
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		defer c.wg.Done()
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.timers, t)
		if c.ctx.Err() == nil {
			f()
		}
	})
	c.timers[t] = struct{}{}
	return t
}

// cancel stops a timer of after; nil and timers that fired are fine. c.mu is held.
func (c *CPE) cancel(t *time.Timer) {
	if t != nil && t.Stop() {
		delete(c.timers, t)
		c.wg.Done()
	}
}

// rearm starts the periodic Inform anew. c.mu is held.
func (c *CPE) rearm() {
	c.cancel(c.periodic)
	c.periodic = nil
	interval := c.period
	if interval == 0 {
		server := c.root + "ManagementServer."
		if c.tree.value(server+"PeriodicInformEnable") != "true" {
			return
		}
		seconds, err := strconv.ParseUint(c.tree.value(server+"PeriodicInformInterval"), 10, 32)
		if err != nil || seconds == 0 {
			return
		}
		interval = time.Duration(seconds) * time.Second
	}
	c.periodic = c.after(interval, func() {
		c.addEvent(event{code: cwmp.EventPeriodic})
		c.rearm()
		c.want()
	})
}

// Inform queues events and starts a session, or one after that under way.
func (c *CPE) Inform(events ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, code := range events {
		c.addEvent(event{code: code})
	}
	c.want()
}

// Send queues a request of the CPE's own and the events that announce it, which go with its answer, and starts a session.
func (c *CPE) Send(req cwmp.RPC, events ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &request{rpc: req}
	c.requests = append(c.requests, r)
	for _, code := range events {
		c.addEvent(event{code: code, until: r})
	}
	c.want()
}

// SetFaults replaces the faults, from the next message on.
func (c *CPE) SetFaults(f Faults) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = f
}
