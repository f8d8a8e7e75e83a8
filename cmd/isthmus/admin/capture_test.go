package admin

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// fakeCaptures captures one device.
type fakeCaptures struct {
	id string
	d  time.Duration
}

func (f *fakeCaptures) StartCapture(id string, d time.Duration) (time.Time, error) {
	switch {
	case id == "os::none":
		return time.Time{}, ErrNoDevice
	case f.id != "" && f.id != id:
		return time.Time{}, errors.New("too many")
	}
	f.id, f.d = id, d
	return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), nil
}

func (f *fakeCaptures) Captured(id string, after int) (*Capture, bool) {
	return &Capture{Dropped: after, Messages: []Message{{Seq: after + 1, Body: "<a>"}}}, id == f.id
}

func (f *fakeCaptures) StopCapture(id string) bool {
	had := f.id == id
	f.id = ""
	return had
}

func TestCapture(t *testing.T) {
	f := &fakeCaptures{}
	url := start(t, Options{Captures: f}) + "/api/v1/devices/"
	const one, other = "os::001122-3/capture", "os::001122-4/capture"
	for _, tt := range []struct {
		method, path string
		status       int
		want         string
		d            time.Duration // of the capture under way, 0 if there is none
	}{
		{"GET", one, 404, `{"error":"no capture of this device: start one with POST"}`, 0},
		{"DELETE", one, 404, `{"error":`, 0},
		{"POST", one + "?for=2h", 400, `{"error":`, 0},
		{"POST", one + "?for=-1m", 400, `{"error":`, 0},
		{"POST", one + "?for=soon", 400, `{"error":`, 0},
		{"POST", "os::none/capture", 404, `{"error":"no device`, 0},
		{"POST", one, 200, `{"until":"2026-01-02T03:04:05Z","dropped":0,"messages":[]}`, defaultCapture},
		{"POST", one + "?for=1h", 200, `{"until":`, time.Hour},
		{"POST", other, 409, `{"error":"too many"}`, time.Hour},
		{"GET", one, 200, `"messages":[{"seq":1,`, time.Hour},
		{"GET", one + "?after=41", 200, `"seq":42,"time":"0001-01-01T00:00:00Z","from_cpe":false,"remote":"","headers":null,"body":"<a>"`, time.Hour},
		{"GET", one + "?after=x", 400, `{"error":`, time.Hour},
		{"GET", one + "?after=-1", 400, `{"error":`, time.Hour},
		{"PUT", one, 405, `{"error":`, time.Hour},
		{"DELETE", one, 200, `{}`, 0},
	} {
		status, text := send(t, tt.method, url+tt.path, nil)
		if status != tt.status || !strings.Contains(text, tt.want) || f.id != "" != (tt.d != 0) || f.id != "" && f.d != tt.d {
			t.Errorf("%s %s: %d %s, want %d …%s…", tt.method, tt.path, status, text, tt.status, tt.want)
		}
	}
	for _, method := range []string{"POST", "DELETE"} {
		if status, _ := send(t, method, url+one, nil, "Origin", "http://example.org"); status != 403 {
			t.Errorf("%s for another site: %d", method, status)
		}
	}
}
