package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"isthmus/usp/usppb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeFleet has three devices.
type fakeFleet struct{}

var ids = []string{"ops::001122-GW-1", "ops::001122-GW-a%20b", "os::001122-3"}

func (fakeFleet) Devices(after string, by Filter, limit int) []Device {
	var all []Device
	for _, id := range ids {
		if id > after && strings.Contains(id, by.Text) && (by.State == "" || by.State == "quarantined") && len(all) < limit {
			all = append(all, Device{EndpointID: id, Quarantine: "a <b>reason</b>"})
		}
	}
	return all
}

func (fakeFleet) Len() int { return len(ids) }

func (fakeFleet) Sessions(int) []Session {
	return []Session{{EndpointID: ids[1], From: "192.0.2.1:7", Since: time.Now(), Events: []string{"1 BOOT"}}}
}

func (fakeFleet) Act(_ context.Context, id string, a Action) error {
	switch {
	case !slices.Contains(ids, id):
		return ErrNoDevice
	case a == Forget:
		return ErrBusy
	case a == Ask:
		return errors.New("the CPE cannot be reached")
	}
	return nil
}

func (fakeFleet) Device(id string) (*Detail, bool) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return &Detail{Device: Device{EndpointID: id, Root: "Device.", LastInform: &at}}, slices.Contains(ids, id)
}

func (fakeFleet) Trace(id string) ([]Exchange, bool) {
	if id == ids[1] {
		return []Exchange{{TraceID: "t2"}, {TraceID: "t1"}}, true
	}
	return nil, slices.Contains(ids, id)
}

func (fakeFleet) Traced(id string) (string, bool) { return ids[1], id == "t1" }

func (fakeFleet) Do(_ context.Context, id string, req *usppb.Msg) (*usppb.Msg, error) {
	if !slices.Contains(ids, id) {
		return nil, ErrNoDevice
	}
	return &usppb.Msg{Header: &usppb.Header{MsgId: req.Header.MsgId, MsgType: usppb.Header_GET_RESP}}, nil
}

// start serves the admin address on loopback.
func start(t *testing.T, opts Options) string {
	t.Helper()
	opts.Fleet, opts.Gatherer = fakeFleet{}, prometheus.NewRegistry()
	return serve(t, New(opts))
}

