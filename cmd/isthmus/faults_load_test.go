//go:build unix

package main

import (
	"fmt"
	"strings"
	"testing"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
)

// The line "Load" of the matrix, in small: shapes and counters, no times (of a slow CPE, cwmp's TestH20_SlowCPE has them). `isthmus cpe --count` and the benchmarks of translate have the numbers.
const (
	loadCPE      = 30
	idleSessions = 100
)

func TestFaultsLoad(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil)
	run := func(t *testing.T, l cpe.SessionLoad) {
		t.Helper()
		l.ACS, l.Sessions, l.Concurrency = "http://"+b.addr+"/", loadCPE, 8
		stats, err := l.Run(deadline(t))
		if err != nil || stats.Failures != 0 {
			t.Errorf("%d of %d sessions failed: %v", stats.Failures, stats.Sessions, err)
		}
	}
	b.each(t, []fault{
		{"many CPE that inform periodically", `cwmp_informs_total{event="2 PERIODIC"}`, func(t *testing.T, b *bed) {
			for range 2 { // unknown, and known
				before := b.count(t, sessionsOK)
				run(t, cpe.SessionLoad{SerialFormat: "P%06d"})
				b.above(t, sessionsOK, before+loadCPE-1)
			}
		}},
		{"power-failure storm of BOOT Informs (S19)", `cwmp_informs_total{event="1 BOOT"}`, func(t *testing.T, b *bed) {
			before := b.count(t, "devices")
			storm := make(chan struct{})
			go func() {
				defer close(storm)
				run(t, cpe.SessionLoad{SerialFormat: "S%06d", Events: []string{cwmp.EventBoot}})
			}()
			for over := false; !over; {
				select {
				case <-storm:
					over = true
				default:
				}
				p := &peer{ctx: deadline(t), agent: b.next} // who is asked for is let in before all others
				nextMoment()
				p.has(t, get(live), live+" = "+b.good.Value(live))
			}
			if n := b.count(t, "devices") - before; n != loadCPE {
				t.Errorf("%v new CPE are known, want %d", n, loadCPE)
			}
		}},
		{"a storm that repeats itself: RetryCount rises (S12)", `cwmp_sessions_total{outcome="superseded"}`, func(t *testing.T, b *bed) {
			id := b.id()
			for retry := range 50 {
				r := b.dial(t)
				r.post(strings.Replace(b.inform(t, id, cwmp.EventBoot), "<RetryCount>0<", fmt.Sprintf("<RetryCount>%d<", 1485+retry), 1))
				r.wants(200)
			}
		}},
		{"idle open sessions", sessionsLost, func(t *testing.T, b *bed) {
			before := b.count(t, "cwmp_sessions_active")
			var last *rawCPE
			for range idleSessions {
				last = b.dial(t)
				last.post(b.inform(t, b.id(), cwmp.EventPeriodic))
				last.wants(200)
			}
			if n := b.count(t, "cwmp_sessions_active") - before; n != idleSessions {
				t.Errorf("%v sessions are open, want %d", n, idleSessions)
			}
			b.serves(t)
			last.post("") // it can be gone on with
			last.denies()
			last.post(b.inform(t, numbered("F2"), cwmp.EventPeriodic))
			last.wants(200)
			again := b.dial(t) // or begun anew
			again.post(strings.Replace(b.inform(t, numbered("F2"), cwmp.EventPeriodic), "<RetryCount>0<", "<RetryCount>1<", 1))
			again.wants(200)
		}},
	})
}
