package translate

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"isthmus/cwmp"
	"isthmus/store"
	"isthmus/usp"
)

// TestForget: nothing of the device is left, in memory or on disk; who writes late is told; the CPE is met for the first time again.
func TestForget(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	if err := w.p.Forget(t.Context(), "ops::none"); !errors.Is(err, ErrNoDevice) {
		t.Errorf("no such device: %v", err)
	}
	_, err := w.set(id, "Device.WiFi.SSID.1.", map[string]string{"SSID": "mine"})
	w.must(err)
	w.must(c.WaitIdle(w.in(deadline)))
	w.over(id)
	d, err := w.p.find(id)
	w.must(err)
	w.must(w.p.Forget(w.in(deadline), id))
	if _, ok := w.p.Device(id); ok || w.p.Len() != 0 {
		t.Error("the device is there still")
	}
	for _, kind := range []store.Kind{store.Head, store.Snapshot, store.Inform, store.Row, store.Notification, store.Operation, store.Journal, store.Attributes, store.Alias, store.Secret} {
		for item, err := range w.p.store.List(t.Context(), string(id), kind) {
			t.Errorf("left: %v, %v", item.Key, err)
		}
	}
	if err := d.putHead(t.Context()); !errors.Is(err, store.ErrFenced) {
		t.Errorf("a late write: %v", err)
	}
	if _, ok := w.p.Do(t.Context(), id, "proto::c", nil); ok {
		t.Error("the Agent answers still")
	}
	c.Inform("2 PERIODIC")
	w.must(c.WaitIdle(w.in(deadline)))
	w.over(id)
	now, err := w.p.find(id)
	w.must(err)
	if now == d {
		t.Error("the CPE was not met anew")
	}
	w.want(id, ssid, "mine")
}

func TestForgetInSession(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	hold := make(chan struct{})
	done := make(chan error, 1)
	d, err := w.p.find(id)
	w.must(err)
	begun := make(chan struct{})
	go func() {
		done <- d.do(context.Background(), &job{talk: func(context.Context, cwmp.Caller) error { close(begun); <-hold; return nil }})
	}()
	<-begun
	if err := w.p.Forget(t.Context(), id); !errors.Is(err, ErrInSession) {
		t.Errorf("in a session: %v", err)
	}
	close(hold)
	w.must(<-done)
	w.must(c.WaitIdle(w.in(deadline)))
}

// TestQuarantineByHand: while it lasts nothing is read or written, a restart does not end it, an operator does.
func TestQuarantineByHand(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxAge = 0; o.ConnectionRequest.Timeout = 300 * time.Millisecond })
	c, id := w.boot(nil)
	w.over(id)
	w.must(w.p.Quarantine(t.Context(), id, true))
	w.must(w.p.Quarantine(t.Context(), id, true))
	s, _ := w.p.Device(id)
	if !strings.Contains(s.Quarantine, "an operator") {
		t.Errorf("%q", s.Quarantine)
	}
	if _, err := w.set(id, "Device.WiFi.SSID.1.", map[string]string{"SSID": "mine"}); err == nil {
		t.Error("a CPE in quarantine was written to")
	}
	n := len(c.Calls("GetParameterValues")) + len(c.Calls("SetParameterValues"))
	c.Inform("2 PERIODIC")
	w.must(c.WaitIdle(w.in(deadline)))
	if got := len(c.Calls("GetParameterValues")) + len(c.Calls("SetParameterValues")); got != n {
		t.Error("a CPE in quarantine was served")
	}
	w.must(w.p.Quarantine(t.Context(), id, false))
	_, err := w.set(id, "Device.WiFi.SSID.1.", map[string]string{"SSID": "mine"})
	w.must(err)
}

func TestAsk(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	w.over(id)
	n := c.Sessions()
	w.must(w.p.Ask(w.in(deadline), id))
	w.must(c.WaitIdle(w.in(deadline)))
	if c.Sessions() != n+1 {
		t.Errorf("%d sessions, want one more than %d", c.Sessions(), n)
	}
	w.must(w.p.Refresh(t.Context(), id))
	var e *usp.Error
	if err := w.p.Ask(t.Context(), "ops::none"); !errors.Is(err, ErrNoDevice) || errors.As(err, &e) {
		t.Errorf("no such device: %v", err)
	}
}
