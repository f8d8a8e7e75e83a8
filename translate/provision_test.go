package translate

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/store"
	"isthmus/usp"
)

const (
	givenName    = "00D09E-Gateway-S1"
	server       = "Device.ManagementServer."
	neverCached  = "Device.WiFi.Radio.1.Channel"
	periodicName = server + paramInterval
)

// informs has a CPE come once more.
func (w *world) informs(c *cpe.CPE) {
	w.t.Helper()
	n := c.Sessions()
	c.Inform(cwmp.EventPeriodic)
	w.must(c.WaitSessions(w.in(deadline), n+1))
	w.must(c.WaitIdle(w.in(deadline)))
}

// live reads what no cache may answer, with a Connection Request.
func (w *world) live(id usp.EndpointID) {
	w.t.Helper()
	n := w.p.opts.MaxAge
	w.p.ages.Store(newAges(0, nil))
	_, err := w.get(id, neverCached)
	w.p.ages.Store(newAges(n, nil))
	w.must(err)
}

// restart ends the process in order and starts the next one.
func (w *world) restart(change func(*Options)) {
	w.t.Helper()
	w.stop()
	change(&w.opts)
	w.start()
}

func asked(o *Options) {
	o.ConnectionRequest.Username, o.ConnectionRequest.Password = "all", "common"
	o.Provision.ConnectionRequest = true
}

func commonCPE(c *cpe.Config) { c.ConnReqUsername, c.ConnReqPassword = "all", "common" }

// A CPE gets credentials of its own for Connection Requests, once, and is reached with them; with the common ones, too, should it have
// those again. No record but the one for secrets holds the password.
func TestProvisionConnectionRequest(t *testing.T) {
	w := newWorld(t, asked)
	c, id := w.boot(commonCPE)
	password := c.Value(server + "ConnectionRequestPassword")
	if name := c.Value(server + "ConnectionRequestUsername"); name != givenName || len(password) != 24 {
		t.Fatalf("%q has a password of %d characters", name, len(password))
	}
	w.live(id)
	w.restart(func(*Options) {})
	w.live(id)
	w.must(c.SetValue(server+"ConnectionRequestUsername", "all"))
	w.must(c.SetValue(server+"ConnectionRequestPassword", "common"))
	w.live(id)
	w.live(id)
	if n := len(c.Calls("SetParameterValues")); n != 1 {
		t.Errorf("%d writes", n)
	}
	for _, k := range []store.Kind{store.Head, store.Snapshot, store.Inform, store.Row, store.Notification, store.Operation, store.Journal, store.Secret} {
		for item, err := range w.st.All(w.ctx, k) {
			w.must(err)
			if bytes.Contains(item.Value, []byte(password)) != (k == store.Secret) {
				t.Errorf("the password in a record of kind %c", k)
			}
		}
	}
	w.restart(func(o *Options) { o.Provision = Provision{} }) // the CPE has not forgotten
	w.must(c.SetValue(server+"ConnectionRequestUsername", givenName))
	w.must(c.SetValue(server+"ConnectionRequestPassword", password))
	w.live(id)
}

// A CPE that has the credentials of the operator's file keeps them.
func TestProvisionLeavesOperatorsCredentials(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		asked(o)
		o.Provision.Credentials = true
		o.ConnectionRequest.Credentials = func(usp.EndpointID) (string, string) { return "row", "r" }
		o.Provision.HasCredentials = func(usp.EndpointID) bool { return true }
	})
	c, id := w.boot(func(c *cpe.Config) { c.ConnReqUsername, c.ConnReqPassword = "row", "r" })
	w.live(id)
	if n := len(c.Calls("SetParameterValues")); n != 0 {
		t.Errorf("%d writes", n)
	}
}

