package translate

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"isthmus/cwmp"
	"isthmus/cwmp/connreq"
	"isthmus/store"
	"isthmus/translate/legacy"
	"isthmus/translate/quirks"
	"isthmus/translate/relay"
	"isthmus/usp"
	"isthmus/usp/agent"
	"isthmus/usp/mtp"
	"isthmus/usp/usppb"
)

// Options say what a Proxy works with. Only Store is needed.
type Options struct {
	Store store.Store
	// LegacyTree shows CPE of older data models also as they are, below agent.LegacyRoot, to Controllers with Roles that name it.
	LegacyTree bool
	// Traced, unless nil, is given every Exchange that is over. It must not wait.
	Traced func(agent usp.EndpointID, x Exchange)
	// Agents are the settings that all Agents share; Observer is the Proxy's own.
	Agents            agent.Options
	ConnectionRequest ConnectionRequest
	Provision         Provision
	// Linger is how long a session that was asked for is held open for more requests; 0 ends it at once.
	Linger time.Duration
	// MaxAge, Rules and ServeStale say what is answered from the cache. ServeStale is the age up to which the values of an
	// unreachable CPE are answered beyond that.
	MaxAge     time.Duration
	Rules      []AgeRule
	ServeStale time.Duration
	// ExpireAfter is how long an asynchronous command may take whose end the CPE does not report; 0: a day.
	ExpireAfter time.Duration
	// PollInterval is how often is read what is subscribed and what the CPE does not report; 0: only when it informs.
	PollInterval time.Duration
	// MaxDevices bounds the devices known; beyond it an unknown CPE gets 503. 0: no bound.
	MaxDevices int
	// NewDevicesPerSecond bounds the unknown CPE that are taken in from one source address; beyond it they get 503. 0: no bound.
	NewDevicesPerSecond int
	// Relay moves the files that CPE cannot be told of as they are; nil: such commands are refused. It is shut down before the Proxy.
	Relay *relay.Relay
	// View picks the view of a CPE by the root of its data model; nil: identity for Device:2, identity parameters for the rest.
	View func(root string) View
	// Quirks are the profiles of CPE; nil: the default.
	Quirks     *quirks.Table
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// ConnectionRequest says how CPE are asked for a session.
type ConnectionRequest struct {
	Username, Password string
	// Credentials gives what a CPE of its own asks of Connection Requests, no user name where that is Username; nil: it always is.
	Credentials func(usp.EndpointID) (username, password string)
	// Timeout is from asking until the Inform; 0: 15 s.
	Timeout time.Duration
	Client  *connreq.Client // nil: one with default rules
	// UDP and XMPP are the other ways to reach CPE; nil where they are turned off.
	UDP, XMPP Requester
}

const (
	maxIdentity    = 256 // bytes of each field of a DeviceId; TR-069 has 64
	defaultTimeout = 15 * time.Second
	fullRetry      = 300 // seconds until a CPE that had no room may try again
	newRetry       = 60  // and one that came among too many others
)

// Proxy is the ACS of a fleet (cwmp.Handler) and holds its Devices.
type Proxy struct {
	opts    Options
	store   store.Store
	fleet   *agent.Fleet
	connreq *connreq.Client
	log     *slog.Logger
	m       *metrics
	ages    atomic.Pointer[ages]
	models  *models
	habits  *habits
	kin     *kin
	traces  *traces
	news    *newcomers
	polls   polls
	wants   [settings]string // what Options.Provision comes to
	maps    sync.Map         // of TR-098 with makers' extensions, *legacy.Map by the name of the table

	// staleBefore is when the process last came back from a crash, in Unix milliseconds: what the cache held then is not trusted.
	staleBefore int64

	ctx      context.Context
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	closing  atomic.Bool
	started  atomic.Bool // CPE may be asked for sessions
	stopping chan struct{}
	aliasing chan struct{} // full while an Alias is being kept

	mu        sync.RWMutex
	devices   map[usp.EndpointID]*Device
	order     []*Device // sorted; nil after a change
	warm      map[*Device]struct{}
	operating map[*Device]struct{}  // those with operations
	methods   map[string][]string   // lists of RPC methods that devices share
	shy       map[*Device]retrial   // that refused RPCs after a boot
	later     map[*Device]time.Time // that are left in peace, and until when
	leases    [store.Shards]store.Lease
}

// New loads what the store knows. ctx is the process's: what the Proxy does in the background ends with it.
func New(ctx context.Context, opts Options) (*Proxy, error) {
	p := &Proxy{opts: opts, store: opts.Store, log: cmp.Or(opts.Logger, slog.Default()), habits: newHabits(opts.Quirks), kin: newKin(),
		models: newModels(), traces: newTraces(), news: newNewcomers(opts.NewDevicesPerSecond), stopping: make(chan struct{}), aliasing: make(chan struct{}, 1), connreq: opts.ConnectionRequest.Client,
		devices: map[usp.EndpointID]*Device{}, warm: map[*Device]struct{}{}, later: map[*Device]time.Time{}, operating: map[*Device]struct{}{},
		methods: map[string][]string{}, shy: map[*Device]retrial{}, wants: opts.Provision.wants()}
	p.m = newMetrics(opts.Registerer, p)
	if p.connreq == nil {
		p.connreq = &connreq.Client{}
	}
	p.ages.Store(newAges(opts.MaxAge, opts.Rules))
	p.opts.ExpireAfter = cmp.Or(opts.ExpireAfter, defaultExpiry)
	p.opts.ConnectionRequest.Timeout = cmp.Or(opts.ConnectionRequest.Timeout, defaultTimeout)
	if p.opts.View == nil {
		p.opts.View = func(root string) View {
			if root == deviceRoot {
				return identity{}
			}
			return older{m: legacy.TR098(), root: root}
		}
	}
	agents := opts.Agents
	agents.Observer = p
	p.fleet = agent.NewFleet(agents)
	p.ctx, p.cancel = context.WithCancel(ctx)
	if err := p.restore(ctx); err != nil {
		p.cancel()
		return nil, err
	}
	return p, nil
}

// runState is the fleet record that tells a clean end from a crash.
type runState struct {
	Clean       bool  `json:"clean"`
	StaleBefore int64 `json:"stale_before"`
}

const runRecord = "run"

// restore brings every known device back.
func (p *Proxy) restore(ctx context.Context) error {
	if err := p.setRun(ctx, func(s *runState) {
		if !s.Clean {
			s.StaleBefore = time.Now().UnixMilli()
		}
		s.Clean, p.staleBefore = false, s.StaleBefore
	}); err != nil {
		return err
	}
	for item, err := range p.store.All(ctx, store.Head) {
		if err != nil {
			return fmt.Errorf("reading the devices: %w", err)
		}
		d, err := p.newDevice(ctx, usp.EndpointID(item.Key.Device))
		if err != nil {
			return err
		}
		if err := json.Unmarshal(item.Value, &d.head); err != nil {
			return fmt.Errorf("head of %s: %w", d.id, err)
		}
		d.head.RPCs = p.shared(d.head.RPCs)
		d.setImage()
		if d.head.Shape != "" {
			if d.model, err = p.models.get(ctx, p.store, d.head.Shape, d.head.RPCs); err != nil {
				p.log.Error("data model is lost, discovering anew", "device", d.id, "err", err)
				d.head.Shape = ""
			}
		}
		d.stored = true
		if q := d.head.Quarantine; q != nil && !q.ByHand {
			p.m.contested.Inc()
		}
		d.attach()
		p.enter(d)
	}
	for item, err := range p.store.All(ctx, store.Inform) {
		if err != nil {
			return fmt.Errorf("reading the last Informs: %w", err)
		}
		if d := p.devices[usp.EndpointID(item.Key.Device)]; d != nil {
			rec, err := decodeInform(item.Value)
			if err == nil {
				d.inform, d.saved = informRecord{at: rec.at, hash: rec.hash, upTime: rec.upTime}, rec.at
			}
		}
	}
	return p.resume(ctx)
}

// resume takes up what was promised before the process ended.
func (p *Proxy) resume(ctx context.Context) error {
	resuming := map[*Device]bool{} // true: with rows
	each := func(kind store.Kind, f func(d *Device, id string)) error {
		for item, err := range p.store.All(ctx, kind) {
			if err != nil {
				return fmt.Errorf("reading what was promised: %w", err)
			}
			if d := p.devices[usp.EndpointID(item.Key.Device)]; d != nil {
				f(d, item.Key.ID)
			}
		}
		return nil
	}
	err := errors.Join(
		p.restoreGiven(ctx),
		p.restoreAliases(ctx),
		p.restoreTold(ctx),
		each(store.Row, func(d *Device, _ string) { resuming[d] = true }),
		each(store.Notification, func(d *Device, _ string) {
			if !resuming[d] {
				resuming[d] = false
			}
		}),
		each(store.Journal, func(d *Device, id string) { d.noteJournal(id) }),
		p.restoreOperations(ctx))
	if err != nil {
		return err
	}
	for d, subscribed := range resuming { // TimeToLive and Periodic! run on, too
		i, err := d.agent.Resume(ctx)
		if err != nil {
			return fmt.Errorf("subscriptions and notifications of %s: %w", d.id, err)
		}
		if subscribed {
			d.mu.Lock()
			d.interest, d.attributes = i, true // the next session sees whether the CPE knows
			d.mu.Unlock()
		}
	}
	for d := range p.operating {
		if err := d.orphaned(ctx); err != nil {
			return fmt.Errorf("operations of %s: %w", d.id, err)
		}
	}
	for _, d := range p.devices {
		if err := d.payOwed(ctx); err != nil {
			return err
		}
		d.nap()
	}
	return nil
}

func (p *Proxy) setRun(ctx context.Context, change func(*runState)) error {
	old, err := p.store.Fleet(ctx, runRecord)
	s := runState{Clean: true}
	switch {
	case errors.Is(err, store.ErrNotFound):
		old = nil
	case err != nil:
		return fmt.Errorf("reading the run state: %w", err)
	default:
		if err := json.Unmarshal(old, &s); err != nil {
			return fmt.Errorf("run state: %w", err)
		}
	}
	change(&s)
	b, err := json.Marshal(&s)
	if err != nil {
		return fmt.Errorf("run state: %w", err)
	}
	if err := p.store.PutFleet(ctx, runRecord, old, b); err != nil {
		return fmt.Errorf("writing the run state: %w", err)
	}
	return nil
}

// lease gives that of a shard, which its devices share.
func (p *Proxy) lease(ctx context.Context, shard int) (store.Lease, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.leases[shard]; l != nil && l.Valid() {
		return l, nil
	}
	l, err := p.store.Acquire(ctx, shard)
	p.leases[shard] = l
	return l, err
}

func (p *Proxy) newDevice(ctx context.Context, id usp.EndpointID) (*Device, error) {
	lease, err := p.lease(ctx, store.Shard(string(id)))
	if err != nil {
		return nil, fmt.Errorf("shard of %s: %w", id, err)
	}
	d := &Device{p: p, id: id, lease: lease, awake: newAwake()}
	d.mu.d = d
	return d, nil
}

// attach gives a device its Agent; the head must be known.
func (d *Device) attach() {
	h := &d.head
	h.OUI, h.ProductClass = unique.Make(h.OUI).Value(), unique.Make(h.ProductClass).Value() // one copy for all that have it
	if strings.HasSuffix(string(d.id), h.SerialNumber) {
		h.SerialNumber = string(d.id[len(d.id)-len(h.SerialNumber):])
	}
	d.agent = d.p.fleet.NewAgent(agent.Identity{ID: d.id, OUI: h.OUI, ProductClass: h.ProductClass, SerialNumber: h.SerialNumber},
		d, keeper{d}, agent.AgentOptions{OnInterest: d.setInterest})
}

// enter makes a device findable.
func (p *Proxy) enter(d *Device) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.devices[d.id] = d
	p.order = nil
}

