package translate

import (
	"testing"
	"time"

	"isthmus/cwmp"
	"isthmus/usp"
)

// R27: what resets that are claimed come to in the course of days.
func TestR27_Claims(t *testing.T) {
	const minute = time.Minute
	in := &cwmp.Inform{Event: []cwmp.EventStruct{{EventCode: cwmp.EventBootstrap}}}
	w := newWorld(t, func(o *Options) { o.Provision.Credentials, o.ConnectionRequest.Timeout = true, minute })
	d, now := bareDevice(w.p, newAwake()), time.Now()
	d.id = "ops::" + givenName
	claim := func(want bool, why string) {
		t.Helper()
		if ok, _ := d.fleet(in, now); ok != want {
			t.Errorf("%s: %v", why, ok)
		}
	}
	shows := func(number int, want identified, why string) {
		t.Helper()
		who, changed, err := d.identified(&cwmp.Session{Inform: in, Username: d.ownName(number)}, now)
		if err != nil || who != want {
			t.Errorf("%s: %d, %v", why, who, err)
		}
		if who == known {
			d.inform.at = now
		}
		if changed != nil && changed.Password == "" {
			t.Errorf("%s: it has no password", why)
		}
	}
	reset := func(why string) {
		t.Helper()
		claim(false, why+", first")
		now = now.Add(minute)
		claim(true, why+", again")
		who, _, err := d.identified(&cwmp.Session{Inform: in, Username: "fleet"}, now)
		if err != nil || who != wasReset {
			t.Errorf("%s: %d, %v", why, who, err)
		}
		d.inform.at, d.given.Password = now, "p"
	}

	d.given = &given{Password: "p"}
	claim(true, "it has not shown its own")
	shows(0, known, "its own")
	claim(false, "a claim")
	now = now.Add(claimTime + 1)
	claim(false, "forgotten, and claimed anew")
	now = now.Add(minute)
	shows(0, known, "its own")
	claim(false, "a claim that was disproved")
	now = now.Add(claimTime)
	reset("nobody disproved it")
	shows(1, known, "what it was given then")
	now = now.Add(48 * time.Hour)
	shows(0, known, "what it had before")
	if q := d.head.Quarantine; q == nil || !q.Reset || d.given.Number != 0 {
		t.Fatalf("%+v, quarantine %v", d.given, q)
	}
	shows(1, notTheCPE, "the other one")
	now = now.Add(contestTime - 1)
	shows(1, notTheCPE, "the other one, and of the CPE nothing is known for long")
	now = now.Add(1)
	shows(1, known, "the other one, and the CPE is gone")
	if d.head.Quarantine != nil || d.given.Number != 1 {
		t.Fatalf("%+v, quarantine %v", d.given, d.head.Quarantine)
	}
	shows(0, known, "it is back")
	claim(false, "in quarantine")
	q := d.head.Quarantine
	w.p.opts.Provision.HasCredentials = func(usp.EndpointID) bool { return true }
	if d.judged(&cwmp.Session{Inform: in}, now); d.head.Quarantine != nil {
		t.Error("the operator has said which CPE it is, and the quarantine is still there")
	}
	w.p.opts.Provision.HasCredentials, d.head.Quarantine = nil, q
	if d.judged(&cwmp.Session{Inform: in}, now.Add(contestTime+1)); d.head.Quarantine != nil {
		t.Error("the other one is gone, and the quarantine is not")
	}
	now = now.Add(contestTime + 1)
	for n := len(d.given.Resets.Former); n < maxFormer; n++ {
		reset("one more")
		shows(d.given.Number, known, "what it was given then")
	}
	reset("the oldest is forgotten")
	shows(d.given.Number, known, "what it was given then")
	claim(false, "too many in a day")
	now = now.Add(contestTime)
	reset("a day later")
	if n := len(d.given.Resets.Former); n != maxFormer {
		t.Errorf("%d are kept", n)
	}
}
