package translate

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
)

// openSessions are open at a time in BenchmarkOpenSession.
const openSessions = 5000

// BenchmarkOpenSession measures the memory of a session that is held open: CPE that are known have informed and await the answer to
// their empty POST. The same load holds the same POST at a bare net/http handler. It is what the process gives back when they are
// cut off, so that the store, which has grown with the Informs, does not count: inuse of heap and stacks after a collection, and RSS.
func BenchmarkOpenSession(b *testing.B) {
	var bare struct{ inuse, rss float64 }
	for _, mode := range []string{"bare", "proxy"} {
		b.Run(mode, func(b *testing.B) {
			for range b.N {
				s := startServer(b, mode)
				load := cpe.SessionLoad{ACS: strings.Fields(s.url)[0], Sessions: openSessions, Devices: openSessions, Concurrency: 8,
					Events: []string{cwmp.EventPeriodic}}
				if st, err := load.Run(b.Context()); err != nil { // every device is known, its data model read
					b.Fatalf("%d sessions failed: %v", st.Failures, err)
				}
				s.ask(b, "hold")
				ctx, cancel := context.WithCancel(b.Context())
				load.Concurrency, load.Rate = openSessions, 500
				done := make(chan struct{})
				go func() {
					defer close(done)
					_, _ = load.Run(ctx) // ends by being cut off
				}()
				await(b, s, openSessions)
				inuse, rss := s.ask(b, "inuse"), s.ask(b, "rss")
				cancel()
				<-done
				await(b, s, 0)
				inuse -= s.ask(b, "inuse")
				rss -= s.ask(b, "rss")
				b.ReportMetric(float64(inuse)/openSessions, "inuse-B/session")
				b.ReportMetric(float64(rss)/openSessions, "rss-B/session")
				if mode == "bare" {
					bare.inuse, bare.rss = float64(inuse)/openSessions, float64(rss)/openSessions
					continue
				}
				b.ReportMetric(float64(inuse)/openSessions-bare.inuse, "inuse-B-above-bare")
				b.ReportMetric(float64(rss)/openSessions-bare.rss, "rss-B-above-bare")
			}
		})
	}
}

// knownDevices are those of BenchmarkKnown, which looks at a Proxy that has had settled to settle.
const (
	knownDevices = 20_000
	settled      = 40 * time.Second
)

// BenchmarkKnown measures the memory of a device that is known and with which nothing is being done: RSS of a Proxy that has just started on a store
// with many, and has had the time to give back what the start took, less the same with an empty store. There are no Controllers: an Agent that owes one that never comes an OnBoardRequest stays loaded.
func BenchmarkKnown(b *testing.B) {
	for range b.N {
		rss := func(dir string) int64 {
			s := startServerIn(b, "alone", dir)
			time.Sleep(settled)
			defer s.stop()
			return s.ask(b, "rss")
		}
		empty, dir := rss(b.TempDir()), b.TempDir()
		s := startServerIn(b, "alone", dir)
		load := cpe.SessionLoad{ACS: strings.Fields(s.url)[0], Sessions: knownDevices, Concurrency: 8, Events: []string{cwmp.EventBoot}}
		if st, err := load.Run(b.Context()); err != nil {
			b.Fatalf("%d sessions failed: %v", st.Failures, err)
		}
		s.stop()
		b.ReportMetric(float64(rss(dir)-empty)/knownDevices, "rss-B/device")
	}
}

// await waits until a server holds n sessions.
func await(b *testing.B, s *benchServer, n int64) {
	b.Helper()
	for s.ask(b, "held") != n {
		time.Sleep(100 * time.Millisecond)
	}
}

// holder is a Proxy, or the bare handler's part of it, whose sessions stay open once it is told to hold them.
type holder struct {
	*Proxy
	on   atomic.Bool
	held atomic.Int64
}

func (h *holder) wait(ctx context.Context) {
	if h.on.Load() {
		h.held.Add(1)
		<-ctx.Done()
		h.held.Add(-1)
	}
}

// Idle implements cwmp.Idler.
func (h *holder) Idle(s *cwmp.Session) bool { return !h.on.Load() && h.Proxy.Idle(s) }

// Run implements cwmp.Handler.
func (h *holder) Run(ctx context.Context, s *cwmp.Session) {
	h.Proxy.Run(ctx, s)
	h.wait(ctx)
}

// tell answers a question that a benchmark asks its server process.
func tell(what string, h *holder) (int64, error) {
	switch what {
	case "cpu":
		var ru syscall.Rusage
		err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
		return ru.Utime.Nano() + ru.Stime.Nano(), err
	case "hold":
		h.on.Store(true)
		return 0, nil
	case "held":
		return h.held.Load(), nil
	case "subscribe":
		return subscribeFleet(h.Proxy)
	case "reads":
		return h.Proxy.store.(*counted).reads.Load(), nil
	case "mallocs":
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.Mallocs), nil
	case "inuse":
		return inuse(), nil
	case "rss":
		return procStatus("VmRSS:")
	case "peak": // since it was last asked for
		n, err := procStatus("VmHWM:")
		if err != nil {
			return 0, err
		}
		return n, os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
	}
	return 0, fmt.Errorf("unknown question %q", what)
}

// inuse is what heap and stacks take after what is garbage has gone, pools included, and stacks have shrunk. A memtable that the store
// writes out takes 60 MB for a second, which is given the time to pass.
func inuse() int64 {
	for last := int64(math.MaxInt64); ; time.Sleep(2 * time.Second) {
		for range 3 {
			runtime.GC()
		}
		debug.FreeOSMemory()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		now := int64(m.HeapInuse + m.StackInuse)
		if now > last-1<<20 {
			return now
		}
		last = now
	}
}

// procStatus is a size in /proc/self/status, in bytes.
func procStatus(name string) (size int64, err error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, after, _ := bytes.Cut(status, []byte(name))
	if _, err := fmt.Sscan(string(after), &size); err != nil {
		return 0, err
	}
	return size << 10, nil // it is in KiB
}