// meet finds the device of a CPE, or takes a new one in. A first meeting is one of which nothing is on disk yet: begin sees to that.
func (p *Proxy) meet(ctx context.Context, id cwmp.DeviceID, from netip.Addr) (d *Device, first bool, err error) {
	if d = p.byID(id); d != nil {
		d.mu.RLock()
		defer d.mu.RUnlock()
		return d, !d.stored, nil
	}
	d, err = p.welcome(ctx, id, from)
	return d, true, err
}

// welcome makes the device of a CPE that is new.
func (p *Proxy) welcome(ctx context.Context, id cwmp.DeviceID, from netip.Addr) (*Device, error) {
	if tooLong(&id) {
		return nil, &cwmp.Fault{Code: cwmp.FaultACSInvalidArguments, String: "DeviceId is too long"}
	}
	eid, long, err := usp.AgentEndpointID(id.OUI, id.ProductClass, id.SerialNumber)
	if err != nil {
		return nil, &cwmp.Fault{Code: cwmp.FaultACSInvalidArguments, String: "DeviceId without OUI or SerialNumber"}
	}
	if n := p.Len(); p.opts.MaxDevices > 0 && n >= p.opts.MaxDevices {
		p.m.refused.WithLabelValues("max_devices").Inc()
		return nil, &cwmp.Refused{Status: http.StatusServiceUnavailable, RetryAfter: fullRetry,
			Reason: fmt.Sprintf("%d devices are known, which is all that cwmp.max_devices allows", n)}
	}
	if !p.news.admit(from, time.Now()) {
		p.m.refused.WithLabelValues("rate").Inc()
		return nil, &cwmp.Refused{Status: http.StatusServiceUnavailable, RetryAfter: newRetry,
			Reason: fmt.Sprintf("more new devices from %s than cwmp.new_devices_per_second allows", from)}
	}
	d, err := p.newDevice(ctx, eid)
	if err != nil {
		return nil, err
	}
	d.head = head{OUI: strings.Clone(id.OUI), ProductClass: strings.Clone(id.ProductClass), SerialNumber: strings.Clone(id.SerialNumber),
		Manufacturer: strings.Clone(id.Manufacturer), Root: deviceRoot, Since: time.Now().UTC().Truncate(time.Second)}
	if long != string(eid) {
		d.head.Long = long
	}
	d.attach()
	p.enter(d)
	p.log.Info("new device", "device", d.id, "manufacturer", id.Manufacturer)
	return d, nil
}

