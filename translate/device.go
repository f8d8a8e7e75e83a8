package translate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"isthmus/cwmp"
	"isthmus/store"
	"isthmus/translate/legacy"
	"isthmus/usp"
	"isthmus/usp/agent"
)

// Device is one CPE with its Agent. It is the Agent's DataModel.
type Device struct {
	p     *Proxy
	id    usp.EndpointID
	lease store.Lease
	agent *agent.Agent

	mu     mutex
	*awake         // nil: it is asleep
	asleep *asleep // nil: it is awake

	erased atomic.Bool // it is being forgotten: nothing of it is written any more
}

// put is the store's Write for records of the device: store.ErrFenced once that is being forgotten.
func (d *Device) put(ctx context.Context, ops ...store.Op) error {
	if d.erased.Load() {
		return fmt.Errorf("%w: %s is being forgotten", store.ErrFenced, d.id)
	}
	return d.p.store.Write(ctx, d.lease, ops...)
}

// awake is the state of a Device with which something is being done, or was a moment ago. Device.mu guards it.
type awake struct {
	head       head
	stored     bool         // the head is on disk
	inform     informRecord // the last Inform; Params only until the tree holds them
	informed   uint64       // how many Informs changed inform; a load that overlaps one starts over
	saved      time.Time    // when inform was written last
	tree       *tree        // nil: not loaded
	used       time.Time    // of the tree
	held       int          // requests that read the tree
	model      *agent.Model // nil: not discovered
	known      chan struct{}
	interest   interest
	lost       int                      // events beyond maxFired since it was last said
	attributes bool                     // the CPE has to be told what is subscribed
	adopting   bool                     // somebody is at it
	told       *told                    // nil: not loaded
	watch      *watching                // nil: nothing is subscribed
	polling    bool                     // a poll is under way
	journals   map[string]bool          // rows that are not complete
	aliases    map[string]string        // what is kept of rows, by their Device:2 paths; immutable
	lookedUp   map[string]time.Time     // tables that were listed because somebody asked for a row that is not there
	testing    map[string]chan struct{} // diagnostics objects that a synchronous test uses; closed when it is over

	operations []*operation               // commands that run at the CPE, the oldest first; nil: none
	map098     atomic.Pointer[legacy.Map] // what the names of a TR-098 CPE become; nil: not looked up for its software yet
	image      View                       // nil: the CPE has a table of its firmware images, or takes none
	pressing   bool                       // a session is worth asking for: one of them has not had its turn

	queue    []*job
	wake     chan struct{}
	session  *cwmp.Session // open now; from the Inform to the end
	served   bool          // the session was asked for, or has served a request
	asking   bool          // a Connection Request is under way
	opened   chan struct{} // closed when an Inform arrives while asking
	booted   chan struct{} // closed when an Inform tells of a boot
	rebooted bool          // the Inform of the last session did
	contact  *contact      // nil: nobody has tried to reach the CPE yet
	heard    heard
	haste    haste
	rivals   *rivals   // nil: there has been one mark only
	outsider string    // the ID of the last session, where that was of the CPE in quarantine
	given    *given    // nil: nothing was written to the CPE unasked
	claim    *claim    // nil: nobody has said lately that the CPE was reset
	transfer uint64    // sum of what the CPE has done by itself and told last
	batch    int       // names of one GetParameterValues that this CPE takes
	booleans uint8     // the forms of Boolean values that the CPE has used: usesWords, usesDigits
	mute     int       // names of the GetParameterValues over which the last session was lost; 0: as many were answered since
	silent   bool      // it was asked for all its names at once, and has not answered
	unheard  int       // sessions in a row that did not go beyond the Inform
	trial    *bool     // whether the session tries an XML declaration; nil: it tries nothing
	resting  time.Time // the CPE is not to be asked for anything before
}

func newAwake() *awake { return &awake{wake: make(chan struct{}, 1)} }