// Wherever the process is killed, what the CPE has got is known to the next one.
func TestProvisionSurvivesKillAtAnyWrite(t *testing.T) {
	for n := range 2 { // before the write to the CPE, and after it
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			w := newWorld(t, func(o *Options) { o.ConnectionRequest.Username, o.ConnectionRequest.Password = "all", "common" })
			c, id := w.boot(commonCPE)
			var dead *dying
			w.stop()
			w.opts.Provision.ConnectionRequest = true
			w.wrap = func(s store.Store) store.Store { dead = newDying(s); return dead }
			w.start()
			d := w.device(id)
			d.mu.Lock()
			d.inform.at, d.saved, d.interest = time.Now(), time.Now().Add(time.Hour), interest{} // no other write comes between
			d.mu.Unlock()
			dead.left.Store(int64(n))
			c.Inform(cwmp.EventPeriodic)
			select {
			case <-dead.killed:
			case <-w.in(deadline).Done():
				t.Fatal("nothing was written")
			}
			w.must(c.WaitIdle(w.in(deadline)))
			has := c.Value(server+"ConnectionRequestUsername") == givenName
			if has != (n > 0) {
				t.Errorf("written to the CPE: %v", has)
			}
			first := c.Value(server + "ConnectionRequestPassword")
			w.stop()
			w.wrap = nil
			w.start()
			w.live(id) // with whatever it has
			w.must(c.WaitIdle(w.in(deadline)))
			w.informs(c)
			if got := c.Value(server + "ConnectionRequestPassword"); c.Value(server+"ConnectionRequestUsername") != givenName || has && got != first {
				t.Errorf("then it has %q", c.Value(server+"ConnectionRequestUsername"))
			}
			w.live(id)
		})
	}
}

// S19: each CPE informs at a moment of its own. What is as it should be costs nothing; what has changed is written.
func TestS19_SpreadPeriodicInform(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Provision = Provision{PeriodicInformInterval: 1800 * time.Second, SpreadPeriodicInform: true}
	})
	c, id := w.boot(nil)
	when := c.Value(server + paramTime)
	if c.Value(periodicName) != "1800" || when != informTime(id, 1800) || w.head(id).Interval != 1800 {
		t.Errorf("every %s s from %s", c.Value(periodicName), when)
	}
	writes, reads := len(c.Calls("SetParameterValues")), len(c.Calls("GetParameterValues"))
	w.informs(c)
	w.restart(func(*Options) {})
	w.informs(c)
	if len(c.Calls("SetParameterValues")) != writes || len(c.Calls("GetParameterValues")) != reads {
		t.Error("a session more and it was asked again")
	}
	w.restart(func(o *Options) { o.Provision.PeriodicInformInterval = 900 * time.Second })
	w.informs(c)
	if c.Value(periodicName) != "900" || c.Value(server+paramTime) != informTime(id, 900) {
		t.Errorf("then every %s s", c.Value(periodicName))
	}
	n := len(c.Calls("SetParameterValues"))
	c.Inform(cwmp.EventBootstrap)
	w.must(c.WaitIdle(w.in(deadline)))
	if got := len(c.Calls("SetParameterValues")); got != n { // it was read, and has them
		t.Errorf("%d writes", got-n)
	}
	var moments [4]int
	for i := range 4000 {
		at, err := time.Parse(time.RFC3339, informTime(usp.EndpointID(fmt.Sprint("os::1-", i)), 3600))
		w.must(err)
		moments[at.Minute()/15]++
	}
	if slices.Min(moments[:]) < 900 {
		t.Errorf("quarters of an hour: %v", moments)
	}
}

// What a CPE refuses, or takes and does not keep, is not asked of it again before it boots, and stops nothing.
func TestProvisionRefused(t *testing.T) {
	for name, faults := range map[string]cpe.Faults{
		"fault": {SetFault: map[string]cwmp.FaultCode{periodicName: cwmp.FaultRequestDenied}},
		"other value": {Answer: func(req, resp cwmp.RPC) cwmp.RPC {
			if r, ok := resp.(*cwmp.GetParameterValuesResponse); ok {
				for i, p := range r.ParameterList {
					if p.Name == periodicName {
						r.ParameterList[i].Value = "77"
					}
				}
			}
			return resp
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *Options) { asked(o); o.Provision.PeriodicInformInterval = time.Minute })
			c, id := w.boot(func(c *cpe.Config) { commonCPE(c); c.Faults = faults })
			refused := w.p.m.provisioned.WithLabelValues("periodic_inform_interval", "refused")
			w.count(refused, 1)
			if c.Value(server+"ConnectionRequestUsername") != givenName {
				t.Error("the rest was not written")
			}
			w.live(id)
			w.informs(c)
			w.count(refused, 1)
			c.Inform(cwmp.EventBoot)
			w.count(refused, 2)
			w.must(c.WaitIdle(w.in(deadline)))
		})
	}
}

