package translate

import (
	"strings"
	"sync"
	"time"
	"unique"

	"isthmus/cwmp"
	"isthmus/usp/agent"
)

// mutex is a Device's: whoever holds it finds the Device awake.
type mutex struct {
	sync.RWMutex
	d *Device
}

// Lock implements sync.Locker.
func (m *mutex) Lock() {
	m.RWMutex.Lock()
	if m.d.awake == nil {
		m.d.rouse()
	}
}

// RLock locks for reading.
func (m *mutex) RLock() {
	m.RWMutex.RLock()
	for m.d.awake == nil {
		m.RWMutex.RUnlock()
		m.Lock()
		m.RWMutex.Unlock()
		m.RWMutex.RLock()
	}
}

// Unlock implements sync.Locker.
func (m *mutex) Unlock() {
	if dozeAtOnce {
		m.d.doze(time.Now())
	}
	m.RWMutex.Unlock()
}

// dozeAtOnce has every Device fall asleep as soon as it may: tests with ISTHMUS_TEST_DOZE set find out what it forgets.
var dozeAtOnce = false

// asleep is what is in memory of a Device that nothing is being done with: enough to tell an Inform that changes nothing, and whatever is not on
// disk. Anything that does not fit in here keeps the Device awake.
type asleep struct {
	common      unique.Handle[common]
	rpcs        []string
	own         string // what else the head says, see ownStrings
	since       int64  // Unix nanoseconds, as the times below
	staleBefore int64
	at, saved   int64 // 0: never
	hash        uint64
	upTime      time.Duration
	events      []cwmp.EventStruct
	informed    uint64
	model       *agent.Model
	stored      bool
	attributes  bool
	rebooted    bool
	served      bool
	booleans    uint8
	batch       int32
	more        *more // nil: it would be empty
}

// common is what the heads of many Devices say.
type common struct {
	oui, productClass, manufacturer, root, model, software, hardware, shape, shapeOf string
	mapping, interval                                                                int
	reach                                                                            uint8
	device1, oneImage, loopback, nat, bootstrapped                                   bool
}

// more is what few Devices have.
type more struct {
	interest interest
	heard    heard
	transfer uint64
	contact  *contact
	given    *given
	watch    *watching
	aliases  map[string]string
}

func (m *more) empty() bool {
	return m.interest.Empty() && m.heard == heard{} && m.transfer == 0 && m.contact == nil && m.given == nil && m.watch == nil && len(m.aliases) == 0
}

const numOwn = 7

// ownStrings are those of a head that hardly any two Devices have in common; the first two are those that a Summary shows.
func (h *head) ownStrings() [numOwn]*string {
	return [numOwn]*string{&h.SerialNumber, &h.URL, &h.Long, &h.From, &h.UDP, &h.Bound, &h.JID}
}

// between parts the strings of asleep.own; one that holds it keeps the Device awake.
const between = "\x00"

// mustStayAwake says that a Device has something in memory that is of use now. d.mu is held.
func (d *Device) mustStayAwake(now time.Time) bool {
	h := &d.head
	d.haste.now(now, h.Interval)
	owed := h.Pending != nil || h.Owed != nil || len(h.Fired) > 0 || len(h.Revive) > 0 || h.Rejected != "" || h.Quarantine != nil || h.Raised != nil
	cached := d.tree != nil || d.held > 0 || d.told != nil || len(d.lookedUp) > 0 || d.inform.params != nil
	working := d.session != nil || len(d.queue) > 0 || len(d.operations) > 0 || len(d.journals) > 0 || len(d.testing) > 0 || d.adopting || d.polling ||
		d.asking || d.pressing || d.opened != nil || d.booted != nil || d.known != nil && d.model == nil
	odd := d.lost > 0 || d.silent || d.mute > 0 || d.haste.level > 0 || d.rivals != nil || d.outsider != "" || d.claim != nil || d.unheard > 0 || d.trial != nil || now.Before(d.resting)
	return owed || cached || working || odd
}

// nap has a Device fall asleep, if it may.
func (d *Device) nap() {
	d.mu.RWMutex.Lock()
	defer d.mu.RWMutex.Unlock()
	d.doze(time.Now())
}

// doze has a Device fall asleep, if it may. d.mu is held, for writing.
func (d *Device) doze(now time.Time) {
	if d.awake == nil || d.agent == nil || d.mustStayAwake(now) {
		return // the Agent comes last when a Device is made
	}
	h := &d.head
	a := &asleep{
		common: unique.Make(common{h.OUI, h.ProductClass, h.Manufacturer, h.Root, h.ModelName, h.Software, h.Hardware, h.Shape, h.ShapeOf,
			h.Mapping, h.Interval, h.Reach, h.Device1, h.OneImage, h.Loopback, h.NAT, h.Bootstrapped}),
		rpcs: h.RPCs, since: nanoseconds(h.Since), staleBefore: h.StaleBefore, at: nanoseconds(d.inform.at), saved: nanoseconds(d.saved), hash: d.inform.hash,
		upTime: d.inform.upTime, events: d.inform.events, informed: d.informed, model: d.model, stored: d.stored, attributes: d.attributes,
		rebooted: d.rebooted, served: d.served, booleans: d.booleans, batch: int32(d.batch),
	}
	var own [numOwn]string
	for i, s := range h.ownStrings() {
		if own[i] = *s; strings.Contains(*s, between) {
			return
		}
	}
	a.own = strings.Join(own[:], between)
	if m := (more{d.interest, d.heard, d.transfer, d.contact, d.given, d.watch, d.aliases}); !m.empty() {
		a.more = new(more)
		*a.more = m
	}
	d.asleep, d.awake = a, nil
}

// rouse wakes a Device. d.mu is held, for writing.
func (d *Device) rouse() {
	a, c := d.asleep, d.asleep.common.Value()
	d.asleep, d.awake = nil, newAwake()
	d.head = head{OUI: c.oui, ProductClass: c.productClass, Manufacturer: c.manufacturer, Root: c.root, ModelName: c.model, Software: c.software,
		Hardware: c.hardware, Shape: c.shape, ShapeOf: c.shapeOf, Mapping: c.mapping, Interval: c.interval, Reach: c.reach, Device1: c.device1,
		OneImage: c.oneImage, Loopback: c.loopback, NAT: c.nat, Bootstrapped: c.bootstrapped,
		RPCs: a.rpcs, Since: moment(a.since).UTC(), StaleBefore: a.staleBefore}
	rest := a.own
	for _, s := range d.head.ownStrings() {
		*s, rest, _ = strings.Cut(rest, between)
	}
	d.inform = informRecord{at: moment(a.at), hash: a.hash, upTime: a.upTime, events: a.events}
	d.saved, d.informed, d.model, d.stored, d.attributes = moment(a.saved), a.informed, a.model, a.stored, a.attributes
	d.rebooted, d.served, d.booleans, d.batch = a.rebooted, a.served, a.booleans, int(a.batch)
	if m := a.more; m != nil {
		d.interest, d.heard, d.transfer, d.contact, d.given, d.watch, d.aliases = m.interest, m.heard, m.transfer, m.contact, m.given, m.watch,
			m.aliases
	}
	d.setImage()
}

// nanoseconds is a time as a number, 0 for the zero time.
func nanoseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func moment(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}
