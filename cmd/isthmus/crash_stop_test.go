//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"isthmus/cwmp/cpe"
	"isthmus/usp"
	"isthmus/usp/controller"
)

const (
	stopPromised = 6 * time.Second // from a SIGTERM until the end
	stopAtOnce   = time.Second     // from a second one
	patience     = time.Minute     // of one test
	requestTime  = 20 * time.Second
)

// stopped checks that a proxy ends as promised.
func (p *proxy) stopped(ctx context.Context, t *testing.T, begin time.Time) {
	t.Helper()
	code := p.exit(ctx, t)
	if took := time.Since(begin); took > stopPromised {
		t.Errorf("stopping took %v", took)
	}
	if code != exitFine || !p.out.has("msg=stopped") {
		t.Errorf("exit code %d, want 0 and the word that it has stopped", code)
	}
}

// managed is a proxy with one CPE and its Agent.
type managed struct {
	*site
	proxy  *proxy
	device *cpe.CPE
	peer   *peer
	hook   atomic.Pointer[func(cpe.Exchange)] // the CPE's Observe
}

// newManaged makes a proxy whose CPE is at rest.
func newManaged(ctx context.Context, t *testing.T, linger string) *managed {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	c, url := crashListen(ctx, t, controller.Options{Logger: log})
	m := &managed{site: newSite(t, linger, requestTime.String(), url)}
	m.proxy = m.serve(ctx, t)
	id, _, err := usp.AgentEndpointID(demoID.OUI, demoID.ProductClass, demoID.SerialNumber)
	if err != nil {
		t.Fatal(err)
	}
	m.device = cpe.New(cpe.Config{ACS: m.url(), DeviceID: demoID, Logger: log, Observe: func(x cpe.Exchange) {
		if f := m.hook.Load(); f != nil {
			(*f)(x)
		}
	}})
	switchOn(ctx, t, m.device)
	m.peer = &peer{ctx: ctx, agent: c.Agent(id)}
	if err := errors.Join(m.peer.agent.WaitConnects(ctx, 1), m.device.WaitSessions(ctx, 1), m.device.WaitIdle(ctx)); err != nil {
		t.Fatal(err)
	}
	return m
}