// A CPE that says each time that it will apply a write, and never does, is left alone after some.
func TestProvisionNeverApplied(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Provision.PeriodicInformInterval = time.Minute })
	c, _ := w.boot(func(c *cpe.Config) {
		c.Faults.Answer = func(_, resp cwmp.RPC) cwmp.RPC {
			switch r := resp.(type) {
			case *cwmp.SetParameterValuesResponse:
				r.Status = 1
			case *cwmp.GetParameterValuesResponse:
				for i, p := range r.ParameterList {
					if p.Name == periodicName {
						r.ParameterList[i].Value = "77"
					}
				}
			}
			return resp
		}
	})
	for range maxTries + 1 {
		w.informs(c)
	}
	if n := len(c.Calls("SetParameterValues")); n != maxTries {
		t.Errorf("%d writes", n)
	}
}

// A CPE that hangs up at a write gets the same password again. What it has shown is known to the next process.
func TestProvisionLost(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Provision.Credentials = true })
	c, id := w.boot(func(c *cpe.Config) { c.Faults.CloseOn = "SetParameterValues" })
	_, err := c.WaitCall(w.in(deadline), "SetParameterValues", 2)
	w.must(err)
	w.must(c.WaitIdle(w.in(deadline)))
	calls := c.Calls("SetParameterValues")
	if sent := func(i int) string { return calls[i].Request.(*cwmp.SetParameterValues).ParameterList[1].Value }; sent(0) != sent(1) {
		t.Error("it got another password")
	}
	before, ok := w.p.Issued(givenName)
	if !ok || before.Identity != string(id) || before.Password != c.Value(server+"Password") {
		t.Error("the CPE's password is not known")
	}
	replaced := func() bool {
		ok, _ := w.p.Fleet(string(id), &cwmp.Inform{})
		return !ok
	}
	if replaced() {
		t.Error("the fleet's are no good, and the CPE has not shown its own")
	}
	if _, err := w.device(id).identify(w.ctx, &cwmp.Session{Inform: &cwmp.Inform{}, Username: givenName}); err != nil {
		t.Fatal(err)
	}
	w.restart(func(*Options) {})
	if after, _ := w.p.Issued(givenName); after != before || !replaced() {
		t.Error("the next process does not know it")
	}
}

// A Controller's request goes before; nothing is written while two CPE have one DeviceId.
func TestProvisionGivesWay(t *testing.T) {
	w := newWorld(t, nil)
	var mu sync.Mutex
	var order []string
	c, id := w.boot(func(c *cpe.Config) {
		c.Observe = func(e cpe.Exchange) {
			mu.Lock()
			defer mu.Unlock()
			if e.FromACS && strings.HasPrefix(e.RPC, "SetParameterValues") || strings.HasPrefix(e.RPC, "GetParameterValues") {
				order = append(order, e.RPC)
			}
		}
	})
	w.restart(func(o *Options) { o.Provision.ConnectionRequest = true })
	d := w.device(id)
	d.mu.Lock()
	d.head.Quarantine = &quarantine{Since: time.Now(), Seen: time.Now()}
	d.mu.Unlock()
	if owed := d.owed(); len(owed) != 0 {
		t.Errorf("owed in quarantine: %v", owed)
	}
	d.mu.Lock()
	d.head.Quarantine = nil
	d.mu.Unlock()
	mu.Lock()
	order = nil
	mu.Unlock()
	w.live(id)
	_, err := c.WaitCall(w.in(deadline), "SetParameterValues", 1)
	w.must(err)
	mu.Lock()
	defer mu.Unlock()
	if len(order) < 2 || order[0] != "GetParameterValues" {
		t.Errorf("%q", order)
	}
}
