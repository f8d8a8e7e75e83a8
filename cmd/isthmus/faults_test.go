//go:build unix

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"isthmus/cmd/isthmus/config"
	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
	"isthmus/usp/controller"
)

// The tests of faults_*_test.go throw what CPE get wrong at the whole of isthmus, wired as `serve` does it: a file, and one proxy, for each kind
// of fault. After each the process lives, a counter that an operator sees has moved, and the next CPE is served.

// live is never answered from the cache.
const live = "Device.WiFi.Radio.1.Channel"

// faultTime bounds whatever one fault sets off.
const faultTime = 20 * time.Second

// fault is one thing that a CPE does wrong, or as few others do it.
type fault struct {
	name   string // with the rows of cwmp/QUIRKS.md that it belongs to
	counts string // what moves: series of the metrics without their isthmus_, any of those that "|" separates
	inject func(t *testing.T, b *bed)
}

// bed is the proxy, a Controller, and the CPE that is the next one after every fault: it has nothing wrong with it.
type bed struct {
	*instance
	controller *controller.Controller
	addr       string    // of the CWMP listener
	tree       *cpe.Tree // of all CPE
	username   string    // of all CPE, as is the password
	password   string
	good       *cpe.CPE
	next       *controller.Agent
	serials    atomic.Int64
}

// Counters that the tests of more than one kind of fault look at.
const (
	sessionsOK    = `cwmp_sessions_total{outcome="ok"}`
	sessionsLost  = `cwmp_sessions_total{outcome="disconnected"}|cwmp_sessions_total{outcome="superseded"}|cwmp_refused_total{reason="ended"}`
	panicked      = "cwmp_panics_total"
	malformedHTTP = `cwmp_malformed_total{reason="http"}`
	malformedXML  = `cwmp_malformed_total{reason="xml"}`
	malformedRead = `cwmp_malformed_total{reason="read"}`
	malformedSize = `cwmp_malformed_total{reason="size"}`
)

func newBed(t *testing.T, change func(*config.Config)) *bed {
	t.Helper()
	b := &bed{}
	b.instance, b.controller = running(t, func(cfg *config.Config) {
		cfg.CWMP.Session.Linger = 0
		if change != nil {
			change(cfg)
		}
		b.username, b.password = cfg.CWMP.Auth.Username, string(cfg.CWMP.Auth.Password)
	})
	b.addr = b.listeners.cwmp.Addr().String()
	file, err := os.Open(gateway)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if b.tree, err = cpe.LoadCSV(file); err != nil {
		t.Fatal(err)
	}
	good, p := b.boot(t, nil)
	b.good, b.next = good, p.agent
	return b
}

// each injects the faults one after the other.
func (b *bed) each(t *testing.T, faults []fault) {
	t.Helper()
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			before := b.count(t, f.counts)
			f.inject(t, b)
			b.above(t, f.counts, before)
			b.serves(t)
		})
	}
}

// serves fails the test unless the process lives and the next CPE is served: a Controller reads it, which takes a Connection Request and a session.
func (b *bed) serves(t *testing.T) {
	t.Helper()
	ended := b.count(t, sessionsOK)
	p := &peer{ctx: deadline(t), agent: b.next}
	nextMoment()
	p.has(t, get(live), live+" = "+b.good.Value(live))
	b.above(t, sessionsOK, ended) // it is over, and no part of what comes next
	if err := b.good.WaitIdle(p.ctx); err != nil {
		t.Error(err)
	}
	if n := b.count(t, panicked); n != 0 {
		t.Errorf("%v panics", n)
	}
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), faultTime)
	t.Cleanup(cancel)
	return ctx
}

// scrape leaves out gzip, which takes most of the time under the race detector.
var scrape = &http.Client{Transport: &http.Transport{DisableCompression: true}}

