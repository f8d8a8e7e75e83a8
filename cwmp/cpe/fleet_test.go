package cpe

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"isthmus/cwmp"
)

func TestFleet(t *testing.T) {
	const count = 50
	a := newACS(t)
	ctx, cancel := context.WithCancel(timeout(t))
	defer cancel()
	ended := make(chan struct{}, count)
	observe := func(e Exchange) {
		if e.FromACS && e.RPC == "" {
			ended <- struct{}{}
		}
	}
	type result struct {
		stats Stats
		err   error
	}
	done := make(chan result, 1)
	go func() {
		stats, err := RunFleet(ctx, FleetConfig{Config: Config{ACS: a.URL, Observe: observe}, Count: count, Rate: 1000})
		done <- result{stats, err}
	}()
	for n := range count {
		select {
		case <-ended:
		case <-ctx.Done():
			t.Fatalf("%d of the fleet booted", n)
		}
	}
	cancel()
	r := <-done
	if r.err != nil || r.stats.Sessions != count || r.stats.Failures != 0 {
		t.Errorf("%+v, %v", r.stats, r.err)
	}
	serials := make(map[string]bool)
	for _, m := range a.informs {
		serials[m.DeviceId.SerialNumber] = true
	}
	if len(serials) != count || !serials["000050"] {
		t.Errorf("%d serial numbers", len(serials))
	}
}

func TestSessionLoad(t *testing.T) {
	a := newACS(t)
	a.queue = []cwmp.RPC{&cwmp.GetParameterValues{ParameterNames: []string{"Device."}}}
	stats, err := SessionLoad{ACS: a.URL, Sessions: 20, Concurrency: 4, Devices: 10, Changed: 3, KeepAlive: true}.Run(timeout(t))
	if err != nil || stats.Sessions != 20 || stats.Failures != 0 || stats.RPCs != 1 || stats.P50 == 0 || stats.P99 > stats.Max {
		t.Errorf("%+v, %v", stats, err)
	}
	if n := len(a.inform(0).ParameterList); n != 25 {
		t.Errorf("%d parameters, want 25", n)
	}
}

// A session that is sent away is tried again when a CPE would do it.
func TestSessionLoadRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		toACS, a := newPipes(), &testACS{t: t, refuse: 2}
		s := &httptest.Server{Listener: toACS, Config: &http.Server{Handler: a}}
		s.Start()
		defer s.Close()
		start := time.Now()
		stats, _ := SessionLoad{ACS: "http://acs.example/", Dial: toACS.Dial, Sessions: 1, Retry: true}.Run(t.Context())
		if stats.Sessions != 3 || stats.Failures != 2 {
			t.Errorf("%+v", stats)
		}
		if took := time.Since(start); took < 15*time.Second || took > 30*time.Second {
			t.Errorf("waits of 5 to 10 and 10 to 20 s took %v", took)
		}
	})
}

func TestBucketsCoverEachOther(t *testing.T) {
	for _, v := range []int64{0, 7, 8, 15, 16, 31, 1000, 123456, 1 << 40} {
		if i := bucket(v); upper(i) < v || i > 0 && upper(i-1) >= v {
			t.Errorf("%d is in bucket %d, which ends at %d", v, i, upper(i))
		}
	}
}

func BenchmarkSession(b *testing.B) {
	a := newACS(b)
	b.ReportAllocs()
	if _, err := (SessionLoad{ACS: a.URL, Sessions: b.N, Concurrency: 1, Devices: 10, KeepAlive: true}).Run(context.Background()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkIdleCPE says what a CPE at rest costs: heap and goroutines.
func BenchmarkIdleCPE(b *testing.B) {
	const count = 5000
	a := newACS(b)
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	before, goroutines := heap(), runtime.NumGoroutine()
	var stats collector
	cfg := FleetConfig{Config: Config{ACS: a.URL, Listener: l}}
	var all []*CPE
	var stops []func()
	for i := range count {
		c := cfg.member(i+1, &stats)
		stop, err := c.start(ctx)
		if err != nil {
			b.Fatal(err)
		}
		if err := c.WaitIdle(ctx); err != nil {
			b.Fatal(err)
		}
		a.mu.Lock()
		a.informs, a.at, a.raw, a.protocols = nil, nil, nil, nil
		a.mu.Unlock()
		all, stops = append(all, c), append(stops, stop)
	}
	b.ReportMetric(float64(heap()-before)/count, "B/CPE")
	b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/count, "goroutines/CPE")
	runtime.KeepAlive(all)
	cancel()
	for _, stop := range stops {
		stop()
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
