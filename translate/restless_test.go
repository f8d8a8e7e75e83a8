package translate

import (
	"strings"
	"testing"
	"time"

	"isthmus/cwmp"
)

// S18: a CPE that informs every few seconds stands back in a storm, visibly, until it has calmed down; its Informs that somebody waits for don't count.
func TestRestless(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	d := w.device(id)
	standing := func() cwmp.Standing {
		h := w.head(id)
		return w.p.Standing(&cwmp.Inform{DeviceId: cwmp.DeviceID{OUI: h.OUI, ProductClass: h.ProductClass, SerialNumber: h.SerialNumber}})
	}
	if got := standing(); got != cwmp.Known {
		t.Errorf("standing %v", got)
	}
	if got := w.p.Standing(&cwmp.Inform{DeviceId: cwmp.DeviceID{OUI: "00D09E", SerialNumber: "unknown"}}); got != cwmp.Stranger {
		t.Errorf("standing of an unknown CPE %v", got)
	}
	d.mu.Lock()
	d.asking = true
	d.mu.Unlock()
	if got := standing(); got != cwmp.Wanted {
		t.Errorf("standing while it is asked for %v", got)
	}
	for range 2 * maxHaste {
		d.hurry(&cwmp.Session{Inform: &cwmp.Inform{}}, time.Now())
	}
	d.mu.Lock()
	d.asking = false
	d.mu.Unlock()
	if got := w.p.Devices("", Filter{}, 1)[0].Quarantine; got != "" {
		t.Errorf("restless by being asked for: %s", got)
	}
	for range maxHaste {
		n := c.Sessions()
		c.Inform(cwmp.EventPeriodic)
		w.must(c.WaitSessions(w.in(deadline), n+1))
		w.must(c.WaitIdle(w.in(deadline)))
	}
	d.hurry(&cwmp.Session{Inform: &cwmp.Inform{}}, time.Now()) // for what time has made good
	if got := w.p.Devices("", Filter{}, 1)[0].Quarantine; !strings.HasPrefix(got, "it has informed every few seconds since ") {
		t.Errorf("quarantine %q", got)
	}
	if got := standing(); got != cwmp.Restless {
		t.Errorf("standing %v", got)
	}
	d.mu.Lock()
	h := d.haste
	d.mu.Unlock()
	if h.now(time.Now().Add(hurried*maxHaste/2+time.Second), 0); h.String() != "" {
		t.Error("still restless after having calmed down")
	}
}
