package translate

import (
	"testing"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp/agent"
)

// A CPE that says 13 WAKEUP raises WakeUp!, once however often it repeats the Inform, also over a restart of the process.
func TestWakeUp(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	woken := eventOf("Device.LocalAgent.", agent.WakeUp)
	w.subscribe(id, "woken", "Event", "Device.LocalAgent."+agent.WakeUp, map[string]string{"NotifRetry": "true"})
	w.inform(c, cwmp.EventWakeup)
	w.notified(1, woken)
	w.inform(c, cwmp.EventPeriodic)
	w.inform(c, cwmp.EventWakeup)
	w.notified(2, woken)
	w.over(id)

	c.SetFaults(cpe.Faults{CloseAfterPost: 1}) // the InformResponse is lost
	n := c.Sessions()
	c.Inform(cwmp.EventWakeup)
	w.notified(3, woken)
	w.must(c.WaitSessions(w.in(deadline), n+1))
	w.restart(func(*Options) {})
	w.must(c.WaitSessions(w.in(deadline), n+2)) // the CPE repeats it by itself
	w.must(c.WaitIdle(w.in(deadline)))
	w.over(id)
	w.inform(c, cwmp.EventPeriodic)
	if n := w.peer.count(woken); n != 3 {
		t.Errorf("%d times %s, want 3", n, agent.WakeUp)
	}
}
