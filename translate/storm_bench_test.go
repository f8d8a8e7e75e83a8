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

		storm := exec.Command(os.Args[0], "-test.run=^$")
		storm.Env = append(os.Environ(), serverMode+"="+stormMode, "ISTHMUS_TEST_DIR="+acs+" "+strconv.FormatFloat(rate*1.5, 'f', 1, 64))
		storm.Stdout, storm.Stderr = os.Stderr, os.Stderr
		if err := storm.Start(); err != nil {
			b.Fatal(err)
		}
		for end := time.Now().Add(stormTime); time.Now().Before(end); {
			g.both()
		}
		liveStorm, _ := g.report("storm")
		if err := storm.Wait(); err != nil {
			b.Error(err)
		}
		b.ReportMetric(liveStorm/live, "live-p95-ratio")
	}
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

// stormForBenchmark is the process that makes the storm; what says the ACS and the rate.
func stormForBenchmark(_, what string) error {
	if err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, 10); err != nil {
		return err
	}
	var acs string
	var rate float64
	if _, err := fmt.Sscan(what, &acs, &rate); err != nil {
		return err
	}
	st, _ := cpe.SessionLoad{ACS: acs, Sessions: int(rate * stormTime.Seconds()), Rate: rate, Concurrency: stormWorkers, SerialFormat: "STORM%06d",
		Events: []string{cwmp.EventBoot}}.Run(context.Background()) // those that were sent away count as failures
	fmt.Printf("storm: %d offered at %.0f/s, %d sent away\n", st.Sessions, rate, st.Failures)
	return nil
}
