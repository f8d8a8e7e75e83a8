package translate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/store"
	"isthmus/translate/quirks"
)

// TestHabitsAreBounded: whatever CPE claim to be, so many models are remembered and no more, none of them under a long name.
func TestHabitsAreBounded(t *testing.T) {
	h := newHabits(nil)
	for i := range maxHabits + 10 {
		h.meet(quirks.CPE{SoftwareVersion: fmt.Sprint("m", i)}, quirks.Learnt{})
		h.keep(quirks.CPE{SoftwareVersion: fmt.Sprint("k", i)}, quirks.Learnt{})
	}
	if len(h.models) != maxHabits {
		t.Errorf("%d models", len(h.models))
	}
	d := bareDevice(nil, &awake{head: head{OUI: "00D09E", Software: strings.Repeat("9", maxVersion+1)}})
	if c := d.cpe(); c.SoftwareVersion != "" {
		t.Errorf("a version of %d bytes", len(c.SoftwareVersion))
	}
}

// TestHabitsCostNothing: what holds for a CPE is made once, whether it is for a model or for one CPE of many that have profiles.
func TestHabitsCostNothing(t *testing.T) {
	var text strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&text, "- { name: n%d, match: { endpoint_id: \"os::00D09E-S%d\" }, set: { names_per_get: %d } }\n", i, i, i+1)
	}
	var opts Options
	profiles(t, text.String())(&opts)
	h := newHabits(opts.Quirks)
	one, model := quirks.CPE{OUI: "00D09E", EndpointID: "os::00D09E-S7"}, quirks.CPE{OUI: "00D09E", EndpointID: "os::00D09E-T1"}
	h.keep(one.Model(), quirks.Learnt{})
	for _, c := range []quirks.CPE{one, model} {
		h.of(c)
		if n := testing.AllocsPerRun(10, func() { h.of(c) }); n > 0 {
			t.Errorf("%v: %v allocations", c, n)
		}
	}
	h.keep(one.Model(), quirks.Learnt{Envelope: quirks.Declared})
	if got, _ := h.of(one); got.Envelope != quirks.Declared || got.NamesPerGet != 8 {
		t.Errorf("what was learnt of the model meanwhile: %+v", got.Quirks)
	}
	one.SoftwareVersion = "2"
	if got, known := h.of(one); known || got.Envelope != "" {
		t.Errorf("after an upgrade: %v %+v", known, got.Quirks)
	}
}

// TestHabitLearntMeanwhile: what was read from the store does not replace what was learnt since.
func TestHabitLearntMeanwhile(t *testing.T) {
	h, model := newHabits(nil), quirks.CPE{OUI: "00D09E"}
	h.keep(model, quirks.Learnt{NamesPerGet: 8})
	h.meet(model, quirks.Learnt{})
	if got, _ := h.of(model); got.NamesPerGet != 8 {
		t.Errorf("%+v", got.Quirks)
	}
}

// TestX18_OwnForm: how a CPE itself writes Booleans goes before what others of its model have done, the operator's word before both.
func TestX18_OwnForm(t *testing.T) {
	model := quirks.CPE{OUI: "00D09E"}
	var told Options
	profiles(t, "- { name: form, match: { oui: 00D09E }, set: { value_booleans: words } }\n")(&told)
	for _, c := range []struct {
		table *quirks.Table
		own   uint8
		want  string
	}{{nil, 0, "true"}, {nil, usesDigits, "1"}, {nil, usesWords, "true"}, {nil, usesWords | usesDigits, "1"}, {told.Quirks, usesDigits, "true"}} {
		p := &Proxy{habits: newHabits(c.table)}
		p.habits.keep(model, quirks.Learnt{ValueBooleans: quirks.Words})
		d := bareDevice(p, &awake{head: head{OUI: model.OUI}, booleans: c.own})
		if got := d.booleanValue("1"); got != c.want {
			t.Errorf("own form %b: %q, want %q", c.own, got, c.want)
		}
	}
}