// head is what is on disk of a device whatever becomes of the cache, and in memory, if it is asleep in another form. It is written when something in it changes that somebody relies on.
type head struct {
	OUI          string          `json:"oui"`
	ProductClass string          `json:"product_class,omitempty"`
	SerialNumber string          `json:"serial_number"`
	Manufacturer string          `json:"manufacturer,omitempty"`
	Long         string          `json:"long,omitempty"` // the long form behind a uuid:: Endpoint ID
	Root         string          `json:"root"`
	Device1      bool            `json:"device_1,omitempty"`  // the root is Device., the data model TR-181 Issue 1
	Mapping      int             `json:"mapping,omitempty"`   // of a data model before Device:2: what mapping was for Shape
	OneImage     bool            `json:"one_image,omitempty"` // the CPE takes firmware and has no table of it
	ModelName    string          `json:"model_name,omitempty"`
	Software     string          `json:"software_version,omitempty"`
	Hardware     string          `json:"hardware_version,omitempty"`
	URL          string          `json:"connection_request_url,omitempty"`
	Loopback     bool            `json:"loopback,omitempty"` // the Inform came from loopback
	From         string          `json:"from,omitempty"`     // the address that the Inform came from, where the profile makes use of it
	UDP          string          `json:"udp_connection_request_address,omitempty"`
	Bound        string          `json:"udp_binding,omitempty"` // where the STUN server has seen the CPE since it told UDP
	NAT          bool            `json:"nat_detected,omitempty"`
	JID          string          `json:"conn_req_jabber_id,omitempty"`
	Reach        uint8           `json:"reach,omitempty"` // bits of reachParams that the CPE has, and reachKnown
	Interval     int             `json:"periodic_inform_interval,omitempty"`
	Since        time.Time       `json:"since"`
	Shape        string          `json:"shape,omitempty"` // hash; empty until discovered
	ShapeOf      string          `json:"shape_of,omitempty"`
	RPCs         []string        `json:"rpcs,omitempty"`
	StaleBefore  int64           `json:"stale_before,omitempty"` // Unix ms: values and listings read before are not trusted
	Bootstrapped bool            `json:"bootstrapped,omitempty"` // it was reset, and has not been read and told what to report since
	Pending      *pending        `json:"pending,omitempty"`
	Owed         *agent.BootInfo `json:"owed,omitempty"`     // a Boot! that comes after the results of what the boot has ended
	Fired        []string        `json:"fired,omitempty"`    // events that have happened and whose arguments are to be read
	Revive       []revival       `json:"revive,omitempty"`   // what is switched off for a restart
	Rejected     string          `json:"rejected,omitempty"` // the firmware image for which a file was not what was meant
	// Quarantine is set while two CPE inform under the DeviceId.
	Quarantine *quarantine `json:"quarantine,omitempty"`
	// Raised are the events of an Inform whose InformResponse the CPE is not known to have seen: a repetition raises nothing.
	Raised []cwmp.EventStruct `json:"raised,omitempty"`
}

// pending is a Reboot or FactoryReset that a Controller asked for and whose boot has not been seen.
type pending struct {
	Reset      bool      `json:"reset,omitempty"`
	Token      string    `json:"token"` // the CommandKey in CWMP
	CommandKey string    `json:"command_key"`
	Cause      string    `json:"cause"`
	Reason     string    `json:"reason,omitempty"`
	At         time.Time `json:"at"`
}

// pendingFor bounds how long after a Reboot a boot without its CommandKey still counts as its effect.
const pendingFor = 10 * time.Minute

func (d *Device) key(k store.Kind, id string) store.Key {
	return store.Key{Device: string(d.id), Kind: k, ID: id}
}

// putHead writes the head; it is on disk on return.
func (d *Device) putHead(ctx context.Context) error {
	d.mu.RLock()
	b, err := json.Marshal(&d.head)
	d.mu.RUnlock()
	if err != nil {
		return fmt.Errorf("head of %s: %w", d.id, err)
	}
	if err := d.put(ctx, store.Op{Key: d.key(store.Head, ""), Value: b}); err != nil {
		return fmt.Errorf("writing the head of %s: %w", d.id, err)
	}
	d.mu.Lock()
	d.stored = true
	d.mu.Unlock()
	return nil
}

// load makes the tree be in memory.
func (d *Device) load(ctx context.Context) error {
	for {
		d.mu.Lock()
		d.used = time.Now()
		if d.tree != nil {
			d.mu.Unlock()
			return nil
		}
		seq, inform := d.informed, d.inform
		d.mu.Unlock()
		t := newTree()
		data, err := d.p.store.Get(ctx, d.key(store.Snapshot, ""))
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return fmt.Errorf("reading the snapshot of %s: %w", d.id, err)
		default:
			if t, err = decodeTree(data); err != nil {
				// A cache that cannot be read is a cache that is empty; discovery fills it again.
				d.p.log.Error("snapshot is damaged, discovering anew", "device", d.id, "err", err)
				t = newTree()
				d.forgetShape()
			}
		}
		var rec informRecord
		if b, err := d.p.store.Get(ctx, d.key(store.Inform, "")); err == nil {
			if rec, err = decodeInform(b); err == nil && rec.hash == inform.hash {
				rec.at = inform.at // the same was said again since
			}
		} else if !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("reading the last Inform of %s: %w", d.id, err)
		}
		d.mu.Lock()
		if d.informed != seq {
			d.mu.Unlock()
			continue // an Inform came meanwhile
		}
		if d.tree == nil {
			rec.apply(t, d.head.Root, nil)
			t.dirty = false
			d.tree = t
			d.p.loaded(d)
		}
		d.mu.Unlock()
		return nil
	}
}

func (d *Device) forgetShape() {
	d.mu.Lock()
	d.head.Shape, d.model = "", nil
	d.mu.Unlock()
}

// save writes the snapshot if the tree has changed.
func (d *Device) save(ctx context.Context) error {
	d.mu.Lock()
	if d.tree == nil || !d.tree.dirty {
		d.mu.Unlock()
		return nil
	}
	data := encodeTree(d.tree)
	d.tree.dirty = false
	d.mu.Unlock()
	if err := d.put(ctx, store.Op{Key: d.key(store.Snapshot, ""), Value: data}); err != nil {
		d.mu.Lock()
		if d.tree != nil {
			d.tree.dirty = true
		}
		d.mu.Unlock()
		return fmt.Errorf("writing the snapshot of %s: %w", d.id, err)
	}
	return nil
}

