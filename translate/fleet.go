package translate

import (
	"net/netip"
	"slices"
	"strings"
	"time"

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
	InSession       bool
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

func (d *Device) summary() (s Summary) {
	d.glance(func() { s = d.summaryLocked() })
	return s
}

func (d *Device) summaryLocked() Summary {
	h := &d.head
	within := unknownInterval
	if h.Interval > 0 {
		within = 2 * time.Duration(h.Interval) * time.Second
	}
	calm := d.haste
	calm.now(time.Now(), h.Interval)
	reason := calm.String()
	if h.Quarantine != nil {
		reason = h.Quarantine.String()
	}
	return Summary{ID: d.id, Quarantine: reason, Manufacturer: h.Manufacturer, OUI: h.OUI, ProductClass: h.ProductClass, SerialNumber: h.SerialNumber,
		Root: h.Root, SoftwareVersion: h.Software, LastInform: d.inform.at, ConnectionRequestURL: h.URL,
		Online: d.session != nil || !d.inform.at.IsZero() && time.Since(d.inform.at) < within}
}

// Devices lists the devices after an Endpoint ID, in their order, at most limit; q selects those whose identity contains it.
func (p *Proxy) Devices(after, q string, limit int) []Summary {
	p.mu.Lock()
	if p.order == nil {
		p.order = make([]usp.EndpointID, 0, len(p.devices))
		for id := range p.devices {
			p.order = append(p.order, id)
		}
		slices.Sort(p.order)
	}
	order := p.order
	p.mu.Unlock()
	i, found := slices.BinarySearch(order, usp.EndpointID(after))
	if found {
		i++
	}
	q = strings.ToLower(q)
	var out []Summary
	for ; i < len(order) && len(out) < limit; i++ {
		p.mu.RLock()
		d := p.devices[order[i]]
		p.mu.RUnlock()
		if d == nil {
			continue
		}
		if s := d.summary(); q == "" || s.contains(q) {
			out = append(out, s)
		}
	}
	return out
}

func (s *Summary) contains(q string) bool {
	for _, f := range []string{string(s.ID), s.Manufacturer, s.OUI, s.ProductClass, s.SerialNumber, s.SoftwareVersion} {
		if strings.Contains(strings.ToLower(f), q) {
			return true
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
		Discovered: d.model != nil, RPCMethods: d.head.RPCs, InSession: d.session != nil, Queued: len(d.queue),
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

// Len is how many devices are known.
func (p *Proxy) Len() int {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return len(p.devices)
}
