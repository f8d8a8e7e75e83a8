package cpe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"isthmus/cwmp"
)

// SessionLoad makes sessions as cheaply as it can, to measure an ACS and not itself: an Inform of 25 parameters that was encoded
// once, an empty POST, an answer to whatever the ACS asks.
type SessionLoad struct {
	ACS          string // URL, http only
	Sessions     int
	Concurrency  int     // 0: 1
	Rate         float64 // sessions begun a second, whatever has come of the others as long as a worker is free; 0: as many as the ACS takes
	Devices      int     // serial numbers, taken in turn; 0: one a session
	SerialFormat string  // "": "%06d"
	Events       []string
	Changed      int  // how many of the 25 values differ from one session to the next, at most 12
	KeepAlive    bool // a worker's sessions share its connection
	Retry        bool // a session that failed is begun again by the same worker, when TR-069 3.2.1.1 has a CPE do it, until it succeeds
	Dial         func(ctx context.Context, network, addr string) (net.Conn, error)

	Username, Password string
}

// loadParameters are in the Inform besides the seven forced ones. What can change comes first: a measure, then counters.
var loadParameters = []string{
	"Device.DeviceInfo.MemoryStatus.Free",
	"Device.WiFi.SSID.1.Stats.BytesSent", "Device.WiFi.SSID.1.Stats.BytesReceived",
	"Device.WiFi.SSID.1.Stats.PacketsSent", "Device.WiFi.SSID.1.Stats.PacketsReceived",
	"Device.WiFi.SSID.2.Stats.BytesSent", "Device.WiFi.SSID.2.Stats.BytesReceived",
	"Device.WiFi.SSID.2.Stats.PacketsSent", "Device.WiFi.SSID.2.Stats.PacketsReceived",
	"Device.Ethernet.Interface.1.Stats.BytesSent", "Device.Ethernet.Interface.1.Stats.BytesReceived",
	"Device.Ethernet.Interface.2.Stats.BytesSent", "Device.Ethernet.Interface.2.Stats.BytesReceived",
	"Device.WiFi.Radio.1.Channel", "Device.WiFi.Radio.1.TransmitPower",
	"Device.WiFi.Radio.2.Channel", "Device.WiFi.Radio.2.TransmitPower",
	"Device.Hosts.HostNumberOfEntries",
}

const (
	maxChanged    = 12
	serialMark    = "@SERIAL@"
	counterMark   = "7878787878"
	maxLoadErrors = 10 // kept of the failures
)

// Run makes the sessions. The error joins the first few failures; Stats has the numbers.
func (l SessionLoad) Run(ctx context.Context) (Stats, error) {
	u, err := url.Parse(l.ACS)
	if err != nil {
		return Stats{}, fmt.Errorf("ACS URL: %w", err)
	}
	if l.Devices == 0 {
		l.Devices = l.Sessions
	}
	inform, err := l.inform()
	if err != nil {
		return Stats{}, err
	}
	var (
		stats collector
		taken atomic.Int64
		begun = time.Now()
		wg    sync.WaitGroup
		mu    sync.Mutex
		errs  []error
	)
	for range max(l.Concurrency, 1) {
		wg.Go(func() {
			w := worker{load: &l, url: u, inform: inform, cpe: New(Config{ACS: l.ACS, Dial: l.Dial})}
			w.cpe.stats = &stats
			defer w.close()
			for n := int(taken.Add(1)); n <= l.Sessions && ctx.Err() == nil; n = int(taken.Add(1)) {
				if l.Rate > 0 {
					due := time.NewTimer(time.Until(begun.Add(time.Duration(float64(n-1) / l.Rate * float64(time.Second)))))
					select {
					case <-due.C:
					case <-ctx.Done():
						due.Stop()
						return
					}
				}
				for retries := 0; ; retries++ {
					start := time.Now()
					err := w.session(ctx, n)
					stats.session(err, time.Since(start))
					if err == nil {
						break
					}
					mu.Lock()
					if len(errs) < maxLoadErrors {
						errs = append(errs, err)
					}
					mu.Unlock()
					if !l.Retry || !w.rest(ctx, retries) {
						break
					}
				}
			}
		})
	}
	wg.Wait()
	return stats.stats(), errors.Join(errs...)
}

