package translate

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unique"

	"isthmus/usp"
)

// Summary is what a list of devices shows of one.
type Summary struct {
	ID                   usp.EndpointID
	Manufacturer         string
	OUI                  string
	ProductClass         string
	SerialNumber         string
	Root                 string
	SoftwareVersion      string
	LastInform           time.Time // zero: never
	Online               bool
	ConnectionRequestURL string
	Quarantine           string // why the CPE is not served as others are; empty: it is
	InSession            bool
	Unreachable          string // what became of the last Connection Request, where none since the last Inform was accepted
	Retries              int    // RetryCount of the last Inform
}

// State selects devices by how they are doing; the empty State all.
type State string

// The States.
const (
	Online      State = "online"
	Offline     State = "offline"
	InSession   State = "session"
	Quarantined State = "quarantined"
	Unreachable State = "unreachable"
	Retrying    State = "retrying" // sessions fail: a RetryCount of at least manyRetries
)

// manyRetries is the RetryCount that one bad line does not explain: by TR-069 3.2.1.1 it takes a quarter of an hour or more.
const manyRetries = 5

// Filter selects devices; its zero value all of them.
type Filter struct {
	Text  string // in any of the identity values
	Root  string // of the CPE's data model
	State State
}

func (f *Filter) takes(s *Summary) bool {
	switch f.State {
	case "":
	case Online:
		if !s.Online {
			return false
		}
	case Offline:
		if s.Online {
			return false
		}
	case InSession:
		if !s.InSession {
			return false
		}
	case Quarantined:
		if s.Quarantine == "" {
			return false
		}
	case Unreachable:
		if s.Unreachable == "" {
			return false
		}
	case Retrying:
		if s.Retries < manyRetries {
			return false
		}
	default:
		return false
	}
	return (f.Root == "" || s.Root == f.Root) && (f.Text == "" || s.contains(f.Text))
}

// Detail is all there is to tell about a device.
type Detail struct {
	Summary
	HardwareVersion string
	Quirks          []string // the profiles that hold for the CPE, and what was learnt about its model
	ModelName       string
	Since           time.Time
	Discovered      bool
	RPCMethods      []string
	Queued          int
	Attempts        []Attempt // the last round of Connection Requests, in order
	Running         []string  // commands whose end the CPE has not reported, the oldest first
	Events          []string  // of the last Inform since the process started
	Cached          int       // parameters in memory; 0 where the tree is not loaded
	Subscribed      int       // paths that subscriptions ask for
	Reset           Reset     // the last that nobody here asked for and that was believed
}

// Reset is when and from where a CPE came with the fleet's credentials again; the zero Reset: it never did.
type Reset struct {
	Time time.Time
	From netip.Addr
}

// Attempt is one Connection Request.
type Attempt struct {
	Time   time.Time
	Method string // "http", "udp", "xmpp"
	Error  string // "": the CPE accepted it, or has not answered
}

// unknownInterval is how long a CPE counts as online after an Inform where its PeriodicInformInterval is not known.
const unknownInterval = 24 * time.Hour

// summary leaves a Device that is asleep alone: a list may be of all of them.
func (d *Device) summary() Summary {
	d.mu.RWMutex.RLock()
	defer d.mu.RWMutex.RUnlock()
	if d.awake != nil {
		return d.summaryLocked()
	}
	a, c := d.asleep, d.asleep.common.Value()
	s := Summary{ID: d.id, Manufacturer: c.manufacturer, OUI: c.oui, ProductClass: c.productClass, Root: c.root, SoftwareVersion: c.software,
		LastInform: moment(a.at), Online: online(moment(a.at), c.interval)}
	serial, rest, _ := strings.Cut(a.own, between)
	s.SerialNumber = serial
	s.ConnectionRequestURL, _, _ = strings.Cut(rest, between)
	if m := a.more; m != nil {
		s.Unreachable, s.Retries = m.contact.failing(s.LastInform), m.heard.retries
	}
	return s
}

// online says whether a CPE counts as online without a session.
func online(inform time.Time, interval int) bool {
	within := unknownInterval
	if interval > 0 {
		within = 2 * time.Duration(interval) * time.Second
	}
	return !inform.IsZero() && time.Since(inform) < within
}

// failing is the error of the last Connection Request, where none since an Inform has been accepted.
func (c *contact) failing(inform time.Time) string {
	tried := c.attempts()
	if len(tried) == 0 || c.promising() != nil || !tried[0].at.After(inform) {
		return ""
	}
	return tried[len(tried)-1].err.Error()
}

func (d *Device) summaryLocked() Summary {
	h := &d.head
	calm := d.haste
	calm.now(time.Now(), h.Interval)
	reason := calm.String()
	if h.Quarantine != nil {
		reason = h.Quarantine.String()
	}
	return Summary{ID: d.id, Quarantine: reason, Manufacturer: h.Manufacturer, OUI: h.OUI, ProductClass: h.ProductClass, SerialNumber: h.SerialNumber,
		Root: h.Root, SoftwareVersion: h.Software, LastInform: d.inform.at, ConnectionRequestURL: h.URL,
		Online: d.session != nil || online(d.inform.at, h.Interval), InSession: d.session != nil,
		Unreachable: d.contact.failing(d.inform.at), Retries: d.heard.retries}
}

