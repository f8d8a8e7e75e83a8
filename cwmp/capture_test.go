package cwmp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// captured is what is captured of testInform's CPE, a line a message.
func captured(t *testing.T, sv *Server) (lines []string) {
	t.Helper()
	c, ok := sv.Captured(testInform().DeviceId, 0)
	if !ok {
		t.Fatal("nothing is captured")
	}
	for _, m := range c.Messages {
		what := fmt.Sprintf("%d %s %s", m.Seq, m.Method, m.Path)
		if !m.FromCPE {
			what = fmt.Sprintf("%d %d", m.Seq, m.Status)
		}
		if e, err := Decode([]byte(m.Body), ""); err == nil && e.Body != nil {
			what += " " + e.Body.Name()
		}
		if m.Note != "" {
			what += ": " + m.Note
		}
		lines = append(lines, what)
	}
	return lines
}

// TestCapture: a session is captured in both directions, from the POST on that comes first; that of another CPE is not; no secret is in it.
func TestCapture(t *testing.T) {
	const secret = "Geheim-Nr1"
	h := &acs{run: func(ctx context.Context, s *Session) {
		_, err := Call(ctx, s, &SetParameterValues{ParameterList: []ParameterValueStruct{
			{Name: "Device.X.Password", Value: secret}, {Name: "Device.X.Enable", Value: "true", Type: "boolean"}}})
		if f := (*Fault)(nil); !errors.As(err, &f) || !strings.Contains(f.String, secret) {
			t.Error(err)
		}
		_, _ = s.Call(ctx, &GetRPCMethods{}) // which is answered by garbage
	}}
	sv, addr := start(t, h, &ServerOptions{Secret: password, Auth: &Auth{Scheme: Basic, Username: "u", Password: secret, Identity: func(DeviceID) string { return "" }}})
	id := testInform().DeviceId
	if _, ok := sv.Captured(id, 0); ok || sv.EndCapture(id) {
		t.Error("captured unasked")
	}
	if _, err := sv.Capture(id, time.Minute); err != nil {
		t.Fatal(err)
	}
	another := testInform()
	another.DeviceId.SerialNumber = "S2"
	authorization := "SOAPAction: \"\"\r\nUser-Agent: box\r\nX-Odd: " + secret + "\r\nAuthorization: Basic dTpHZWhlaW0tTnIx\r\n"

	c := dial(t, addr)
	c.header = authorization
	for _, m := range []RPC{another, testInform()} {
		c.post("1", m).want(t, "InformResponse")
	}
	c.header = "Cookie: s=" + secret + "\r\n"
	c.empty().want(t, "SetParameterValues")
	c.post("1", &Fault{Code: FaultInvalidArguments, String: "not " + secret}).want(t, "GetRPCMethods")
	c.send([]byte("<" + secret))
	c.receive().wantStatus(t, http.StatusBadRequest)

	got := strings.Join(captured(t, sv), "\n")
	want := "1 POST /acs Inform\n2 200 InformResponse\n3 POST /acs\n4 200 SetParameterValues\n5 POST /acs Fault\n6 200 GetRPCMethods\n" +
		"7 POST /acs: the body is no SOAP message, so that nobody knows what in it is secret\n8 400"
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	all, _ := sv.Captured(id, 0)
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{secret, "dTpH", `s=`, `X-Odd`} {
		if strings.Contains(string(text), s) {
			t.Errorf("%s is shown: %s", s, text)
		}
	}
	first, answer := all.Messages[0].Header, all.Messages[1].Header
	if first["Authorization"] != "Basic [cut]" || first["User-Agent"] != "box" || first["Soapaction"] != `""` || answer["Set-Cookie"] != "[cut]" ||
		!strings.Contains(all.Messages[3].Body, "Device.X.Enable") {
		t.Errorf("%+v", all.Messages)
	}
	if rest, _ := sv.Captured(id, 6); len(rest.Messages) != 2 || rest.Messages[0].Seq != 7 {
		t.Errorf("after 6: %+v", rest.Messages)
	}
	if rest, ok := sv.Captured(id, 1000); len(rest.Messages) != 0 || !ok {
		t.Errorf("after 1000: %+v", rest.Messages)
	}
	if !sv.EndCapture(id) || sv.captures.all.Load() != nil {
		t.Error("not forgotten")
	}
}