// inform is the encoded Inform with marks where the sessions differ.
func (l SessionLoad) inform() ([]byte, error) {
	c := New(Config{ACS: l.ACS, InformParameters: loadParameters})
	for i := range min(l.Changed, maxChanged) {
		c.tree = c.tree.set(loadParameters[i], counterMark)
	}
	id := exampleID
	id.SerialNumber = serialMark
	events := l.Events
	if events == nil {
		events = []string{cwmp.EventPeriodic}
	}
	m := &cwmp.Inform{DeviceId: id, MaxEnvelopes: 1, CurrentTime: time.Now(), ParameterList: c.informParameters(nil)}
	for _, code := range events {
		m.Event = append(m.Event, cwmp.EventStruct{EventCode: code})
	}
	body, err := cwmp.Encode(&cwmp.Envelope{ID: "1", Namespace: cwmp.NamespaceV1_2, Body: m})
	if err != nil {
		return nil, fmt.Errorf("inform: %w", err)
	}
	return body, nil
}

// worker makes one session after the other.
type worker struct {
	load   *SessionLoad
	url    *url.URL
	inform []byte
	cpe    *CPE // carries out RPCs
	http   *acs
}

func (w *worker) close() {
	if w.http != nil {
		w.http.close()
	}
}

// rest is the wait before the next try; false if ctx ends first.
func (w *worker) rest(ctx context.Context, retries int) bool {
	w.cpe.mu.Lock()
	again := time.NewTimer(w.cpe.retryWait(retries))
	w.cpe.mu.Unlock()
	defer again.Stop()
	select {
	case <-again.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (w *worker) session(ctx context.Context, n int) error {
	if w.http == nil || !w.load.KeepAlive {
		w.close()
		w.http = &acs{cfg: &w.cpe.cfg, url: w.url, username: w.load.Username, password: w.load.Password}
	}
	w.http.cookies = nil
	var faults Faults
	body := bytes.Replace(w.inform, []byte(serialMark), []byte(serial(w.load.SerialFormat, (n-1)%w.load.Devices+1)), 1)
	if w.load.Changed > 0 {
		body = bytes.ReplaceAll(body, []byte(counterMark), []byte(strconv.Itoa(n)))
	}
	answer, _, err := w.http.post(ctx, body, &faults)
	if err != nil {
		return err
	}
	if !bytes.Contains(answer, []byte("InformResponse")) {
		return fmt.Errorf("%w: no InformResponse", errProtocol)
	}
	answer, contentType, err := w.http.post(ctx, nil, &faults)
	for err == nil && len(answer) > 0 {
		if body, err = w.answer(answer, contentType); err == nil {
			answer, contentType, err = w.http.post(ctx, body, &faults)
		}
	}
	if err != nil {
		w.http.close()
	}
	return err
}

// answer carries out an RPC on the worker's tree; what would follow the session does not.
func (w *worker) answer(request []byte, contentType string) ([]byte, error) {
	e, err := cwmp.Decode(request, contentType)
	if err != nil || e.Body == nil {
		return nil, fmt.Errorf("%w: request of the ACS: %w", errProtocol, err)
	}
	c := w.cpe
	c.mu.Lock()
	response := c.handle(e.Body)
	c.atEnd, c.transfers, c.reset, c.reboot = nil, nil, false, nil
	c.mu.Unlock()
	c.record(e.Body, response)
	return cwmp.Encode(&cwmp.Envelope{ID: e.ID, Namespace: cwmp.NamespaceV1_2, Body: response})
}
