package translate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"time"

	"isthmus/cwmp"
	"isthmus/store"
	"isthmus/translate/quirks"
)

// habit is what holds for the CPE of a model, or for a single one. It does not change.
type habit struct {
	quirks.Quirks
	profiles []string // whose word it is
	learnt   quirks.Learnt
	told     quirks.Quirks // the operator's word alone
}

// habits knows the models that have informed.
type habits struct {
	mu     sync.RWMutex
	table  *quirks.Table
	models map[quirks.CPE]*habit
	own    map[quirks.CPE]*habit // of single CPE
}

// maxHabits bounds the models of which something is remembered: CPE may invent any number. Nothing is learnt of further ones.
const maxHabits = 4096

func newHabits(t *quirks.Table) *habits {
	if t == nil {
		t = quirks.Default()
	}
	return &habits{table: t, models: map[quirks.CPE]*habit{}, own: map[quirks.CPE]*habit{}}
}

func habitOf(t *quirks.Table, c quirks.CPE, learnt quirks.Learnt) *habit {
	q, names := t.Of(c, learnt)
	return &habit{q, names, learnt, t.Told(c)}
}

// now is the table that holds.
func (h *habits) now() *quirks.Table {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.table
}

// replace has another table hold from now on.
func (h *habits) replace(t *quirks.Table) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.table = t
	for model, m := range h.models {
		h.models[model] = habitOf(t, model, m.learnt)
	}
	clear(h.own) // made anew when they are asked for
}

// of is the habit of a CPE as far as memory has it.
func (h *habits) of(c quirks.CPE) (_ *habit, known bool) {
	h.mu.RLock()
	m, known := h.models[c.Model()]
	own, table := h.own[c], h.table
	h.mu.RUnlock()
	if !known {
		m = &habit{}
	}
	switch {
	case !table.Individual(c):
		if known {
			return m, true
		}
		return habitOf(table, c, quirks.Learnt{}), false
	case own != nil && own.learnt == m.learnt:
		return own, known
	}
	own = habitOf(table, c, m.learnt)
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, there := h.own[c]; h.table == table && (there || len(h.own) < maxHabits) {
		h.own[c] = own
	}
	return own, known
}

// room says whether another model can be remembered.
func (h *habits) room() bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return len(h.models) < maxHabits
}

// keep remembers what was learnt about a model, if there is room.
func (h *habits) keep(model quirks.CPE, learnt quirks.Learnt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := habitOf(h.table, model, learnt)
	if _, known := h.models[model]; known || len(h.models) < maxHabits {
		h.models[model] = m
	}
}

// meet remembers what the store has of a model, unless more was learnt meanwhile.
func (h *habits) meet(model quirks.CPE, learnt quirks.Learnt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := habitOf(h.table, model, learnt)
	if _, known := h.models[model]; !known && len(h.models) < maxHabits {
		h.models[model] = m
	}
}

// maxVersion is the longest SoftwareVersion that profiles are chosen by, four times what TR-181 allows: models are remembered, and a CPE can
// claim a new one in every Inform.
const maxVersion = 256

// cpe is what profiles are chosen by. d.mu is held.
func (d *Device) cpe() quirks.CPE {
	c := quirks.CPE{OUI: d.head.OUI, ProductClass: d.head.ProductClass, EndpointID: string(d.id)}
	if len(d.head.Software) <= maxVersion {
		c.SoftwareVersion = d.head.Software
	}
	return c
}

// habit is what is known to be peculiar about the CPE. d.mu is held.
func (d *Device) habit() *habit {
	h, _ := d.p.habits.of(d.cpe())
	return h
}

const (
	// dislikedRetries and dislikedSessions tell a CPE that repeats its Inform because it does not understand the answer (S12) from one
	// with a bad line: so many retries, and so many sessions that did not go beyond the Inform.
	dislikedRetries  = 10
	dislikedSessions = 3
)

// humour has a session speak as its CPE needs it. What was learnt about a model is read from the store once.
func (d *Device) humour(ctx context.Context, s *cwmp.Session) {
	d.mu.Lock()
	c := d.cpe()
	d.unheard++
	unheard := d.unheard
	d.mu.Unlock()
	h, known := d.p.habits.of(c)
	if !known && d.p.habits.room() {
		if learnt, _, err := d.p.learntOf(ctx, c.Model()); err == nil {
			d.p.habits.meet(c.Model(), learnt)
			h, _ = d.p.habits.of(c)
		} else {
			d.p.log.Error("what was learnt about a model cannot be read", "device", d.id, "err", err)
		}
	}
	q := cwmp.Quirks{EndWith200: h.SessionEnd == quirks.End200, Timeout: time.Duration(h.SessionTimeout), Words: h.ArgumentBooleans == quirks.Words,
		Declared: h.Envelope == quirks.Declared, ByAddress: h.Correlate == quirks.Address}
	tried := s.Inform.RetryCount >= dislikedRetries && unheard > dislikedSessions
	if tried {
		d.p.m.disliked.Inc()
		d.p.log.Warn("a CPE repeats its Inform and never goes on: it may not understand the InformResponse", "device", d.id,
			"retries", s.Inform.RetryCount, "sessions", unheard, "remote", s.RemoteAddr)
		said, _ := d.p.habits.now().Of(c, quirks.Learnt{})
		if tried = said.Envelope == ""; tried {
			q.Declared = unheard%2 == 0 // both forms, in turn
		}
	}
	d.mu.Lock()
	d.trial = nil
	if tried {
		declared := q.Declared // q stays off the heap
		d.trial = &declared
	}
	d.mu.Unlock()
	s.Humour(q)
}