// count is the sum of series of the metrics.
func (b *bed) count(t *testing.T, series string) (sum float64) {
	t.Helper()
	resp, err := scrape.Get("http://" + b.listeners.admin.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(series, "|") {
		_, rest, _ := strings.Cut(string(text), "\nisthmus_"+name+" ")
		line, _, _ := strings.Cut(rest, "\n")
		v, _ := strconv.ParseFloat(line, 64) // none yet
		sum += v
	}
	return sum
}

// above waits until the series have moved: a session may end after its CPE has gone.
func (b *bed) above(t *testing.T, series string, before float64) {
	t.Helper()
	for ctx := deadline(t); b.count(t, series) <= before; {
		if ctx.Err() != nil {
			t.Fatalf("%s was not counted", series)
		}
	}
}

func (b *bed) id() cwmp.DeviceID { return numbered(fmt.Sprint("F", b.serials.Add(1))) }

// device is a CPE that has not been switched on.
func (b *bed) device(change func(*cpe.Config)) cpe.Config {
	cfg := cpe.Config{ACS: "http://" + b.addr + "/", DeviceID: b.id(), Tree: b.tree, Username: b.username, Password: b.password,
		RetryWait: time.Millisecond, RebootTime: time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	return cfg
}

// boot switches a CPE on, and waits until it is an Agent whose data model is known.
func (b *bed) boot(t *testing.T, change func(*cpe.Config)) (*cpe.CPE, *peer) {
	t.Helper()
	cfg, ctx := b.device(change), deadline(t)
	d := on(t, cfg)
	agent := b.controller.Agent(usp.EndpointID(endpointID(cfg.DeviceID)))
	if err := errors.Join(agent.WaitConnects(ctx, 1), d.WaitSessions(ctx, 1), d.WaitIdle(ctx)); err != nil {
		t.Fatal(err)
	}
	nextMoment()
	return d, &peer{ctx: ctx, agent: agent}
}

// nextMoment returns in the next millisecond: what was read in this one is young enough for any Get.
func nextMoment() {
	for now := time.Now().UnixMilli(); time.Now().UnixMilli() == now; {
		runtime.Gosched()
	}
}

// manages fails the test unless a Controller reads from the CPE what is there and writes what arrives there.
func manages(t *testing.T, d *cpe.CPE, p *peer) {
	t.Helper()
	path := ssid
	if d.Value(path) == "" {
		path = legacySSID
	}
	p.has(t, get("Device.DeviceInfo.SerialNumber"), "Device.DeviceInfo.SerialNumber = "+d.Value(strings.SplitAfter(path, ".")[0]+"DeviceInfo.SerialNumber"))
	if path != ssid {
		return // its paths are not those of Device:2 yet
	}
	object, name := strings.TrimSuffix(path, "SSID"), "SSID"
	written := "written " + t.Name()[max(len(t.Name())-20, 0):]
	p.do(t, set(object, name, written))
	if got := d.Value(path); got != written {
		t.Errorf("the CPE has %q, want %q", got, written)
	}
	p.has(t, get(path), path+" = "+written)
}

const legacySSID = "InternetGatewayDevice.LANDevice.1.WLANConfiguration.1.SSID"

// garble makes of an HTTP request, its head without the last line break, what is sent instead.
type garble func(head, body string) string

// framed is a request whose head has the length of the body.
func framed(head, body string) string {
	lines := strings.Split(head, "\r\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "Content-Length:") {
			lines[i] = "Content-Length: " + strconv.Itoa(len(body))
		}
	}
	return strings.Join(lines, "\r\n") + "\r\n\r\n" + body
}

// in changes the messages of one kind, and leaves the others.
func in(message string, change func(string) string) garble {
	return func(head, body string) string {
		if strings.Contains(body, ":"+message+">") || strings.Contains(body, ":"+message+" ") {
			body = change(body)
		}
		return framed(head, body)
	}
}

// garbled has a CPE send what g makes of its requests; each is one Write of cpe's.
func garbled(g garble) func(*cpe.Config) {
	return func(cfg *cpe.Config) {
		cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			return &garbledConn{conn, g}, err
		}
	}
}

