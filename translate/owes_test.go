package translate

import (
	"strings"
	"testing"
	"time"

	"isthmus/cwmp"
)

// A session ends without Run where nothing is owed; whatever makes work for one is seen before.
func TestOwes(t *testing.T) {
	w := newWorld(t, nil)
	_, id := w.boot(nil)
	w.over(id)
	d := w.device(id)
	inform := func(events ...string) *cwmp.Session {
		in := &cwmp.Inform{}
		for _, code := range events {
			in.Event = append(in.Event, cwmp.EventStruct{EventCode: code})
		}
		return &cwmp.Session{ID: "session", Inform: in, Own: d}
	}
	d.mu.Lock()
	d.rebooted, d.served, d.attributes = false, false, false // as the next Inform has it, and who looks after Subscriptions
	d.mu.Unlock()
	if !w.p.Idle(inform(cwmp.EventPeriodic)) {
		t.Error("something is owed to a CPE that has nothing to say")
	}
	for _, event := range []string{cwmp.EventBoot, cwmp.EventBootstrap} {
		if w.p.Idle(inform(event)) {
			t.Error("nothing is owed after", event)
		}
	}
	for name, owing := range map[string]func(owed bool){
		"a request":              func(owed bool) { d.queue = some(owed, &job{}) },
		"a command":              func(owed bool) { d.operations = some(owed, &operation{}) },
		"subscriptions":          func(owed bool) { d.attributes = owed },
		"events":                 func(owed bool) { d.head.Fired = some(owed, "x") },
		"rows half made":         func(owed bool) { d.journals = map[bool]map[string]bool{true: {"x": true}}[owed] },
		"something to switch on": func(owed bool) { d.head.Revive = some(owed, revival{}) },
		"a boot":                 func(owed bool) { d.head.Pending = map[bool]*pending{true: {}}[owed] },
		"a linger":               func(owed bool) { d.served = owed },
		"other firmware":         func(owed bool) { d.head.ShapeOf = d.head.Software + strings.Repeat("x", len(some(owed, 0))) },
		"another mapping":        func(owed bool) { d.head.Device1 = owed },
		"rest":                   func(owed bool) { d.resting = map[bool]time.Time{true: time.Now().Add(time.Hour)}[owed] },
	} {
		d.mu.Lock()
		owing(true)
		d.mu.Unlock()
		if w.p.Idle(inform(cwmp.EventPeriodic)) {
			t.Error("not owed:", name)
		}
		d.mu.Lock()
		owing(false)
		d.mu.Unlock()
	}
	if !w.p.Idle(inform(cwmp.EventPeriodic)) {
		t.Error("something is owed for good")
	}
}

// some is a list of one, or none.
func some[T any](one bool, v T) []T {
	if !one {
		return nil
	}
	return []T{v}
}
