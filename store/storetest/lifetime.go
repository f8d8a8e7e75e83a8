package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"isthmus/store"
)

func testContext(t *testing.T, f *fixture) {
	f.put(op("a", store.Head, "", "x"))
	f.put(op("b", store.Head, "", "x"))
	l := f.lease("a")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for _, err := range f.All(ctx, store.Head) {
		if n++; n == 2 && !errors.Is(err, context.Canceled) {
			t.Errorf("iteration goes on after its context: %v", err)
		}
		cancel()
	}
	if n != 2 {
		t.Errorf("%d steps, want 2", n)
	}
	_, get := f.Get(ctx, store.Key{Device: "a", Kind: store.Head})
	_, fleet := f.Fleet(ctx, "x")
	for name, err := range map[string]error{
		"Get": get, "Fleet": fleet, "Write": f.Write(ctx, l, op("a", store.Head, "", "y")), "PutFleet": f.PutFleet(ctx, "x", nil, []byte("x")),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want context.Canceled", name, err)
		}
	}
	f.want(store.Key{Device: "a", Kind: store.Head}, "x")
}

func testReopen(t *testing.T, f *fixture) {
	for i := range 50 {
		device := fmt.Sprint("os::", i)
		for _, kind := range kinds {
			f.put(op(device, kind, "1", "old"), op(device, kind, "2", "gone"))
		}
		for _, kind := range kinds {
			f.put(op(device, kind, "1", "new"), del(device, kind, "2"))
		}
	}
	if err := f.PutFleet(t.Context(), "shape", nil, []byte("s")); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f.Store = f.reopen()
	for _, kind := range kinds {
		if got := f.all(f.All(t.Context(), kind)); len(got) != 50 {
			t.Errorf("kind %c: %d records, want 50", kind, len(got))
		}
		f.want(store.Key{Device: "os::7", Kind: kind, ID: "1"}, "new")
		f.wantNone(store.Key{Device: "os::7", Kind: kind, ID: "2"})
		f.put(op("os::7", kind, "1", "newer"))
		f.want(store.Key{Device: "os::7", Kind: kind, ID: "1"}, "newer")
	}
	if got, err := f.Fleet(t.Context(), "shape"); err != nil || string(got) != "s" {
		t.Errorf("Fleet = %q, %v", got, err)
	}
}

func testClosed(t *testing.T, f *fixture) {
	l := f.lease("a")
	if err := f.Ready(); err != nil {
		t.Errorf("Ready: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	_, get := f.Get(ctx, store.Key{Device: "a", Kind: store.Head})
	_, fleet := f.Fleet(ctx, "x")
	_, acquire := f.Acquire(ctx, 0)
	errs := map[string]error{"Get": get, "Fleet": fleet, "Acquire": acquire, "Ready": f.Ready(), "Close": f.Close(), "PutFleet": f.PutFleet(ctx, "x", nil, []byte("x"))}
	for _, err := range f.All(ctx, store.Head) {
		errs["All"] = err
	}
	for _, err := range f.List(ctx, "a", store.Head) {
		errs["List"] = err
	}
	if len(errs) != 8 {
		t.Errorf("an iteration of a closed store gives nothing")
	}
	for name, err := range errs {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", name, err)
		}
	}
	if err := f.Write(ctx, l, op("a", store.Head, "", "x")); err == nil {
		t.Error("Write to a closed store succeeds")
	}
}

// testCloseWhileUsed closes a store under readers, writers and an iteration that never ends by itself.
func testCloseWhileUsed(t *testing.T, f *fixture) {
	f.put(op("a", store.Head, "", "x"))
	f.put(op("b", store.Head, "", "x"))
	l := f.lease("a")
	var begun, ended sync.WaitGroup
	begun.Add(2)
	ended.Go(func() {
		var once sync.Once
		for {
			err := f.Write(t.Context(), l, op("a", store.Row, "1", "x"), op("a", store.Snapshot, "", "x"))
			once.Do(begun.Done)
			if err != nil {
				return
			}
		}
	})
	ended.Go(func() {
		var once sync.Once
		for {
			for _, err := range f.All(t.Context(), store.Head) {
				once.Do(begun.Done)
				if err != nil {
					if !errors.Is(err, store.ErrClosed) {
						t.Errorf("iteration: %v, want ErrClosed", err)
					}
					return
				}
			}
		}
	})
	begun.Wait()
	if err := f.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	ended.Wait()
}

func testConcurrent(t *testing.T, f *fixture) {
	const devices, writes = 16, 20
	var wg sync.WaitGroup
	var seen atomic.Int64
	for i := range devices {
		device := fmt.Sprint("os::", i)
		l := f.lease(device)
		wg.Go(func() {
			for n := range writes {
				v := fmt.Sprint(n)
				if err := f.Write(t.Context(), l, op(device, store.Head, "", v), op(device, store.Snapshot, "", v)); err != nil {
					t.Error(err)
					return
				}
				for _, kind := range []store.Kind{store.Head, store.Snapshot} {
					got, err := f.Get(t.Context(), store.Key{Device: device, Kind: kind})
					if err != nil || string(got) != v {
						t.Errorf("read after write: %q, %v, want %q", got, err, v)
						return
					}
					seen.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if seen.Load() != 2*devices*writes {
		t.Errorf("%d of %d writes were seen", seen.Load(), 2*devices*writes)
	}
}