// switchOn runs a CPE until the test ends or off is called.
func switchOn(ctx context.Context, t *testing.T, device *cpe.CPE) (off func()) {
	power, cancel := context.WithCancel(context.WithoutCancel(ctx))
	down := make(chan error, 1)
	go func() { down <- device.Run(power) }()
	off = sync.OnceFunc(func() {
		cancel()
		if err := <-down; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(off)
	return off
}

// sets has the Controller set something, and gives what comes of it.
func (m *managed) sets(value string) <-chan error {
	answer := make(chan error, 1)
	go func() {
		_, err := m.peer.try(set("Device.WiFi.SSID.1.", "SSID", value))
		answer <- err
	}()
	return answer
}

func TestTerminatedWithLingeringSession(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	m := newManaged(ctx, t, "30s")
	sessions := m.device.Sessions()
	m.peer.sets(t, "lingers")
	if n := m.device.Sessions(); n != sessions {
		t.Fatalf("%d sessions have ended since: none lingers", n-sessions)
	}
	begin := time.Now()
	m.proxy.signal(t, syscall.SIGTERM)
	m.proxy.stopped(ctx, t, begin)
	if err := m.device.WaitSessions(ctx, sessions+1); err != nil {
		t.Fatal(err)
	}
	if n := m.device.Failures(); n != 0 {
		t.Errorf("%d sessions failed: the CPE wants its 204", n)
	}
}

// deafTo has the CPE never answer an RPC, until the test ends; asked is closed when it is there.
func (m *managed) deafTo(t *testing.T, rpc string) (asked <-chan struct{}) {
	there, hold := make(chan struct{}), make(chan struct{})
	var once sync.Once
	t.Cleanup(func() { close(hold) })
	m.hook.Store(new(func(x cpe.Exchange) {
		if x.FromACS && x.RPC == rpc {
			once.Do(func() { close(there) })
			<-hold
		}
	}))
	return there
}

func TestTerminatedWithRPCUnderWay(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	m := newManaged(ctx, t, "0s")
	asked := m.deafTo(t, "SetParameterValues")
	answer := m.sets("never answered")
	<-asked
	begin := time.Now()
	m.proxy.signal(t, syscall.SIGTERM)
	err := <-answer
	if e := (*usp.Error)(nil); !errors.As(err, &e) || !hasCode(e, usp.OutcomeUnknown) {
		t.Errorf("the waiting Set got %v, want 7801", err)
	}
	m.proxy.stopped(ctx, t, begin)
}

// hasCode says whether an error, or one of its parameters, has the code.
func hasCode(e *usp.Error, code usp.ErrorCode) bool {
	for _, p := range e.Params {
		if p.Code == code {
			return true
		}
	}
	return e.Code == code
}

func TestTerminatedTwice(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	m := newManaged(ctx, t, "0s")
	asked := m.deafTo(t, "SetParameterValues")
	answer := m.sets("never answered")
	<-asked
	m.proxy.signal(t, syscall.SIGTERM)
	if _, err := m.proxy.out.line(ctx, "msg=stopping"); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	m.proxy.signal(t, syscall.SIGTERM)
	if code := m.proxy.exit(ctx, t); code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
	if took := time.Since(begin); took > stopAtOnce {
		t.Errorf("the second signal took %v", took)
	}
	if !m.proxy.out.has(errKilled.Error()) {
		t.Error("it does not say why it ended")
	}
	if err := <-answer; err == nil {
		t.Error("the Set was answered")
	}
}

func TestTerminatedWhileCPEIsAskedToCome(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	m := newManaged(ctx, t, "0s")
	m.device.SetFaults(cpe.Faults{ConnReq: cpe.ConnReqIgnore})
	answer := m.sets("nobody comes")
	m.waitDetail(ctx, t, func(d *detail) bool { return d.Queued == 1 })
	begin := time.Now()
	m.proxy.signal(t, syscall.SIGTERM)
	err := <-answer
	if e := (*usp.Error)(nil); !errors.As(err, &e) || !hasCode(e, usp.Unreachable) || !strings.Contains(err.Error(), "shutting down") {
		t.Errorf("the waiting Set got %v, want 7800 shutting down", err)
	}
	m.proxy.stopped(ctx, t, begin)
	if took := time.Since(begin); took > stopAtOnce {
		t.Errorf("stopping took %v with no RPC under way", took)
	}
}

// detail is what the admin address tells about a device, as far as it matters here.
type detail struct {
	Queued int `json:"queued"`
}

// waitDetail asks the admin address until a device is as it should be.
func (m *managed) waitDetail(ctx context.Context, t *testing.T, ok func(*detail) bool) {
	t.Helper()
	for {
		var d detail
		m.api(ctx, t, "devices/"+string(m.peer.agent.EndpointID()), &d)
		if ok(&d) {
			return
		}
	}
}

// api reads from the JSON API of the running proxy.
func (s *site) api(ctx context.Context, t *testing.T, path string, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+s.admin+"/api/v1/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", path, resp.Status, err)
	}
}

func stormSerial(i int) string { return fmt.Sprintf("STORM%03d", i) }