// goesOn notes that the CPE has understood the InformResponse.
func (d *Device) goesOn(ctx context.Context) {
	d.mu.Lock()
	declared := d.trial
	d.unheard, d.trial = 0, nil
	d.mu.Unlock()
	if declared == nil {
		return
	}
	d.found(ctx, func(l *quirks.Learnt) {
		if l.Envelope = ""; *declared {
			l.Envelope = quirks.Declared
		}
	})
}

// learntOf reads what was learnt about a model, and its record.
func (p *Proxy) learntOf(ctx context.Context, model quirks.CPE) (l quirks.Learnt, record []byte, err error) {
	record, err = p.store.Fleet(ctx, quirks.RecordName(model))
	if errors.Is(err, store.ErrNotFound) {
		return l, nil, nil
	}
	if err != nil {
		return l, nil, err
	}
	if l, err = quirks.DecodeLearnt(record); err != nil {
		p.log.Error("what was learnt about a model is forgotten", "oui", model.OUI, "product_class", model.ProductClass, "err", err)
	}
	return l, record, nil
}

// found remembers something about the CPE's model, for all CPE of it and for the time after a restart. That may fail: it is found out again.
func (d *Device) found(ctx context.Context, what func(*quirks.Learnt)) {
	d.mu.RLock()
	model := d.cpe().Model()
	d.mu.RUnlock()
	if h, known := d.p.habits.of(model); !known || with(h.learnt, what) == h.learnt {
		return
	}
	err := store.ErrConflict
	for try := 0; try < 3 && errors.Is(err, store.ErrConflict); try++ {
		var l quirks.Learnt
		var old, record []byte
		if l, old, err = d.p.learntOf(ctx, model); err != nil {
			break
		}
		what(&l)
		if record, err = l.Encode(); err != nil {
			break
		}
		if err = d.p.store.PutFleet(ctx, quirks.RecordName(model), old, record); err == nil {
			d.p.habits.keep(model, l)
			d.p.log.Info("learnt about a model", "oui", model.OUI, "product_class", model.ProductClass, "software_version", model.SoftwareVersion, "learnt", string(record))
		}
	}
	if err != nil {
		d.p.log.Error("what was learnt about a model could not be kept", "device", d.id, "err", err)
	}
}

// with is what was learnt and something more.
func with(l quirks.Learnt, what func(*quirks.Learnt)) quirks.Learnt {
	what(&l)
	return l
}

// connectionRequestURL is where a CPE is asked for a session: what its profile says, else what it told, with the address that its last Inform came
// from where the one it told is known to be of no use. d.mu is held.
func (d *Device) connectionRequestURL() string {
	h := d.habit()
	if h.ConnectionRequestURL != "" {
		return h.ConnectionRequestURL
	}
	if from, err := netip.ParseAddr(d.head.From); err == nil && h.ConnectionRequestHost == quirks.Observed {
		return withHost(d.head.URL, from)
	}
	return d.head.URL
}

func withHost(address string, host netip.Addr) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return address
	}
	switch port := u.Port(); {
	case port != "":
		u.Host = net.JoinHostPort(host.String(), port)
	case host.Is6():
		u.Host = "[" + host.String() + "]"
	default:
		u.Host = host.String()
	}
	return u.String()
}

// The forms of Boolean values that a CPE has used.
const (
	usesWords = 1 << iota
	usesDigits
)

// booleanForm tells which form a value has.
func booleanForm(typ, value string) uint8 {
	switch {
	case typ != "boolean":
		return 0
	case value == "true" || value == "false":
		return usesWords
	case value == "1" || value == "0":
		return usesDigits
	}
	return 0
}

// booleanValue writes a Boolean value, "1" or "0", in the form that the CPE takes: what the operator says, else words if it uses nothing else
// itself (X18), else, as long as it has used none, what holds for its model. d.mu is held.
func (d *Device) booleanValue(v string) string {
	h := d.habit()
	words := d.booleans == usesWords
	if h.told.ValueBooleans != "" || d.booleans == 0 {
		words = h.ValueBooleans == quirks.Words
	}
	switch {
	case !words:
		return v
	case v == "1":
		return "true"
	}
	return "false"
}

// learnBooleans remembers the form of Boolean values for the CPE's model, when the CPE has told all its values.
func (d *Device) learnBooleans(ctx context.Context) {
	d.mu.RLock()
	uses := d.booleans
	d.mu.RUnlock()
	d.found(ctx, func(l *quirks.Learnt) {
		switch uses {
		case usesWords:
			l.ValueBooleans = quirks.Words
		case usesDigits, usesDigits | usesWords:
			l.ValueBooleans = ""
		}
	})
}

// names tells people which profiles hold, and what was learnt.
func (h *habit) names() []string {
	all := slices.Clone(h.profiles)
	if n := h.learnt.NamesPerGet; n != 0 {
		all = append(all, fmt.Sprintf("learnt: names_per_get %d", n))
	}
	if form := h.learnt.ValueBooleans; form != "" {
		all = append(all, "learnt: value_booleans "+form)
	}
	if form := h.learnt.Envelope; form != "" {
		all = append(all, "learnt: envelope "+form)
	}
	if types := h.learnt.Types; types != "" {
		all = append(all, "learnt: value_types "+types)
	}
	return all
}
