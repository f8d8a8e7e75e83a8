package translate

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math/bits"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"isthmus/cwmp"
	"isthmus/store"
	"isthmus/translate/quirks"
	"isthmus/usp/agent"
)

// informRecord is the last Inform: when it came, why, and what it carried.
type informRecord struct {
	at     time.Time
	hash   uint64 // of names and values; good for this process
	names  uint64 // the same of the names alone
	params []cwmp.ParameterValueStruct
	events []cwmp.EventStruct
	upTime time.Duration // of the last Inform that told it since the boot; 0: none
}

const informVersion = 1

// take has the record be about an Inform's parameters.
func (r *informRecord) take(ps []cwmp.ParameterValueStruct) {
	const odd uint64 = 0x9E3779B185EBCA87 // any; by it the order counts
	r.params, r.hash, r.names, r.upTime = ps, 0, 0, upTime(ps)
	for i := range ps {
		name := maphash.String(hashSeed, ps[i].Name)
		r.names = (r.names ^ name) * odd
		r.hash = (r.hash ^ name ^ bits.RotateLeft64(maphash.String(hashSeed, ps[i].Value), 1)) * odd
	}
}

var hashSeed = maphash.MakeSeed()

func (r *informRecord) encode() []byte {
	size := 32
	for _, p := range r.params {
		size += len(p.Name) + len(p.Type) + len(p.Value) + 6 // three lengths, two bytes each as a rule
	}
	b := append(make([]byte, 0, size), informVersion)
	b = appendString(b, strconv.FormatInt(r.at.UnixMilli(), 10))
	for _, p := range r.params {
		b = appendString(appendString(appendString(b, p.Name), p.Type), p.Value)
	}
	return b
}

func decodeInform(b []byte) (informRecord, error) {
	var rec informRecord
	if len(b) == 0 || b[0] != informVersion {
		return rec, errSnapshot
	}
	r := reader{b: string(b[1:])}
	ms, err := strconv.ParseInt(r.string(), 10, 64)
	if err != nil {
		return rec, errSnapshot
	}
	rec.at = time.UnixMilli(ms)
	for len(r.b) > 0 && !r.bad {
		rec.params = append(rec.params, cwmp.ParameterValueStruct{Name: r.string(), Type: r.string(), Value: r.string()})
	}
	if r.bad {
		return informRecord{}, errSnapshot
	}
	rec.take(rec.params)
	return rec, nil
}

// apply puts an Inform's values, as far as they are below the root, into a tree; changed, unless nil, is told of every known value that
// became another.
func (r *informRecord) apply(t *tree, root string, changed func(change)) {
	at := r.at.UnixMilli()
	if t.informed == nil || t.informedOf != r.names || len(t.informed) != len(r.params) {
		t.informed, t.informedOf = make([]*node, len(r.params)), r.names
		for i := range r.params {
			t.informed[i] = t.get(r.params[i].Name)
		}
	}
	for i := range r.params {
		p, n := &r.params[i], t.informed[i]
		switch {
		case n == nil && (!strings.HasPrefix(p.Name, root) || t.size() >= maxNames):
			continue
		case n == nil:
			n = t.put(p.Name)
			t.informed[i] = n
		case n.at > at:
			continue // something younger is known
		case n.value == p.Value && n.typ == p.Type:
			n.at = at
			continue
		}
		v := normalize(p.Name, p.Type, p.Value)
		if old, differs, known := t.setNode(n, v, p.Type, at); differs && known && changed != nil {
			changed(change{p.Name, v, old})
		}
	}
}

// informSaved is how old the stored time of an Inform that changed nothing may get.
const informSaved = 30 * time.Second

// beginTime bounds the disk writes that an Inform comes to.
const beginTime = time.Minute

// arrival is an Inform that begin takes.
type arrival struct {
	rec             informRecord
	first           bool // the CPE is new
	boot, bootstrap bool
	due             bool // it is to be on disk
	watched         bool // a Subscription is about parameters or rows
	raising         bool // it may be news to one

	// What takeOver finds out.
	happened []agent.Happening
	fired    bool // events that the head remembers
	info     agent.BootInfo
	changed  bool // the head
	repeated bool // what its events mean was raised before
	woken    bool // the CPE has come out of standby, which was not raised before
	asked    bool // a reset that was asked for is over
	over     bool // whatever was asked for is
	wasReset bool
}

