package translate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	ws "github.com/gorilla/websocket"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
	"isthmus/usp/usppb"
)

const (
	stormMode = "storm"
	herdSize  = 10_000
	liveSSID  = "Device.WiFi.SSID.2.SSID" // never answered from the cache

	stormTime    = 60 * time.Second
	getEvery     = 100 * time.Millisecond
	idleGets     = 100
	stormWorkers = 512
)

// BenchmarkStorm lets a region boot: CPE that nobody knows send 1 BOOT for a minute at 1.5 times the rate at which the proxy reads data models,
// from a niced process, while one live Get (one Connection Request, one session) and one cached Get of another CPE go every 100 ms. It
// reports how long these take, idle and in the storm; a Get that fails fails it.
func BenchmarkStorm(b *testing.B) {
	for range b.N {
		s := startServer(b, "live")
		u, acs, _ := strings.Cut(s.url, " ")
		c, _, err := (&ws.Dialer{Subprotocols: []string{"v1.usp"}}).Dial(u, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = c.Close() }) // the server may be gone before
		g := getter{b: b, c: c}
		for range idleGets {
			g.both()
		}
		live, _ := g.report("idle")

		const trial = 300 // first contacts, to find the rate that is sustained
		start := time.Now()
		if st, err := (cpe.SessionLoad{ACS: acs, Sessions: trial, Concurrency: 4, SerialFormat: "TRIAL%06d", Events: []string{cwmp.EventBoot}}).Run(b.Context()); err != nil {
			b.Fatalf("%d failed: %v", st.Failures, err)
		}
		rate := trial / time.Since(start).Seconds()
		b.ReportMetric(rate, "sustained/s")

		s.ask(b, "peak")
		storm := startStorm(b, fmt.Sprint(acs, " ", int(rate*1.5*stormTime.Seconds()), " ", rate*1.5))
		for end := time.Now().Add(stormTime); time.Now().Before(end); {
			g.both()
		}
		liveStorm, _ := g.report("storm")
		<-storm
		b.ReportMetric(liveStorm/live, "live-p95-ratio")
		b.ReportMetric(float64(s.ask(b, "peak")>>20), "peak-rss-MB")
	}
}

// BenchmarkHerd has 10,000 CPE that nobody knows boot at the same moment, and once they are all known, boot at the same moment again, as
// after a power cut. Who is sent away comes again by the schedule of TR-069 3.2.1.1, whatever Retry-After says, as most CPE do. The
// Gets of BenchmarkStorm go meanwhile. It reports how long it takes until all have been served.
func BenchmarkHerd(b *testing.B) {
	for range b.N {
		s := startServer(b, "live")
		u, acs, _ := strings.Cut(s.url, " ")
		c, _, err := (&ws.Dialer{Subprotocols: []string{"v1.usp"}}).Dial(u, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = c.Close() })
		g := getter{b: b, c: c}
		for range idleGets {
			g.both()
		}
		live, _ := g.report("idle")
		for _, when := range []string{"first", "again"} {
			s.ask(b, "peak")
			start := time.Now()
			herd := startStorm(b, fmt.Sprint(acs, " ", herdSize, " 0"))
			for over := false; !over; {
				g.both()
				select {
				case <-herd:
					over = true
				default:
				}
			}
			b.ReportMetric(time.Since(start).Seconds(), when+"-s")
			liveHerd, _ := g.report(when)
			b.ReportMetric(liveHerd/live, when+"-live-p95-ratio")
			b.ReportMetric(float64(s.ask(b, "peak")>>20), when+"-peak-rss-MB")
		}
	}
}

// startStorm starts the process that makes a storm; the channel is closed when it has ended.
func startStorm(b *testing.B, what string) <-chan struct{} {
	b.Helper()
	storm := exec.Command(os.Args[0], "-test.run=^$")
	storm.Env = append(os.Environ(), serverMode+"="+stormMode, "ISTHMUS_TEST_DIR="+what)
	storm.Stdout, storm.Stderr = os.Stderr, os.Stderr
	if err := storm.Start(); err != nil {
		b.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := storm.Wait(); err != nil {
			b.Error(err)
		}
	}()
	return ended
}

// getter asks over one WebSocket.
type getter struct {
	b            *testing.B
	c            *ws.Conn
	n            int
	live, cached []time.Duration
}

func (g *getter) both() {
	start := time.Now()
	g.live = append(g.live, g.get(liveSSID))
	g.cached = append(g.cached, g.get(ssid))
	time.Sleep(time.Until(start.Add(getEvery)))
}

func (g *getter) get(path string) time.Duration {
	g.n++
	id := strconv.Itoa(g.n)
	record, err := usp.EncodeRecord(testController, benchAgent, usp.RecordVersion, usp.NewRequest(id,
		&usppb.Request{ReqType: &usppb.Request_Get{Get: &usppb.Get{ParamPaths: []string{path}}}}))
	if err != nil {
		g.b.Fatal(err)
	}
	start := time.Now()
	if err := errors.Join(g.c.SetReadDeadline(start.Add(time.Minute)), g.c.WriteMessage(ws.BinaryMessage, record)); err != nil {
		g.b.Fatal(err)
	}
	for {
		_, got, err := g.c.ReadMessage()
		if err != nil {
			g.b.Fatal(err)
		}
		r, err := usp.DecodeRecord(got)
		if err != nil {
			g.b.Fatal(err)
		}
		m, err := usp.DecodeMsg(r.GetNoSessionContext().GetPayload())
		if err != nil || m.GetHeader().GetMsgId() != id {
			continue // a Connect Record
		}
		rs := m.GetBody().GetResponse().GetGetResp().GetReqPathResults()
		if len(rs) != 1 || rs[0].GetErrCode() != 0 {
			g.b.Errorf("Get of %s failed: %v", path, m)
		}
		return time.Since(start)
	}
}

// report reports p95 of the live and p99 of the cached Gets since it was last, in ms, which it returns.
func (g *getter) report(when string) (live, cached float64) {
	at := func(ds []time.Duration, q float64) float64 {
		slices.Sort(ds)
		return float64(ds[int(q*float64(len(ds)-1))]) / float64(time.Millisecond)
	}
	live, cached = at(g.live, .95), at(g.cached, .99)
	g.live, g.cached = nil, nil
	g.b.ReportMetric(live, when+"-live-p95-ms")
	g.b.ReportMetric(cached, when+"-cached-p99-ms")
	return live, cached
}

// stormForBenchmark is the process that makes a storm; what says the ACS, how many CPE and the rate, 0 for all at once, and then until all
// have been served.
func stormForBenchmark(_, what string) error {
	if err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, 10); err != nil {
		return err
	}
	var acs string
	var n int
	var rate float64
	if _, err := fmt.Sscan(what, &acs, &n, &rate); err != nil {
		return err
	}
	load := cpe.SessionLoad{ACS: acs, Sessions: n, Rate: rate, Concurrency: stormWorkers, SerialFormat: "STORM%06d", Events: []string{cwmp.EventBoot}}
	if rate == 0 {
		load.Concurrency, load.Retry = n, true
	}
	st, _ := load.Run(context.Background()) // those that were sent away count as failures
	fmt.Printf("storm: %d offered at %.0f/s, %d sent away\n", st.Sessions, rate, st.Failures)
	return nil
}
