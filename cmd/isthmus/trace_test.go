package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"isthmus/cmd/isthmus/admin"
)

// TestTraceFollow: each exchange is shown once, in the order of time, until the command is interrupted.
func TestTraceFollow(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/devices/os::1/trace" {
			t.Errorf("GET %s", r.URL.Path)
		}
		if asked++; asked == 3 {
			cancel()
			return
		}
		var trace admin.Trace
		for n := asked; n >= 0; n-- { // the last that ended first; it began before the others
			trace.Exchanges = append(trace.Exchanges, admin.Exchange{TraceID: fmt.Sprint("t", n), Time: time.Unix(int64(-n), 0), Message: "Get", Paths: []string{"Device." + strings.Repeat("x", n+1) + "\x1b"},
				CWMP: []admin.CWMPCall{{Time: time.Unix(int64(n), 0), RPC: "GetParameterValues", Result: "ok"}}})
		}
		_ = json.NewEncoder(w).Encode(trace)
	}))
	defer s.Close()
	var stdout, stderr bytes.Buffer
	if code := run(ctx, []string{"trace", "--follow", "--admin", s.URL, "os::1"}, &stdout, &stderr, nil); code != exitFine {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
	var paths []string
	for line := range strings.Lines(stdout.String()) {
		if p := strings.Trim(line, " \n\ufffd"); strings.HasPrefix(p, "Device.") {
			paths = append(paths, p)
		}
	}
	if got := strings.Join(paths, " "); got != "Device.x Device.xx Device.xxx" || strings.Count(stdout.String(), "GetParameterValues") != 3 || strings.Count(stdout.String(), "  t2\n") != 1 {
		t.Errorf("%s", stdout.String())
	}
}

// TestTraceOfID: what an exemplar names is found without its device being known.
func TestTraceOfID(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/traces/0af7" {
			w.WriteHeader(http.StatusNotFound)
		}
		_ = json.NewEncoder(w).Encode(admin.Traced{EndpointID: "os::1", Exchange: admin.Exchange{TraceID: "0af7", Message: "Get", CWMP: []admin.CWMPCall{{RPC: "GetParameterValues", Session: "S1"}}}})
	}))
	defer s.Close()
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"0af7"}, "session S1"}, {[]string{"--json", "0af7"}, `"endpoint_id": "os::1"`}, {[]string{"0af8"}, ""},
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), append([]string{"trace", "--admin", s.URL}, tt.args...), &stdout, &stderr, nil)
		if code == exitFine != (tt.want != "") || !strings.Contains(stdout.String(), tt.want) || tt.want != "" && !strings.Contains(stdout.String(), "os::1") {
			t.Errorf("%v: exit code %d, %s%s", tt.args, code, stdout.String(), stderr.String())
		}
	}
}