// begin takes an Inform: what it says about the CPE is stored, what its events mean is raised, and both are on disk when it returns. first
// is of a CPE that is new, reset of one that has shown its first credentials again.
func (d *Device) begin(ctx context.Context, s *cwmp.Session, first, reset bool) error {
	in := s.Inform
	a := arrival{rec: informRecord{at: time.Now()}, first: first, boot: booted(in), bootstrap: hasEvent(in, cwmp.EventBootstrap) || reset}
	a.rec.take(in.ParameterList)
	d.meets(s, &a)
	old := !a.due && !first
	if old {
		if d.takeOver(s, &a); !a.changed && !a.fired && len(a.happened) == 0 {
			return nil // nearly always
		}
	}
	// What an Inform says is taken over as a whole, even if the CPE hangs up meanwhile: half of it would make its repetition look old.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), beginTime)
	defer cancel()
	if !old {
		if err := d.keepFirst(ctx, &a); err != nil {
			return err
		}
		d.takeOver(s, &a)
	}
	return d.act(ctx, &a)
}

// meets makes the session the device's, and says what an Inform is by what is known.
func (d *Device) meets(s *cwmp.Session, a *arrival) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a.boot = a.boot || d.inform.restarted(a.rec.upTime, a.rec.at)
	d.rebooted = a.boot
	d.session, d.served = s, (d.asking || hasEvent(s.Inform, cwmp.EventConnectionRequest)) && !d.unhurried()
	d.contact.made()
	if d.opened != nil {
		close(d.opened)
		d.opened = nil
		if a := d.contact.promising(); a != nil {
			d.traceAttempt(a)
		}
	}
	unchanged := a.rec.hash == d.inform.hash && !a.boot && !a.bootstrap && !d.inform.at.IsZero()
	a.due = !unchanged || a.rec.at.Sub(d.saved) > informSaved
	a.watched = !d.interest.Empty()
	a.raising = a.watched && !unchanged
}

// keepFirst has on disk what is to be there before memory has it; what is raising follows later.
func (d *Device) keepFirst(ctx context.Context, a *arrival) error {
	switch {
	case a.raising:
		return d.load(ctx)
	case a.due:
		return d.keepInform(ctx, &a.rec)
	}
	return nil
}

// takeOver has memory hold what an Inform says.
func (d *Device) takeOver(s *cwmp.Session, a *arrival) {
	in := s.Inform
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tree != nil {
		dirty := d.tree.dirty
		var changes []change
		a.rec.apply(d.tree, d.head.Root, func(c change) { changes = append(changes, c) })
		if a.watched {
			a.happened = append(d.valueChanges(changes), d.moves(changes)...)
			d.watch.count(d.countsOf(changes))
			a.fired = d.fired(changes)
		}
		d.tree.dirty = dirty // the Inform's own record keeps these values
	}
	was := d.inform.upTime
	d.inform = informRecord{at: a.rec.at, hash: a.rec.hash, events: shared(in.Event), upTime: a.rec.upTime}
	if a.rec.upTime == 0 && !a.boot {
		d.inform.upTime = was
	}
	d.informed++
	d.heard.retries = in.RetryCount
	if a.due {
		d.saved = a.rec.at
	}
	a.info, a.changed = d.updateHead(s, a.boot, a.bootstrap)
	a.repeated = in.RetryCount > 0 && covers(d.head.Raised, in.Event)
	a.woken = hasEvent(in, cwmp.EventWakeup) && (in.RetryCount == 0 || !hasCode(d.head.Raised, cwmp.EventWakeup))
	if (a.boot || a.bootstrap) && !a.repeated || a.woken {
		d.head.Raised, a.changed = shared(in.Event), true
	}
	a.asked = a.bootstrap && d.head.Pending != nil && d.head.Pending.Reset
	a.over = d.head.Pending != nil && (a.boot && !d.head.Pending.awaited(a.rec.upTime) || a.asked)
	a.wasReset = a.over && d.head.Pending.Reset
	if a.asked {
		d.head.Revive, a.changed = nil, true
	}
	d.head.Bootstrapped = d.head.Bootstrapped || hasEvent(in, cwmp.EventBootstrap)
	if a.boot || a.bootstrap {
		d.head.StaleBefore, a.changed = a.rec.at.UnixMilli(), true
		if d.head.Pending == nil || a.over {
			d.announce()
		}
	}
}