func tooLong(id *cwmp.DeviceID) bool {
	return max(len(id.OUI), len(id.ProductClass), len(id.SerialNumber), len(id.Manufacturer)) > maxIdentity
}

// byID finds the device of a CPE; nil if there is none. No two DeviceIds have one Endpoint ID, and Manufacturer is not part of the identity.
func (p *Proxy) byID(id cwmp.DeviceID) *Device {
	if tooLong(&id) {
		return nil
	}
	eid, _, err := usp.AgentEndpointID(id.OUI, id.ProductClass, id.SerialNumber)
	if err != nil {
		return nil
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.devices[eid]
}

// kick tells the Dialer of a sign of life.
func (p *Proxy) kick(d *Device) {
	if m := p.opts.Agents.Dialer; m != nil {
		m.Kick(d.id)
	}
}

// reboot tells the Dialer that a CPE has booted.
func (p *Proxy) reboot(d *Device) {
	if m := p.opts.Agents.Dialer; m != nil {
		m.Reboot(d.id)
	}
}

// Start connects every known Agent and runs what the Agents owe in time.
func (p *Proxy) Start() {
	p.wg.Go(func() {
		if err := p.fleet.Run(p.ctx); err != nil && p.ctx.Err() == nil {
			p.log.Error("the due queue ended", "err", err)
		}
	})
	p.wg.Go(p.sweep)
	p.started.Store(true)
	p.mu.RLock()
	operating := slices.Collect(maps.Keys(p.operating))
	p.mu.RUnlock()
	for _, d := range operating {
		d.relayAll()
		d.press()
	}
	p.wg.Go(p.poll)
	for _, d := range p.all() { // without the lock: an Agent that is about to raise something may need it first
		d.agent.Connect()
	}
}

func (p *Proxy) all() []*Device {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return slices.Collect(maps.Values(p.devices))
}

// shared gives equal lists of RPC methods one memory: there are as many as there are firmwares, not devices.
func (p *Proxy) shared(methods []string) []string {
	key := strings.Join(methods, " ")
	p.mu.Lock()
	defer p.mu.Unlock()
	if have, ok := p.methods[key]; ok {
		return have
	}
	if len(p.methods) >= maxMethodLists {
		return strings.Fields(key)
	}
	own := strings.Fields(key)
	p.methods[key] = own
	return own
}

// maxMethodLists bounds what CPE that make up methods can have us remember.
const maxMethodLists = 1024

// Stop begins the end: no more work for CPE is taken, lingering sessions end, and whoever waits is told so.
func (p *Proxy) Stop() {
	if p.closing.Swap(true) {
		return
	}
	close(p.stopping)
	for _, d := range p.all() {
		d.failQueue(errShutdown)
	}
}

// Close ends the Agents and puts everything on disk. The CWMP server must be shut down before it, the store closed after.
func (p *Proxy) Close(ctx context.Context) error {
	p.Stop()
	errs := []error{p.saveAll(ctx)} // before the Agents say good-bye: of a large fleet that may take all the time there is
	if errs[0] == nil {
		errs = append(errs, p.setRun(ctx, func(s *runState) { s.Clean = true }))
	}
	p.closeAgents(ctx)
	p.cancel()
	p.wg.Wait()
	if err := p.saveAll(ctx); err != nil { // what the Agents' last requests have changed
		errs = append(errs, err, p.setRun(context.WithoutCancel(ctx), func(s *runState) { s.Clean = false }))
	}
	return errors.Join(errs...)
}

// saveAll puts the trees on disk that have changed.
func (p *Proxy) saveAll(ctx context.Context) error {
	var errs []error
	for _, d := range p.warmDevices() {
		errs = append(errs, d.save(ctx))
	}
	return errors.Join(errs...)
}

// closers is how many Agents are closed at a time; where a Controller confirms what it is told, each waits for that.
const closers = 64

func (p *Proxy) closeAgents(ctx context.Context) {
	var closing errgroup.Group
	closing.SetLimit(closers)
	for _, d := range p.all() {
		closing.Go(func() error { d.agent.Close(ctx); return nil })
	}
	_ = closing.Wait() // there is no error
}

// Lookup finds the Agent of a device: what a WebSocket server for Controllers asks.
func (p *Proxy) Lookup(id usp.EndpointID) (mtp.Endpoint, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	d := p.devices[id]
	if d == nil {
		return nil, false
	}
	return d.agent, true
}

// Do has an Agent answer a request from inside the process.
func (p *Proxy) Do(ctx context.Context, id, from usp.EndpointID, req *usppb.Msg) (*usppb.Msg, bool) {
	p.mu.RLock()
	d := p.devices[id]
	p.mu.RUnlock()
	if d == nil {
		return nil, false
	}
	return d.agent.Do(ctx, from, req), true
}

// Request implements cwmp.Handler: what a CPE asks of its ACS besides Inform.
func (p *Proxy) Request(ctx context.Context, s *cwmp.Session, req cwmp.RPC) (cwmp.RPC, error) {
	switch m := req.(type) {
	case *cwmp.TransferComplete:
		if err := p.reported(ctx, s, m); err != nil {
			return nil, err
		}
		return &cwmp.TransferCompleteResponse{}, nil
	case *cwmp.AutonomousTransferComplete:
		if err := p.transferred(ctx, s, m); err != nil {
			return nil, err
		}
		return &cwmp.AutonomousTransferCompleteResponse{}, nil
	case *cwmp.DUStateChangeComplete:
		if err := p.unitsChanged(ctx, s, m); err != nil {
			return nil, err
		}
		return &cwmp.DUStateChangeCompleteResponse{}, nil
	case *cwmp.AutonomousDUStateChangeComplete:
		if err := p.unitsChangedAlone(ctx, s, m); err != nil {
			return nil, err
		}
		return &cwmp.AutonomousDUStateChangeCompleteResponse{}, nil
	case *cwmp.RequestDownload:
		return &cwmp.RequestDownloadResponse{}, nil
	case *cwmp.Kicked:
		return &cwmp.KickedResponse{}, nil
	}
	return nil, &cwmp.Fault{Code: cwmp.FaultACSMethodNotSupported, String: req.Name() + " is not supported"}
}

func (p *Proxy) random() (b [12]byte) {
	rand.Read(b[:]) // never fails
	return b
}