// TestS12_OperatorsForm: where the operator says which form it is, no other is tried, and that the CPE goes on teaches nothing.
func TestS12_OperatorsForm(t *testing.T) {
	w := newWorld(t, profiles(t, "- { name: form, match: { oui: 00AA11 }, set: { envelope: declared } }\n"))
	for retries := 10; retries < 20; retries++ {
		b, goOn := stubborn(t, w, "S1", retries)
		if !strings.HasPrefix(string(b), "<?xml") {
			t.Errorf("retry %d: another form", retries)
		}
		if retries == 19 {
			goOn()
		}
	}
	if h, _ := w.p.habits.of(quirks.CPE{OUI: "00AA11", ProductClass: "Stubborn", SoftwareVersion: "1"}); h.learnt != (quirks.Learnt{}) {
		t.Errorf("learnt: %+v", h.learnt)
	}
}

// TestS12_BadLine: a CPE whose sessions break off, but that has not repeated its Inform often, is given no other form.
func TestS12_BadLine(t *testing.T) {
	w := newWorld(t, nil)
	for retries := range dislikedRetries {
		if b, _ := stubborn(t, w, "S1", retries); strings.HasPrefix(string(b), "<?xml") {
			t.Fatal("another form")
		}
	}
}

// TestR9_OneFailureIsNoLimit: a CPE that is out of order for a while is not read in ever smaller batches, nor are others of its model.
func TestR9_OneFailureIsNoLimit(t *testing.T) {
	w := newWorld(t, live)
	failures := 5
	_, id := w.odd(func(req, response cwmp.RPC) cwmp.RPC {
		if _, ok := req.(*cwmp.GetParameterValues); ok && failures > 0 {
			failures--
			return cwmp.NewFault(cwmp.FaultInternalError)
		}
		return response
	})
	d := w.device(id)
	d.mu.RLock()
	batch := d.batch
	d.mu.RUnlock()
	if batch < firstBatch/2 {
		t.Errorf("in the end %d names at most", batch)
	}
	second, _ := w.boot(serial(2))
	if most := mostNames(second); most < firstBatch/2 {
		t.Errorf("the second CPE of the model was asked for %d names at most", most)
	}
}

// TestR9_FewestRemembered: what one CPE of the model cannot do slows the others down by a bounded factor, and the smallest number counts.
func TestR9_FewestRemembered(t *testing.T) {
	w := newWorld(t, live)
	w.boot(func(cfg *cpe.Config) { cfg.Faults.MaxGPV = 1 })
	second, id := w.boot(serial(2))
	if most := mostNames(second); most != fewestRemembered {
		t.Errorf("the second CPE of the model was asked for %d names", most)
	}
	d := w.device(id)
	d.found(w.ctx, func(l *quirks.Learnt) { l.NamesPerGet = fewest(l.NamesPerGet, 32) })
	if got, _ := w.p.habits.of(d.cpe()); got.NamesPerGet != fewestRemembered {
		t.Errorf("after a CPE that takes 32: %d", got.NamesPerGet)
	}
}

// forgetful is a store that cannot read what was learnt.
type forgetful struct{ store.Store }

func (f forgetful) Fleet(ctx context.Context, name string) ([]byte, error) {
	if strings.HasPrefix(name, "quirks/") {
		return nil, errors.New("the disk is on fire")
	}
	return f.Store.Fleet(ctx, name)
}

// TestUnknownHabitsDoNotStopInforms: a CPE is taken in even if nothing can be known about its model.
func TestUnknownHabitsDoNotStopInforms(t *testing.T) {
	w := newWorld(t, nil)
	w.stop()
	w.wrap = func(s store.Store) store.Store { return forgetful{s} }
	w.start()
	c, id := w.boot(nil)
	w.want(id, ssid, c.Value(ssid))
}

// TestN7_ObservedAfterRestart: the address that a CPE's Informs come from is known to the next process.
func TestN7_ObservedAfterRestart(t *testing.T) {
	w := newWorld(t, profiles(t, "- { name: behind a NAT, match: { oui: 00D09E }, set: { connection_request_host: observed } }\n"))
	_, id := w.boot(nil)
	for range 2 {
		d := w.device(id)
		d.mu.Lock()
		d.head.URL = "http://192.0.2.9:7547/x"
		got := d.connectionRequestURL()
		d.mu.Unlock()
		if got != "http://127.0.0.1:7547/x" {
			t.Errorf("asked at %s", got)
		}
		w.stop()
		w.start()
	}
}
