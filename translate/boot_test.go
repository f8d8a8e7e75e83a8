package translate

import (
	"testing"
	"time"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
)

// S9: what is taken for a boot, and for the one that was asked for, whatever a CPE says of it.
func TestS9_Boots(t *testing.T) {
	const local, remote = "LocalReboot", "RemoteReboot"
	for name, tc := range map[string]struct {
		asked       time.Duration // before the Inform; 0: not
		before, now string        // UpTime; "": not told in an Inform before, not known now
		events      []string
		want        string // Cause of Boot!; "": none
		left        bool   // what was asked is still awaited
	}{
		"1 BOOT alone":                            {asked: 10 * time.Second, events: []string{cwmp.EventBoot}, want: remote},
		"1 BOOT alone, later":                     {asked: 11 * time.Minute, events: []string{cwmp.EventBoot}, want: local},
		"told late of a boot then":                {asked: 11 * time.Minute, now: "630", events: []string{cwmp.EventBoot}, want: remote},
		"1 BOOT of its client alone":              {asked: 10 * time.Second, now: "1000", events: []string{cwmp.EventBoot}, want: local, left: true},
		"M Reboot alone, without key":             {asked: 10 * time.Second, events: []string{cwmp.EventMReboot}, want: remote},
		"M Reboot alone, not asked for":           {events: []string{cwmp.EventMReboot}, want: local},
		"not a word":                              {asked: 10 * time.Second, now: "3", events: []string{cwmp.EventPeriodic}, want: remote},
		"not a word, and not booted yet":          {asked: 10 * time.Second, now: "1000", events: []string{cwmp.EventPeriodic}, left: true},
		"not a word, and not asked for":           {before: "1000", now: "3", events: []string{cwmp.EventPeriodic}, want: local},
		"UpTime goes on":                          {before: "1000", now: "1001", events: []string{cwmp.EventPeriodic}},
		"UpTime alone never denies 1 BOOT":        {before: "1000", now: "1001", events: []string{cwmp.EventBoot}, want: local},
		"UpTime falls a little":                   {before: "50", now: "45", events: []string{cwmp.EventPeriodic}},
		"UpTime falls, to before the last Inform": {before: "1000", now: "900", events: []string{cwmp.EventPeriodic}},
		"UpTime that is no number":                {before: "1000", now: "", events: []string{cwmp.EventPeriodic}},
		"UpTime in sessions, not in Informs":      {asked: time.Second, now: "0", events: []string{cwmp.EventPeriodic}, left: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			c, id := w.boot(func(c *cpe.Config) {
				if name != "not a word" {
					c.InformParameters = []string{"Device." + upTimeName}
				}
			})
			w.subscribe(id, "boot", "Event", "Device.Boot!", map[string]string{"Persistent": "true"})
			inform := func(up string, events ...string) {
				t.Helper()
				if up == "" {
					up = "unknown"
				}
				c.SetFaults(cpe.Faults{UpTime: up})
				n := c.Sessions()
				c.Inform(events...)
				w.must(c.WaitSessions(w.in(deadline), n+1))
				w.must(c.WaitIdle(w.in(deadline)))
			}
			inform(tc.before, cwmp.EventPeriodic)
			if tc.asked > 0 {
				w.must(w.device(id).setPending(w.ctx, &pending{Token: "t", CommandKey: "k", Cause: remote, At: time.Now().Add(-tc.asked)}))
			}
			if tc.before != "" {
				w.restart(func(*Options) {}) // the next process compares, too
			}
			inform(tc.now, tc.events...)
			inform("", cwmp.EventBoot) // which comes after whatever came of that
			want := []string{local}
			if tc.left {
				want[0] = remote
			}
			if tc.want != "" {
				want = []string{tc.want, want[0]}
			}
			for i, cause := range want {
				args := w.notified(i+1, bootEvent).GetEvent().GetParams()
				if args["Cause"] != cause || (args["CommandKey"] == "k") != (cause == remote) {
					t.Errorf("Boot! %d: %v, want the Cause %s", i, args, cause)
				}
			}
			if n := w.peer.count(bootEvent); n != len(want) {
				t.Errorf("%d times Boot!, want %d", n, len(want))
			}
		})
	}
}

// S9: a CommandKey may be cut; another one is another reboot's.
func TestS9_CommandKeyOfReboot(t *testing.T) {
	p := &pending{Token: "0123456789", At: time.Now()}
	for key, want := range map[string]bool{"": true, "01234": true, "0123456789": true, "other": false} {
		in := &cwmp.Inform{Event: []cwmp.EventStruct{{EventCode: cwmp.EventBoot}, {EventCode: cwmp.EventMReboot, CommandKey: "first"}, {EventCode: cwmp.EventMReboot, CommandKey: key}}}
		if got := p.caused(in, false, 0); got != want {
			t.Errorf("%q: %v", key, got)
		}
	}
}