// act has on disk what the Inform means.
func (d *Device) act(ctx context.Context, a *arrival) error {
	if len(a.happened) > 0 {
		if err := d.agent.Raise(ctx, a.happened...); err != nil {
			return fmt.Errorf("raising the value changes of %s: %w", d.id, err)
		}
	}
	if a.fired {
		if err := d.putHead(ctx); err != nil {
			return err
		}
	}
	if a.raising {
		// Not before: were the process killed in between, the CPE's repetition of the Inform would hold nothing new.
		if err := d.keepInform(ctx, &a.rec); err != nil {
			return err
		}
	}
	if a.boot && !a.repeated {
		info := a.info
		d.mu.Lock()
		d.head.Owed = &info
		d.mu.Unlock()
		a.changed = true
		if a.first || a.asked || len(d.sent()) == 0 {
			if err := d.payBoot(ctx, a.first); err != nil {
				return err
			}
		}
	}
	if a.woken {
		if err := d.agent.Raise(ctx, &agent.Event{Object: "Device.LocalAgent.", Name: agent.WakeUp}); err != nil {
			return fmt.Errorf("raising the wake-up of %s: %w", d.id, err)
		}
	}
	if a.asked && !a.repeated {
		if err := d.abandon(ctx, "the CPE was reset"); err != nil {
			return fmt.Errorf("ending what the reset of %s has ended: %w", d.id, err)
		}
		if err := d.agent.Reset(ctx); err != nil {
			return fmt.Errorf("resetting the Agent %s: %w", d.id, err)
		}
	}
	if a.first || a.bootstrap && !a.repeated {
		if err := d.agent.OnBoard(ctx); err != nil {
			return fmt.Errorf("onboarding %s: %w", d.id, err)
		}
	}
	if a.bootstrap || a.wasReset {
		if err := d.dropAliases(ctx, []string{deviceRoot}); err != nil {
			return err
		}
	}
	if a.boot || a.bootstrap {
		if err := d.forgotten(ctx, a.bootstrap || a.wasReset, a.wasReset); err != nil {
			return err
		}
	}
	if a.over {
		d.mu.Lock()
		d.head.Pending, a.changed = nil, true
		d.mu.Unlock()
	}
	if a.changed || a.first {
		return d.putHead(ctx)
	}
	return nil
}

func (d *Device) keepInform(ctx context.Context, rec *informRecord) error {
	if err := d.put(ctx, store.Op{Key: d.key(store.Inform, ""), Value: rec.encode()}); err != nil {
		return fmt.Errorf("keeping the Inform of %s: %w", d.id, err)
	}
	return nil
}

// updateHead takes over what the Inform says about the CPE. d.mu is held. info says what a boot in this Inform was.
func (d *Device) updateHead(s *cwmp.Session, boot, bootstrap bool) (info agent.BootInfo, changed bool) {
	h, in := &d.head, s.Inform
	take := func(have *string, value string) {
		if value != "" && *have != value {
			*have, changed = strings.Clone(value), true
		}
	}
	before := h.Software
	root := rootOf(in)
	if root != "" && root != h.Root {
		h.Root, h.Shape, changed = root, "", true
		h.OneImage, d.image = false, nil
		d.model, d.tree = nil, newTree() // another data model altogether
	}
	take(&h.Manufacturer, in.DeviceId.Manufacturer)
	for _, p := range in.ParameterList {
		name, ok := strings.CutPrefix(p.Name, h.Root)
		if !ok {
			continue
		}
		switch name {
		case "DeviceInfo.SoftwareVersion":
			take(&h.Software, p.Value)
		case "DeviceInfo.HardwareVersion":
			take(&h.Hardware, p.Value)
		case "DeviceInfo.ModelName":
			take(&h.ModelName, p.Value)
		case "ManagementServer.ConnectionRequestURL":
			take(&h.URL, p.Value)
		case "ManagementServer.PeriodicInformInterval":
			if n, err := strconv.Atoi(p.Value); err == nil && n != h.Interval {
				h.Interval, changed = n, true
			}
		default:
			if name, ok := strings.CutPrefix(name, managementServer); ok && h.reach(name, p.Value) {
				changed = true
			}
		}
	}
	if loop := s.RemoteAddr.Addr().Unmap().IsLoopback(); loop != h.Loopback {
		h.Loopback, changed = loop, true
	}
	if d.habit().ConnectionRequestHost == quirks.Observed {
		take(&h.From, s.RemoteAddr.Addr().Unmap().String())
	}
	if h.Software != before {
		d.map098.Store(nil) // a profile may be for this version alone
		d.setImage()
		if d.tree != nil {
			d.tree.shown.Store(nil)
		}
	}
	info = agent.BootInfo{Cause: "LocalReboot", Reason: "Unknown", FirmwareUpdated: before != "" && before != h.Software}
	if p := h.Pending; p != nil && p.caused(in, bootstrap, upTime(in.ParameterList)) {
		info.Cause, info.CommandKey = p.Cause, p.CommandKey
		if p.Reason != "" {
			info.Reason = p.Reason
		}
	} else if bootstrap && boot && before != "" {
		info.Cause = "LocalFactoryReset"
	}
	return info, changed
}

// rootOf is the root object of the CPE's data model, by the names it informs of.
func rootOf(in *cwmp.Inform) string {
	for _, p := range in.ParameterList {
		root, _, ok := strings.Cut(p.Name, ".")
		if ok && (root == "Device" || root == "InternetGatewayDevice") {
			return root + "."
		}
	}
	return ""
}

func hasEvent(in *cwmp.Inform, code string) bool { return hasCode(in.Event, code) }