// TestCaptureBounds: a capture has an end, after which it is forgotten; there are so many at a time, and each has so many bytes.
func TestCaptureBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sv := NewServer(&acs{}, &ServerOptions{Logger: quiet})
		id := func(n int) DeviceID { return DeviceID{OUI: "00AA11", SerialNumber: fmt.Sprint(n)} }
		for n := range MaxCaptures {
			if until, err := sv.Capture(id(n), time.Duration(n+1)*time.Minute); err != nil || time.Until(until) != time.Duration(n+1)*time.Minute {
				t.Fatal(until, err)
			}
		}
		if _, err := sv.Capture(id(100), 1); !errors.Is(err, ErrCaptures) {
			t.Error(err)
		}
		if all := sv.Capturing(); len(all) != MaxCaptures || !slices.Contains(all, id(0)) {
			t.Error("under way:", all)
		}
		if until, err := sv.Capture(id(7), 100*MaxCapture); err != nil || time.Until(until) != MaxCapture {
			t.Error("the longest:", until, err)
		}
		time.Sleep(2*time.Minute + 1)
		if all := sv.Capturing(); len(all) != MaxCaptures-2 || slices.Contains(all, id(0)) {
			t.Error("under way still:", all)
		}
		if _, err := sv.Capture(id(101), time.Minute); err != nil {
			t.Error("one that has ended did not give way:", err)
		}
		if _, ok := sv.Captured(id(0), 0); ok {
			t.Error("it was not the oldest")
		}
		c := sv.captures.find(id(7))
		for range 10 {
			c.add(CapturedMessage{Time: time.Now(), Body: strings.Repeat("x", captureSize/4)})
		}
		if got, _ := sv.Captured(id(7), 0); len(got.Messages) != 3 || got.Dropped != 7 || got.Messages[0].Seq != 8 {
			t.Errorf("%d messages, %d dropped", len(got.Messages), got.Dropped)
		}
		c.add(CapturedMessage{Time: time.Now().Add(2 * MaxCapture)})
		if got, _ := sv.Captured(id(7), 10); len(got.Messages) != 0 {
			t.Error("captured after the end")
		}
		time.Sleep(captureKept + MaxCapture)
		synctest.Wait()
		if sv.captures.all.Load() != nil {
			t.Error("kept for ever")
		}
		if _, err := sv.Capture(id(1), time.Minute); err != nil {
			t.Error(err)
		}
		if err := sv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := sv.Capture(id(1), time.Minute); !errors.Is(err, ErrCaptures) || sv.captures.all.Load() != nil {
			t.Error("captured after Shutdown:", err)
		}
	})
}

// TestCaptureHeld: of a POST that was held when the capture began the answer is in it.
func TestCaptureHeld(t *testing.T) {
	held, goOn := make(chan struct{}), make(chan struct{})
	h := &acs{run: func(ctx context.Context, s *Session) {
		close(held)
		<-goOn
		_, _ = s.Call(ctx, &GetRPCMethods{})
	}}
	sv, addr := start(t, h, nil)
	c := dial(t, addr)
	c.inform("1")
	c.send(nil)
	<-held
	if _, err := sv.Capture(testInform().DeviceId, time.Minute); err != nil {
		t.Fatal(err)
	}
	close(goOn)
	c.receive().want(t, "GetRPCMethods")
	c.post("1", &GetRPCMethodsResponse{}).wantStatus(t, http.StatusNoContent)
	if err := h.end(t); err != nil {
		t.Error(err)
	}
	if got := strings.Join(captured(t, sv), "; "); got != "1 200 GetRPCMethods; 2 POST /acs GetRPCMethodsResponse; 3 204" {
		t.Error(got)
	}
}

// TestCaptureLarge: a body that was refused, or is too large to be shown, is told by its size.
func TestCaptureLarge(t *testing.T) {
	h := &acs{run: func(ctx context.Context, s *Session) {
		_, _ = s.Call(ctx, &GetParameterValues{ParameterNames: []string{"Device."}})
	}}
	sv, addr := start(t, h, &ServerOptions{MaxBody: 4 << 20})
	if _, err := sv.Capture(testInform().DeviceId, time.Minute); err != nil {
		t.Fatal(err)
	}
	c := dial(t, addr)
	c.inform("1")
	c.empty().want(t, "GetParameterValues")
	answer := &GetParameterValuesResponse{ParameterList: []ParameterValueStruct{{Name: "Device.A", Value: strings.Repeat("x", captureMessage)}}}
	c.post("1", answer).wantStatus(t, http.StatusNoContent)
	if err := h.end(t); err != nil {
		t.Error(err)
	}
	got := captured(t, sv)
	if len(got) != 6 || got[4] != "5 POST /acs: the body is too large to be shown" || got[5] != "6 204" {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
	if m, _ := sv.Captured(testInform().DeviceId, 4); m.Messages[0].Size < captureMessage {
		t.Error(m.Messages[0].Size)
	}
}