// TestTerminatedInBootStorm: 200 CPE boot at the same time, the proxy is told to stop in the midst of it, and the next one knows every
// CPE whose Inform was answered.
func TestTerminatedInBootStorm(t *testing.T) {
	const fleet, enough = 200, 20
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	log := slog.New(slog.DiscardHandler)
	c, url := crashListen(ctx, t, controller.Options{Logger: log})
	s := newSite(t, "0s", requestTime.String(), url)
	p := s.serve(ctx, t)
	listener, err := cpe.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(listener.Close)
	var known sync.Map // serial numbers of CPE that were answered
	var count atomic.Int64
	reached := make(chan struct{})
	devices := make([]func(), fleet)
	for i := range devices {
		id := demoID
		id.SerialNumber = stormSerial(i)
		devices[i] = switchOn(ctx, t, cpe.New(cpe.Config{ACS: s.url(), DeviceID: id, Logger: log, Listener: listener, RetryWait: time.Hour,
			Observe: func(x cpe.Exchange) {
				if x.RPC != "InformResponse" {
					return
				}
				if _, again := known.LoadOrStore(id.SerialNumber, true); !again && count.Add(1) == enough {
					close(reached)
				}
			}}))
	}
	select {
	case <-reached:
	case <-ctx.Done():
		t.Fatalf("%d CPE were answered", count.Load())
	}
	begin := time.Now()
	p.signal(t, syscall.SIGTERM)
	p.stopped(ctx, t, begin)
	for _, off := range devices {
		off()
	}
	down := map[usp.EndpointID]int{}
	for i := range devices {
		id, _, err := usp.AgentEndpointID(demoID.OUI, demoID.ProductClass, stormSerial(i))
		if err != nil {
			t.Fatal(err)
		}
		down[id] = c.Agent(id).Connects()
	}
	next := s.serve(ctx, t)
	var list struct {
		Devices []struct {
			ID           usp.EndpointID `json:"endpoint_id"`
			SerialNumber string         `json:"serial_number"`
		} `json:"devices"`
	}
	s.api(ctx, t, "devices?limit=1000", &list)
	back := map[string]bool{}
	for _, d := range list.Devices {
		back[d.SerialNumber] = true
		if err := c.Agent(d.ID).WaitConnects(ctx, down[d.ID]+1); err != nil {
			t.Fatalf("an Agent did not come back without its CPE: %v", err)
		}
	}
	known.Range(func(serial, _ any) bool {
		if !back[serial.(string)] {
			t.Errorf("%s was answered and is not known any more", serial)
		}
		return true
	})
	t.Logf("%d CPE were answered, %d are known", count.Load(), len(back))
	begin = time.Now()
	next.signal(t, syscall.SIGTERM)
	next.stopped(ctx, t, begin)
}

func TestSecondProcessIsRefused(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, url := crashListen(ctx, t, controller.Options{})
	s := newSite(t, "0s", requestTime.String(), url)
	first := s.serve(ctx, t)
	line := s.fails(ctx, t, s.file)
	if !strings.Contains(line, fmt.Sprintf("in use by process %d:", first.cmd.Process.Pid)) {
		t.Errorf("it says %q, and not that process %d has the store", line, first.cmd.Process.Pid)
	}
	// A process that was killed holds nothing.
	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	first.exit(ctx, t)
	s.serve(ctx, t)
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := newSite(t, "0s", requestTime.String(), "ws://127.0.0.1:1/")
	for key, format := range map[string]string{
		"cwmp.listen":                 "cwmp: {listen: %q}\nusp: {websocket_server: {listen: 127.0.0.1:0}}\nadmin: {listen: 127.0.0.1:0}\n",
		"usp.websocket_server.listen": "cwmp: {listen: 127.0.0.1:0}\nusp: {websocket_server: {listen: %q}}\nadmin: {listen: 127.0.0.1:0}\n",
		"admin.listen":                "cwmp: {listen: 127.0.0.1:0}\nusp: {websocket_server: {listen: 127.0.0.1:0}}\nadmin: {listen: %q}\n",
	} {
		file := filepath.Join(s.dir, key+".yaml")
		if err := os.WriteFile(file, fmt.Appendf(nil, format, taken.Addr()), 0o600); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("isthmus: %s: %s is in use by another program: stop that program or choose another port", key, taken.Addr())
		if line := s.fails(ctx, t, file); line != want {
			t.Errorf("it says %q, want %q", line, want)
		}
	}
}
