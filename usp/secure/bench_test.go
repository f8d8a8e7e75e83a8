package secure

import (
	"runtime"
	"testing"

	"isthmus/usp/identity/identitytest"
)

func BenchmarkSign(b *testing.B) {
	cert := identitytest.Root(b, "root").Issue(b, agentID)
	r := sessionRecord()
	for b.Loop() {
		if err := Sign(r, cert); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	r := sessionRecord()
	if err := Sign(r, identitytest.Root(b, "root").Issue(b, agentID)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := Verify(r, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMessage has 1 KiB go through a session, with the MAC of its Record.
func BenchmarkMessage(b *testing.B) {
	e := newEnds(b, nil)
	e.establish()
	msg, r := make([]byte, 1<<10), sessionRecord()
	for b.Loop() {
		e.carry(e.client, e.server, msg)
		e.client.Protect(r)
		if err := e.server.Check(r); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSession makes sessions and says what both ends of one keep while they are up.
func BenchmarkSession(b *testing.B) {
	var kept []*ends
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for b.Loop() {
		e := newEnds(b, nil)
		e.establish()
		kept = append(kept, e)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(len(kept)), "B/session")
	runtime.KeepAlive(kept)
}
