//go:build unix

package main

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"isthmus/cmd/isthmus/config"
	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
)

// receiver is a receiver of OTLP over HTTP.
func receiver(t *testing.T) (url string, spans <-chan *otlp.Span) {
	t.Helper()
	ch := make(chan *otlp.Span, 4096)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(body)
			if err != nil {
				t.Error(err)
				return
			}
			body = z
		}
		b, err := io.ReadAll(body)
		var req collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(b, &req)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		for _, resource := range req.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				for _, s := range scope.GetSpans() {
					ch <- s
				}
			}
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, ch
}

// traced collects the spans of traces. The root of a trace comes last.
type traced struct {
	spans <-chan *otlp.Span
	below map[string][]*otlp.Span // by the hexadecimal ID of the parent
}

// root waits for the root span of a name.
func (c *traced) root(t *testing.T, name string) *otlp.Span {
	t.Helper()
	for ctx := deadline(t); ; {
		select {
		case s := <-c.spans:
			if s.GetName() == name && len(s.GetParentSpanId()) == 0 {
				return s
			}
			parent := hex.EncodeToString(s.GetParentSpanId())
			c.below[parent] = append(c.below[parent], s)
		case <-ctx.Done():
			t.Fatalf("no trace of %s", name)
		}
	}
}

// child is the only span of a name below another, and in its time.
func (c *traced) child(t *testing.T, parent *otlp.Span, name string) *otlp.Span {
	t.Helper()
	var found []*otlp.Span
	for _, s := range c.below[hex.EncodeToString(parent.GetSpanId())] {
		if strings.HasPrefix(s.GetName(), name) {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d spans %s below %v", len(found), name, parent)
	}
	s := found[0]
	if s.GetStartTimeUnixNano() < parent.GetStartTimeUnixNano() || s.GetEndTimeUnixNano() > parent.GetEndTimeUnixNano() || s.GetEndTimeUnixNano() < s.GetStartTimeUnixNano() {
		t.Errorf("%v is not within %v", s, parent)
	}
	if !bytes.Equal(s.GetTraceId(), parent.GetTraceId()) {
		t.Errorf("%v is of another trace than %v", s, parent)
	}
	return s
}

// TestOTLP: a request is a trace: below it the time in the queue with the Connection Request, and the CWMP session with the RPC. The same trace is an
// exemplar of the metrics, and one of the device's. A refusal of the CPE is the error of its span. No value of a parameter is in a span.
func TestOTLP(t *testing.T) {
	url, spans := receiver(t)
	b := newBed(t, func(c *config.Config) { c.Telemetry.OTLPEndpoint = url })
	p := &peer{ctx: deadline(t), agent: b.next}
	c := &traced{spans: spans, below: map[string][]*otlp.Span{}}

	nextMoment()
	p.has(t, get(live), live+" = "+b.good.Value(live))
	root := c.root(t, "USP Get")
	c.child(t, c.child(t, root, "queue of the CPE"), "Connection Request")
	rpc := c.child(t, c.child(t, root, "CWMP session"), "GetParameterValues")
	if rpc.GetKind() != otlp.Span_SPAN_KIND_CLIENT || root.GetStatus().GetCode() == otlp.Status_STATUS_CODE_ERROR {
		t.Errorf("%v below %v", rpc, root)
	}
	id := hex.EncodeToString(root.GetTraceId())
	req, err := http.NewRequestWithContext(p.ctx, http.MethodGet, "http://"+b.listeners.admin.Addr().String()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/openmetrics-text")
	resp, err := scrape.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(text), `# {trace_id="`+id+`"}`) {
		t.Errorf("no exemplar %s in the metrics: %v", id, err)
	}
	exchanges, _ := fleet{b.proxy}.Trace(string(b.next.EndpointID()))
	if len(exchanges) == 0 || exchanges[0].TraceID != id || exchanges[0].CWMP[0].Session != "" || exchanges[0].CWMP[1].Session == "" {
		t.Errorf("the device has %+v, want the trace %s", exchanges, id)
	}

	if device, ok := (fleet{b.proxy}).Traced(id); !ok || device != string(b.next.EndpointID()) {
		t.Errorf("the trace is of %q", device)
	}
	for _, unknown := range []string{"", id[1:], "x" + id[1:], strings.Repeat("f", len(id))} {
		if device, ok := (fleet{b.proxy}).Traced(unknown); ok {
			t.Errorf("%s is of %s", unknown, device)
		}
	}

	b.good.SetFaults(cpe.Faults{SetFault: map[string]cwmp.FaultCode{ssid: cwmp.FaultRequestDenied}})
	const secret = "a value that nobody sees"
	if _, err := p.try(set("Device.WiFi.SSID.1.", "SSID", secret)); err == nil {
		t.Error("the CPE did not refuse")
	}
	root = c.root(t, "USP Set")
	rpc = c.child(t, c.child(t, root, "CWMP session"), "SetParameterValues")
	if status := rpc.GetStatus(); status.GetCode() != otlp.Status_STATUS_CODE_ERROR || !strings.HasPrefix(status.GetMessage(), "fault 900") {
		t.Errorf("the RPC has %v", status)
	}
	for _, list := range c.below {
		for _, s := range append(list, root) {
			if strings.Contains(s.String(), secret) {
				t.Errorf("a value is in %v", s)
			}
		}
	}
}