func hasCode(events []cwmp.EventStruct, code string) bool {
	return slices.ContainsFunc(events, func(e cwmp.EventStruct) bool { return e.EventCode == code })
}

// covers says whether all the events were raised before.
func covers(raised, events []cwmp.EventStruct) bool {
	for _, e := range events {
		if (e.EventCode == cwmp.EventBoot || e.EventCode == cwmp.EventBootstrap || e.EventCode == cwmp.EventMReboot) && !slices.Contains(raised, e) {
			return false
		}
	}
	return len(raised) > 0
}

// Begin implements cwmp.Handler.
func (p *Proxy) Begin(ctx context.Context, s *cwmp.Session) error {
	d, first, err := p.meet(ctx, s.Inform.DeviceId, s.RemoteAddr.Addr())
	if err != nil {
		return err
	}
	if d.erased.Load() {
		return &cwmp.Refused{Status: http.StatusServiceUnavailable, RetryAfter: newRetry, Reason: "the device is being forgotten"}
	}
	s.Own = d
	d.hurry(s, time.Now())
	outsider, reset, err := d.judge(ctx, s)
	if outsider || err != nil {
		return err
	}
	if err := d.begin(ctx, s, first, reset); err != nil {
		p.End(s, err)
		return err
	}
	d.humour(ctx, s)
	if first {
		d.agent.Connect()
	}
	p.kick(d)
	return nil
}

// deviceOf is the device that Begin has found.
func deviceOf(s *cwmp.Session) *Device {
	d, _ := s.Own.(*Device)
	return d
}

// Run implements cwmp.Handler: isthmus's own work first, then what Controllers asked for.
func (p *Proxy) Run(ctx context.Context, s *cwmp.Session) {
	if p.Idle(s) {
		return
	}
	d := deviceOf(s)
	d.goesOn(ctx)
	if err := d.confirm(ctx); err != nil {
		p.log.Error("session could not be used", "device", d.id, "session", s.ID, "err", err)
		return
	}
	if hasEvent(s.Inform, cwmp.EventHeartbeat) {
		return // nothing but liveness: a CPE in standby is not to be kept awake
	}
	var err error
	rests := d.rests(s)
	if !rests {
		err = d.look(ctx, s)
	}
	if err := d.payOwed(ctx); err != nil {
		p.log.Error("Boot! could not be raised", "device", d.id, "err", err)
		return
	}
	if rests {
		return
	}
	if err == nil {
		err = d.missed(ctx, s)
	}
	if err == nil {
		err = d.prepare(ctx, s)
	}
	var f *cwmp.Fault
	refused := errors.As(err, &f)
	if err != nil {
		p.log.Warn("session could not be used", "device", d.id, "session", s.ID, "err", err)
		if !refused {
			return
		}
	}
	p.bear(d, s, refused, time.Now())
	for owing := true; owing; {
		owing = d.provision(ctx, s)
		if !d.serve(ctx, s) {
			return
		}
	}
}

// shared gives events a memory of their own: they would keep the whole message otherwise.
func shared(events []cwmp.EventStruct) []cwmp.EventStruct {
	out := make([]cwmp.EventStruct, 0, len(events))
	for _, e := range events {
		code := cwmp.StandardEvent(e.EventCode)
		if code == "" {
			code = strings.Clone(e.EventCode)
		}
		out = append(out, cwmp.EventStruct{EventCode: code, CommandKey: strings.Clone(e.CommandKey)})
	}
	return out
}

// confirm notes that the CPE has seen the InformResponse: the same events, if they come again, are new ones.
func (d *Device) confirm(ctx context.Context) error {
	d.mu.Lock()
	raised := d.head.Raised != nil
	d.head.Raised = nil
	d.mu.Unlock()
	if !raised {
		return nil
	}
	return d.putHead(ctx)
}

// End implements cwmp.Handler.
func (p *Proxy) End(s *cwmp.Session, err error) {
	d := deviceOf(s)
	if d == nil {
		return
	}
	d.mu.Lock()
	if d.session != s {
		d.mu.Unlock()
		return
	}
	d.session, d.served = nil, false
	if err == nil {
		d.unheard = 0 // Run need not have been there to note it
	}
	waiting, reviving := d.waits(), d.revivesSoon()
	d.used = time.Now()
	d.mu.Unlock()
	if reviving {
		p.askLater(d, time.Now().Add(reviveEvery))
	}
	if err := d.payOwed(p.ctx); err != nil {
		p.log.Error("Boot! could not be raised", "device", d.id, "err", err)
	}
	if err := d.save(p.ctx); err != nil {
		p.log.Error("cache could not be kept", "device", d.id, "err", err)
	}
	switch {
	case waiting:
		d.ask()
	case p.crowded():
		d.unload(p.ctx, 0)
	}
}