func serve(t *testing.T, s *Server) string {
	t.Helper()
	l := httptest.NewUnstartedServer(nil).Listener
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

func send(t *testing.T, method, url string, body []byte, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestPages(t *testing.T) {
	url := start(t, Options{})
	for _, tc := range []struct {
		path   string
		status int
		want   string
	}{
		{"/healthz", 200, "ok\n"},
		{"/readyz", 200, "ready\n"},
		{"/metrics", 200, ""},
		{"/", 200, `<a href="/devices/ops::001122-GW-a%2520b">ops::001122-GW-a%20b</a>`},
		{"/api/v1/devices", 200, `"next":""`},
		{"/api/v1/devices?limit=2", 200, `"next":"ops::001122-GW-a%20b"`},
		{"/api/v1/devices?limit=2&after=ops::001122-GW-a%2520b", 200, `[{"endpoint_id":"os::001122-3"`},
		{"/api/v1/devices?q=nothing", 200, `{"devices":[],"next":""}`},
		{"/api/v1/devices?limit=0", 400, `{"error":"limit must be`},
		{"/api/v1/devices?limit=1001", 400, `{"error":"limit must be`},
		{"/api/v1/devices/ops::001122-GW-a%2520b", 200, `"last_inform":"2026-01-02T03:04:05Z"`},
		{"/api/v1/devices/ops::001122-GW-a%20b", 404, `{"error":"no device`},
		{"/api/v1/devices/os::001122-3/trace", 200, `{"exchanges":[]}`},
		{"/api/v1/devices/os::none/trace", 404, `{"error":`},
		{"/api/v1/devices/os::001122-3/usp", 405, `{"error":`},
		{"/api/v2", 404, `{"error":`},
	} {
		status, text := send(t, "GET", url+tc.path, nil)
		if status != tc.status || !strings.Contains(text, tc.want) {
			t.Errorf("GET %s: %d %s, want %d …%s…", tc.path, status, text, tc.status, tc.want)
		}
	}
	if status, text := send(t, "POST", url+"/api/v1/devices", nil); status != 405 || !strings.Contains(text, `"error"`) {
		t.Errorf("POST of the list: %d %s", status, text)
	}
}

func TestHost(t *testing.T) {
	url := start(t, Options{})
	for host, want := range map[string]int{
		"localhost": 200, "localhost:9647": 200, "127.0.0.1:1": 200, "127.9.9.9": 200, "[::1]:9647": 200, "LOCALHOST": 200,
		"example.org": 421, "localhost.example.org": 421, "10.0.0.1": 421, "127.0.0.1.example.org": 421,
	} {
		if status, text := send(t, "GET", url+"/healthz", nil, "Host", host); status != want {
			t.Errorf("Host %s: %d %s, want %d", host, status, text, want)
		}
	}
}

func TestToken(t *testing.T) {
	for _, public := range []bool{true, false} {
		url := start(t, Options{Token: "s3cret", MetricsPublic: public})
		metrics := map[bool]int{true: 200, false: 401}[public]
		for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": metrics, "/": 401, "/api/v1/devices": 401} {
			if status, _ := send(t, "GET", url+path, nil); status != want {
				t.Errorf("GET %s without token: %d, want %d", path, status, want)
			}
			if status, _ := send(t, "GET", url+path, nil, "Authorization", "Bearer s3cret"); status != 200 {
				t.Errorf("GET %s with token: %d", path, status)
			}
		}
		if status, _ := send(t, "GET", url+"/", nil, "Authorization", "Bearer wrong"); status != 401 {
			t.Errorf("wrong token: %d", status)
		}
	}
}

func TestNotReady(t *testing.T) {
	url := start(t, Options{Ready: func() error { return context.Canceled }})
	if status, _ := send(t, "GET", url+"/readyz", nil); status != 503 {
		t.Errorf("/readyz: %d, want 503", status)
	}
	if status, _ := send(t, "GET", url+"/healthz", nil); status != 200 {
		t.Errorf("/healthz: %d, want 200", status)
	}
}

func TestUSP(t *testing.T) {
	url := start(t, Options{})
	agent := url + "/api/v1/devices/os::001122-3/usp"
	msg, err := proto.Marshal(&usppb.Msg{
		Header: &usppb.Header{MsgId: "7", MsgType: usppb.Header_GET},
		Body:   &usppb.Body{MsgBody: &usppb.Body_Request{Request: &usppb.Request{ReqType: &usppb.Request_Get{Get: &usppb.Get{}}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	status, text := send(t, "POST", agent, msg, "Content-Type", MsgType)
	var resp usppb.Msg
	if err := proto.Unmarshal([]byte(text), &resp); err != nil || status != 200 || resp.Header.GetMsgId() != "7" {
		t.Fatalf("%d %q: %v", status, text, err)
	}
	for _, tc := range []struct {
		name, url string
		body      []byte
		header    []string
		want      int
	}{
		{"form content type", agent, msg, []string{"Content-Type", "text/plain"}, 415},
		{"no content type", agent, msg, nil, 415},
		{"Origin of another host", agent, msg, []string{"Content-Type", MsgType, "Origin", "http://example.org"}, 403},
		{"a browser's word", agent, msg, []string{"Content-Type", MsgType, "Sec-Fetch-Site", "cross-site"}, 403},
		{"Origin of this host", agent, msg, []string{"Content-Type", MsgType, "Origin", url}, 200},
		{"garbage", agent, []byte("\xff\xff"), []string{"Content-Type", MsgType}, 400},
		{"no request", agent, nil, []string{"Content-Type", MsgType}, 400},
		{"too large", agent, make([]byte, maxRequest+1), []string{"Content-Type", MsgType}, 413},
		{"unknown device", url + "/api/v1/devices/os::none/usp", msg, []string{"Content-Type", MsgType}, 404},
	} {
		status, text := send(t, "POST", tc.url, tc.body, tc.header...)
		var e Error
		if status != tc.want || status != 200 && (json.Unmarshal([]byte(text), &e) != nil || e.Error == "") {
			t.Errorf("%s: %d %s, want %d", tc.name, status, text, tc.want)
		}
	}
}

func TestBackup(t *testing.T) {
	begun, goOn := make(chan struct{}), make(chan error)
	url := start(t, Options{Backup: func(_ context.Context, w io.Writer) (int, error) {
		if _, err := io.WriteString(w, strings.Repeat("backup", 1<<20)); err != nil {
			return 0, err
		}
		begun <- struct{}{}
		return 3, <-goOn
	}}) + "/api/v1/backup"
	for _, tt := range []struct {
		fault error
		whole bool
	}{{nil, true}, {io.ErrClosedPipe, false}, {nil, true}} {
		whole := make(chan bool)
		go func() {
			resp, err := http.Post(url, "", nil)
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			whole <- err == nil
		}()
		<-begun
		resp, err := http.Post(url, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusConflict {
			t.Errorf("a second backup beside the first: %s", resp.Status)
		}
		goOn <- tt.fault
		if got := <-whole; got != tt.whole {
			t.Errorf("with %v: whole %v", tt.fault, got)
		}
	}
}