// hold keeps the tree in memory, once it is loaded, until release: whoever reads it outside of a session needs that.
func (d *Device) hold() {
	d.mu.Lock()
	d.held++
	d.mu.Unlock()
}

func (d *Device) release() {
	d.mu.Lock()
	d.held--
	d.mu.Unlock()
}

// unload drops the tree of a device that has been idle.
func (d *Device) unload(ctx context.Context, idle time.Duration) {
	if err := d.save(ctx); err != nil {
		d.p.log.Error("cache could not be kept", "device", d.id, "err", err)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tree == nil || d.held > 0 || d.session != nil || len(d.queue) > 0 || d.tree.dirty || time.Since(d.used) < idle {
		return
	}
	d.tree, d.lookedUp, d.told = nil, nil, nil
	d.p.unloaded(d)
}

// discovered is closed once the model is known.
func (d *Device) discovered() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil {
		d.known = make(chan struct{})
		if d.model != nil {
			close(d.known)
		}
	}
	return d.known
}

// setModel makes a model known. d.mu is held.
func (d *Device) setModel(m *agent.Model) {
	if d.model == nil && d.known != nil {
		close(d.known)
	}
	d.model = m
}

// Supported implements agent.DataModel: the model is answered once the CPE's names are known as a whole.
func (d *Device) Supported(ctx context.Context) (*agent.Model, error) {
	d.mu.RLock()
	m := d.model
	d.mu.RUnlock()
	if m != nil {
		return m, nil
	}
	if agent.NoWait(ctx) {
		return nil, agent.ErrWait
	}
	if err := d.waitDiscovery(ctx); err != nil {
		return nil, err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.model == nil {
		return nil, usp.Errorf(usp.Unreachable, "the data model of the CPE is being read again")
	}
	return d.model, nil
}

// waitDiscovery waits until the model is known, asking the CPE for a session if none is open.
func (d *Device) waitDiscovery(ctx context.Context) error {
	known := d.discovered()
	select {
	case <-known:
		return nil
	default:
	}
	exchangeOf(ctx).because(byDiscovery)
	if err := d.do(ctx, &job{talk: func(context.Context, cwmp.Caller) error { return nil }}); err != nil {
		return uspError(err, reading)
	}
	select {
	case <-known: // a session learns the model before it serves anybody
		return nil
	default:
		return d.unreachable("the CPE does not let its data model be read")
	}
}

// unreachable is the 7800 of this device: what was tried, and when the CPE is expected next.
func (d *Device) unreachable(what string) *usp.Error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	msg := what
	for _, a := range d.contact.attempts() {
		msg += fmt.Sprintf("; %s at %s", a.title, a.at.UTC().Format(time.RFC3339))
		switch {
		case a.err != nil:
			msg += ": " + a.err.Error()
		case a.name == methodUDP:
			msg += " was sent"
		default:
			msg += " was accepted"
		}
	}
	if !d.inform.at.IsZero() {
		msg += "; last Inform " + d.inform.at.UTC().Format(time.RFC3339)
		if d.head.Interval > 0 {
			msg += ", next one expected by " + d.inform.at.Add(time.Duration(d.head.Interval)*time.Second).UTC().Format(time.RFC3339)
		}
	}
	return &usp.Error{Code: usp.Unreachable, Msg: msg}
}

// view is how this CPE's names become Device:2 names.
func (d *Device) view() View {
	if d.head.Rejected != "" {
		return rejected{d.plainView(), d.head.Rejected}
	}
	return d.plainView()
}

func (d *Device) plainView() View {
	if d.image != nil {
		return d.image
	}
	v := d.p.opts.View(d.head.Root)
	switch o, isOlder := v.(older); {
	case d.head.Device1:
		v = older{legacy.Device1(), deviceRoot, d.aliases}
	case isOlder:
		o.m, o.aliases = d.mapped(), d.aliases
		v = o
	default:
		return v
	}
	if d.p.opts.LegacyTree {
		v = withLegacyTree{v, d.head.Root}
	}
	return v
}

// mapped is what the names of this TR-098 CPE become, its maker's own with them. d.mu is held.
func (d *Device) mapped() *legacy.Map {
	m := d.map098.Load()
	if m == nil {
		m = d.p.mapOf(d.habit().Mapping)
		d.map098.Store(m)
	}
	return m
}

// mapOf is the map with a maker's extensions, which all CPE share that have them.
func (p *Proxy) mapOf(mapping string) *legacy.Map {
	if m, ok := p.maps.Load(mapping); ok {
		return m.(*legacy.Map)
	}
	m := legacy.TR098()
	if v := p.habits.now().Vendor(mapping); v != nil {
		m = m.With(v)
	}
	made, _ := p.maps.LoadOrStore(mapping, m)
	return made.(*legacy.Map)
}