type garbledConn struct {
	net.Conn
	garble garble
}

func (c *garbledConn) Write(p []byte) (int, error) {
	head, body, _ := strings.Cut(string(p), "\r\n\r\n")
	if _, err := io.WriteString(c.Conn, c.garble(head, body)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// rawCPE is a socket on which a test writes what it likes.
type rawCPE struct {
	t      *testing.T
	conn   *net.TCPConn
	br     *bufio.Reader
	cookie string
}

func (b *bed) dial(t *testing.T) *rawCPE {
	t.Helper()
	conn, err := net.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(faultTime)); err != nil {
		t.Fatal(err)
	}
	return &rawCPE{t: t, conn: conn.(*net.TCPConn), br: bufio.NewReader(conn)}
}

func (r *rawCPE) write(parts ...string) {
	r.t.Helper()
	if _, err := io.WriteString(r.conn, strings.Join(parts, "")); err != nil {
		r.t.Fatal(err)
	}
}

// post sends a body as it should be sent.
func (r *rawCPE) post(body string) {
	r.t.Helper()
	head := "POST / HTTP/1.1\r\nHost: acs\r\nContent-Type: text/xml\r\n"
	if r.cookie != "" {
		head += "Cookie: " + r.cookie + "\r\n"
	}
	r.write(head, "Content-Length: ", strconv.Itoa(len(body)), "\r\n\r\n", body)
}

// answer reads an answer; the cookie is kept.
func (r *rawCPE) answer() (status int, body string) {
	r.t.Helper()
	resp, err := http.ReadResponse(r.br, nil)
	if err != nil {
		r.t.Fatal("answer of the ACS: ", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal("answer of the ACS: ", err)
	}
	if c := resp.Header.Get("Set-Cookie"); c != "" {
		r.cookie, _, _ = strings.Cut(c, ";")
	}
	return resp.StatusCode, string(text)
}

// wants reads an answer with this status.
func (r *rawCPE) wants(status int) (body string) {
	r.t.Helper()
	got, body := r.answer()
	if got != status {
		r.t.Fatalf("status %d, want %d: %s", got, status, body)
	}
	return body
}

// gone fails the test unless the other side has closed the connection.
func (r *rawCPE) gone() {
	r.t.Helper()
	if _, err := io.Copy(io.Discard, r.br); errors.Is(err, os.ErrDeadlineExceeded) {
		r.t.Error("the connection is not closed")
	}
}

// denies answers every RPC with a fault until the session is over.
func (r *rawCPE) denies() {
	r.t.Helper()
	status, _ := r.answer()
	for ; status == 200; status, _ = r.answer() {
		r.post(encoded(r.t, cwmp.NewFault(cwmp.FaultMethodNotSupported)))
	}
	if status != 204 {
		r.t.Errorf("the session ended with %d", status)
	}
}

// inform is the Inform of a CPE that is new, or of the one given.
func (b *bed) inform(t *testing.T, id cwmp.DeviceID, events ...string) string {
	t.Helper()
	m := &cwmp.Inform{DeviceId: id, MaxEnvelopes: 1, CurrentTime: time.Now(), ParameterList: []cwmp.ParameterValueStruct{
		{Name: "Device.DeviceInfo.SoftwareVersion", Value: "1", Type: "string"}, {Name: "Device.RootDataModelVersion", Value: "2.15", Type: "string"}}}
	for _, code := range events {
		m.Event = append(m.Event, cwmp.EventStruct{EventCode: code})
	}
	return encoded(t, m)
}

func encoded(t *testing.T, body cwmp.RPC) string {
	t.Helper()
	text, err := cwmp.Encode(&cwmp.Envelope{ID: "1", Namespace: cwmp.NamespaceV1_2, Body: body})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
