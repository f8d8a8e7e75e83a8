package translate

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
)

// withEveryEvent is a CPE that has everything, and what each event is the change of.
func withEveryEvent(t *testing.T) func(*cpe.Config) {
	t.Helper()
	tree := withEverything(t)
	for _, r := range eventRows(t) {
		if object := first(objectOf(r.event)); r.class == "value-change" && strings.HasPrefix(object, "Device.") {
			tree = tree.WithObject(object)
			for _, name := range r.def().Triggers {
				tree = tree.With(object+name, "string", "")
			}
		}
	}
	return func(cfg *cpe.Config) { cfg.Tree = tree }
}

// Each event that is a change of parameters is raised, once, when the CPE reports that change.
func TestEveryEvent(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Linger = 0 })
	c, id := w.boot(withEveryEvent(t))
	w.subscribe(id, "all", "Event", "Device.", nil)
	rows := slices.DeleteFunc(eventRows(t), func(r eventRow) bool { return len(r.def().Triggers) == 0 })
	for _, r := range rows {
		w.attribute(c, first(objectOf(r.event))+r.def().Triggers[0], cwmp.NotificationActive)
	}
	w.must(c.WaitIdle(w.in(deadline)))
	w.over(id)
	for _, r := range rows {
		t.Run(r.event, func(t *testing.T) {
			def, object := r.def(), first(objectOf(r.event))
			was, value := "", def.Becomes
			if was = def.Was; value == "" || value == "*" {
				value = fmt.Sprint(time.Now().UnixNano())
			}
			for _, v := range []string{was, value} {
				if v == c.Value(object+def.Triggers[0]) {
					continue
				}
				n := c.Sessions()
				w.must(c.SetValue(object+def.Triggers[0], v))
				w.must(c.WaitSessions(w.in(deadline), n+1))
			}
			got := w.notified(1, eventOf(object, def.Name)).GetEvent()
			if want := len(def.Args); len(got.GetParams()) > want && !slices.ContainsFunc(def.Args, func(a string) bool { return strings.Contains(a, "{i}") }) {
				t.Errorf("%v, want the arguments %q", got, def.Args)
			}
			w.over(id)
			if n := w.peer.count(eventOf(object, def.Name)); n != 1 {
				t.Errorf("%d events, want 1", n)
			}
		})
	}
}