// Devices lists the devices after an Endpoint ID that a Filter takes, in their order, at most limit.
func (p *Proxy) Devices(after string, f Filter, limit int) []Summary {
	p.mu.Lock()
	if p.order == nil {
		p.order = slices.SortedFunc(maps.Values(p.devices), func(a, b *Device) int { return cmp.Compare(a.id, b.id) })
	}
	order := p.order
	p.mu.Unlock()
	i, found := slices.BinarySearchFunc(order, usp.EndpointID(after), func(d *Device, id usp.EndpointID) int { return cmp.Compare(d.id, id) })
	if found {
		i++
	}
	judged := map[unique.Handle[common]]bool{}
	var out []Summary
	for ; i < len(order) && len(out) < limit; i++ {
		if d := order[i]; !d.erased.Load() && d.mayPass(&f, judged) {
			if s := d.summary(); f.takes(&s) {
				out = append(out, s)
			}
		}
	}
	return out
}

// mayPass is false of a Device that a Filter does not take, at little cost where it is asleep: what many Devices have in common is judged once.
func (d *Device) mayPass(f *Filter, judged map[unique.Handle[common]]bool) bool {
	d.mu.RWMutex.RLock()
	defer d.mu.RWMutex.RUnlock()
	if d.awake != nil || f.Text == "" {
		return true
	}
	passes, known := judged[d.asleep.common]
	if !known {
		c := d.asleep.common.Value()
		passes = contain(f.Text, c.manufacturer, c.oui, c.productClass, c.software)
		judged[d.asleep.common] = passes
	}
	serial, _, _ := strings.Cut(d.asleep.own, between)
	return passes || contain(f.Text, string(d.id), serial)
}

func (s *Summary) contains(q string) bool {
	return contain(q, string(s.ID), s.Manufacturer, s.OUI, s.ProductClass, s.SerialNumber, s.SoftwareVersion)
}

// contain says whether one of the texts has q in it, in any case.
func contain(q string, texts ...string) bool {
	for _, t := range texts {
		for i := range len(t) - len(q) + 1 {
			if strings.EqualFold(t[i:i+len(q)], q) {
				return true
			}
		}
	}
	return false
}

// Device tells all about one device.
func (p *Proxy) Device(id usp.EndpointID) (Detail, bool) {
	p.mu.RLock()
	d := p.devices[id]
	p.mu.RUnlock()
	if d == nil {
		return Detail{}, false
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	t := Detail{Summary: d.summaryLocked(), HardwareVersion: d.head.Hardware, Since: d.head.Since,
		Discovered: d.model != nil, RPCMethods: d.head.RPCs, Queued: len(d.queue),
		Subscribed: len(d.interest.ValueChange) + len(d.interest.Objects)}
	for _, a := range d.contact.attempts() {
		made := Attempt{Time: a.at, Method: a.name}
		if a.err != nil {
			made.Error = a.err.Error()
		}
		t.Attempts = append(t.Attempts, made)
	}
	if d.given != nil && d.given.Resets != nil {
		t.Reset = Reset{d.given.Resets.Last, d.given.Resets.From}
	}
	if d.head.Pending != nil {
		command := "Device.Reboot()"
		if d.head.Pending.Reset {
			command = "Device.FactoryReset()"
		}
		t.Running = append(t.Running, command)
	}
	for _, op := range d.operations {
		t.Running = append(t.Running, op.Command)
	}
	t.Quirks = d.habit().names()
	t.ModelName, _ = d.identity(deviceInfo + "ModelName")
	for _, e := range d.inform.events {
		t.Events = append(t.Events, e.EventCode)
	}
	if d.tree != nil {
		d.tree.walk(d.head.Root, 0, func(_ string, n *node) {
			if n.param {
				t.Cached++
			}
		})
	}
	return t, true
}

// Trace gives the last exchanges of a device, newest first; false where there is no such device.
func (p *Proxy) Trace(id usp.EndpointID) ([]Exchange, bool) {
	p.mu.RLock()
	_, ok := p.devices[id]
	p.mu.RUnlock()
	return p.traces.of(id), ok
}

// Traced gives the device whose trace has an Exchange; false where none has, or no longer.
func (p *Proxy) Traced(id TraceID) (usp.EndpointID, bool) { return p.traces.find(id) }

// Len is how many devices are known.
func (p *Proxy) Len() int {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return len(p.devices)
}

// Session is one that is open now.
type Session struct {
	ID     usp.EndpointID
	From   netip.AddrPort
	Since  time.Time // the Inform
	Events []string
	Queued int // requests that wait for their turn in it
}

// Sessions are those that are open now, by Endpoint ID, at most limit.
func (p *Proxy) Sessions(limit int) []Session {
	var out []Session
	for _, d := range p.all() {
		d.mu.RWMutex.RLock() // a Device that is asleep has no session
		if d.awake != nil && d.session != nil {
			s := Session{ID: d.id, From: d.session.RemoteAddr, Since: d.inform.at, Queued: len(d.queue)}
			for _, e := range d.session.Inform.Event {
				s.Events = append(s.Events, e.EventCode)
			}
			out = append(out, s)
		}
		d.mu.RWMutex.RUnlock()
	}
	slices.SortFunc(out, func(a, b Session) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return out[:min(len(out), limit)]
}
