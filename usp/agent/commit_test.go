package agent

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"isthmus/usp"
)

// small is a Keeper that refuses what one with a bound on its transactions does.
type small struct {
	*testing.T
	Keeper
}

func (s small) Commit(ctx context.Context, changes []Record) error {
	size := 0
	for _, r := range changes {
		size += r.size()
	}
	if size > maxCommit || len(changes) > maxCommitRecords {
		s.Errorf("%d records with %d bytes at once", len(changes), size)
	}
	return s.Keeper.Commit(ctx, changes)
}

// TestBurst has more happen at once than a Controller is told of, and than can be kept at once: the newest notifications stay, and those
// with NotifRetry before those without.
func TestBurst(t *testing.T) {
	r := newRig(t)
	r.a.keeper = small{t, r.keep}
	r.a.Down(r.w, nil)
	w := newWire(ctl2)
	r.a.Up(w)
	r.w = w
	r.next()
	subscribe := func(refs string, retry string, n int) {
		var rows []obj
		for i := range n {
			rows = append(rows, subscription(valueChange, refs, req("NotifRetry", retry), req("ID", fmt.Sprint(retry, i))))
		}
		r.send(ctl2, usp.NewRequest("add", addReq(false, rows...)))
		if decode(t, r.next()).GetBody().GetResponse() == nil {
			t.Fatal("no Subscriptions")
		}
	}
	subscribe("Device.X.", "true", 400)
	subscribe("Device.X.", "false", 400)
	r.a.Down(w, nil)
	var hs []Happening
	for i := range 50 {
		hs = append(hs, &ValueChange{Path: fmt.Sprintf("Device.X.Row.%d.ID", i+1), Value: strings.Repeat("v", 4096)})
	}
	hs = append(hs, &ValueChange{Path: "Device.X.Row.1.Ref", Value: strings.Repeat("v", 1<<20)})
	if err := r.a.Raise(t.Context(), hs...); err != nil {
		t.Fatal(err)
	}
	if n := r.keep.count(NotificationRecord); n > maxPending || n < maxPending/2 {
		t.Errorf("%d notifications are kept", n)
	}
	r.a.mu.Lock()
	for _, n := range r.a.st.queues[ctl2].notes {
		if !n.Retry {
			t.Error("one without NotifRetry is kept rather than one with it")
		}
	}
	r.a.mu.Unlock()
	if err := r.a.Reset(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestTooMuchAtOnce adds what is within every limit but the Keeper's.
func TestTooMuchAtOnce(t *testing.T) {
	r := newRig(t)
	r.a.keeper = small{t, r.keep}
	var rows []obj
	for i := range 150 {
		rows = append(rows, subscription(valueChange, strings.Repeat("Device.X.,", 800)+"Device.X.", req("ID", fmt.Sprint(i))))
	}
	wantError(t, r.ask(addReq(false, rows...)), usp.ResourcesExceeded, "Device.LocalAgent.Subscription. 7005")
	for range 3 {
		if r.ask(addReq(false, rows[:50]...)).GetResponse() == nil {
			t.Error("fewer are refused as well")
		}
		rows = rows[50:]
	}
}
