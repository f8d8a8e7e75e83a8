// Package storetest is what every store.Store must pass.
package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"isthmus/store"
)

// Open opens a store in dir, with what an earlier one has left there, or fails t.
type Open func(t *testing.T, dir string) store.Store

// Run runs the suite, each test in a directory of its own.
func Run(t *testing.T, open Open) {
	for _, tt := range []struct {
		name string
		test func(*testing.T, *fixture)
	}{
		{"Get", testGet},
		{"Order", testOrder},
		{"NamesDoNotMix", testNames},
		{"AllOrNothing", testAllOrNothing},
		{"SnapshotIsolation", testSnapshot},
		{"EarlyStop", testEarlyStop},
		{"ReadsInsideIteration", testNested},
		{"Fencing", testFencing},
		{"BadKeys", testBadKeys},
		{"TooBig", testTooBig},
		{"Fleet", testFleet},
		{"FleetRace", testFleetRace},
		{"Context", testContext},
		{"Reopen", testReopen},
		{"Closed", testClosed},
		{"CloseWhileUsed", testCloseWhileUsed},
		{"Concurrent", testConcurrent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			f := &fixture{T: t, Store: open(t, dir), reopen: func() store.Store { return open(t, dir) }}
			t.Cleanup(func() {
				if err := f.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
					t.Errorf("Close: %v", err)
				}
			})
			tt.test(t, f)
		})
	}
}

type fixture struct {
	*testing.T
	store.Store
	reopen func() store.Store
}

func (f *fixture) lease(device string) store.Lease {
	f.Helper()
	l, err := f.Acquire(f.Context(), store.Shard(device))
	if err != nil {
		f.Fatalf("Acquire: %v", err)
	}
	return l
}

func (f *fixture) put(ops ...store.Op) {
	f.Helper()
	if err := f.Write(f.Context(), f.lease(ops[0].Key.Device), ops...); err != nil {
		f.Fatalf("Write: %v", err)
	}
}

func (f *fixture) want(key store.Key, value string) {
	f.Helper()
	got, err := f.Get(f.Context(), key)
	if err != nil || string(got) != value {
		f.Errorf("Get(%v) = %q, %v, want %q", key, got, err, value)
	}
}

func (f *fixture) wantNone(key store.Key) {
	f.Helper()
	if got, err := f.Get(f.Context(), key); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("Get(%v) = %q, %v, want ErrNotFound", key, got, err)
	}
}

// all gives what an iteration finds, as "device/ID=value".
func (f *fixture) all(seq func(func(store.Item, error) bool)) []string {
	f.Helper()
	var found []string
	for item, err := range seq {
		if err != nil {
			f.Fatalf("iteration: %v", err)
		}
		found = append(found, fmt.Sprintf("%s/%s=%s", item.Key.Device, item.Key.ID, item.Value))
	}
	return found
}

func op(device string, kind store.Kind, id, value string) store.Op {
	return store.Op{Key: store.Key{Device: device, Kind: kind, ID: id}, Value: []byte(value)}
}

func del(device string, kind store.Kind, id string) store.Op {
	return store.Op{Key: store.Key{Device: device, Kind: kind, ID: id}}
}

var kinds = []store.Kind{store.Head, store.Snapshot, store.Inform, store.Row, store.Notification, store.Operation, store.Journal, store.Alias, store.Secret}

func testGet(t *testing.T, f *fixture) {
	const device = "os::012345-A"
	for _, kind := range kinds {
		key := store.Key{Device: device, Kind: kind}
		f.wantNone(key)
		f.put(op(device, kind, "", string(kind)+"1"))
		f.want(key, string(kind)+"1")
		f.put(op(device, kind, "", ""))
		f.want(key, "")
	}
	for _, kind := range kinds {
		f.want(store.Key{Device: device, Kind: kind}, "")
		f.put(del(device, kind, ""))
		f.wantNone(store.Key{Device: device, Kind: kind})
		f.put(del(device, kind, ""))
	}
	value := []byte("mine")
	key := store.Key{Device: device, Kind: store.Head}
	f.put(store.Op{Key: key, Value: value})
	value[0] = 'X'
	f.want(key, "mine")
	got, err := f.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	got[0] = 'X'
	f.want(key, "mine")
	f.put(op(device, store.Head, "", "first"), del(device, store.Head, ""), op(device, store.Head, "", "last"))
	f.want(key, "last")
	if err := f.Write(t.Context(), f.lease(device)); err != nil {
		t.Errorf("Write of nothing: %v", err)
	}
}

func testOrder(t *testing.T, f *fixture) {
	for _, device := range []string{"b", "a", "c"} {
		for _, id := range []string{"2", "10", "1"} {
			f.put(op(device, store.Notification, id, device), op(device, store.Row, id, "row"))
		}
	}
	want := []string{"a/1=a", "a/10=a", "a/2=a"}
	if diff := cmp.Diff(want, f.all(f.List(t.Context(), "a", store.Notification))); diff != "" {
		t.Errorf("List (-want +got):\n%s", diff)
	}
	if got := f.all(f.List(t.Context(), "d", store.Notification)); got != nil {
		t.Errorf("List of an unknown device = %q", got)
	}
	if got := f.all(f.All(t.Context(), store.Operation)); got != nil {
		t.Errorf("All of a kind that nobody has = %q", got)
	}
	var last store.Key
	n := 0
	for item, err := range f.All(t.Context(), store.Notification) {
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Compare(last.Append(nil), item.Key.Append(nil)) >= 0 && n > 0 {
			t.Errorf("All gives %v after %v", item.Key, last)
		}
		last = item.Key
		n++
	}
	if n != 9 {
		t.Errorf("All gives %d records, want 9", n)
	}
}

func testNames(t *testing.T, f *fixture) {
	// Each begins with the one before it.
	devices := []string{"a", "ab", "ab/", "ab/c", "ab/c%00"}
	for _, device := range devices {
		f.put(op(device, store.Row, "", device), op(device, store.Row, "b\x00/", device))
	}
	for _, device := range devices {
		want := []string{device + "/=" + device, device + "/b\x00/=" + device}
		if diff := cmp.Diff(want, f.all(f.List(t.Context(), device, store.Row))); diff != "" {
			t.Errorf("List(%q) (-want +got):\n%s", device, diff)
		}
	}
}

// testAllOrNothing reads both records of a write over and over while they are written.
func testAllOrNothing(t *testing.T, f *fixture) {
	const device, rounds = "os::pair", 200
	for _, kind := range []store.Kind{store.Row, store.Snapshot} {
		done := make(chan error, 1)
		go func() {
			l, err := f.Acquire(t.Context(), store.Shard(device))
			for i := 0; i < rounds && err == nil; i++ {
				v := fmt.Sprint(i)
				err = f.Write(t.Context(), l, op(device, kind, "x", v), op(device, kind, "y", v))
			}
			done <- err
		}()
		for running := true; running; {
			select {
			case err := <-done:
				if err != nil {
					t.Fatal(err)
				}
				running = false
			default:
			}
			var values []string
			for item, err := range f.List(t.Context(), device, kind) {
				if err != nil {
					t.Fatal(err)
				}
				values = append(values, string(item.Value))
			}
			if len(values) == 1 || len(values) == 2 && values[0] != values[1] {
				t.Fatalf("kind %c: half a write is visible: %q", kind, values)
			}
		}
	}
}

func testSnapshot(t *testing.T, f *fixture) {
	const device = "os::snapshot"
	for _, id := range []string{"1", "2", "3"} {
		f.put(op(device, store.Row, id, "old"))
	}
	var got []string
	for item, err := range f.List(t.Context(), device, store.Row) {
		if err != nil {
			t.Fatal(err)
		}
		if item.Key.ID == "1" {
			f.put(op(device, store.Row, "2", "new"), del(device, store.Row, "3"), op(device, store.Row, "4", "new"))
		}
		got = append(got, item.Key.ID+string(item.Value))
	}
	if diff := cmp.Diff([]string{"1old", "2old", "3old"}, got); diff != "" {
		t.Errorf("an iteration sees later writes (-want +got):\n%s", diff)
	}
	want := []string{device + "/1=old", device + "/2=new", device + "/4=new"}
	if diff := cmp.Diff(want, f.all(f.List(t.Context(), device, store.Row))); diff != "" {
		t.Errorf("List afterwards (-want +got):\n%s", diff)
	}
}

func testEarlyStop(t *testing.T, f *fixture) {
	for _, device := range []string{"a", "b", "c"} {
		f.put(op(device, store.Head, "", "x"))
	}
	seq := f.All(t.Context(), store.Head)
	for range 2 { // an iterator can be used again
		n := 0
		for _, err := range seq {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == 2 {
				break
			}
		}
		if n != 2 {
			t.Errorf("%d records before the stop, want 2", n)
		}
	}
}

func testNested(t *testing.T, f *fixture) {
	for _, device := range []string{"a", "b"} {
		f.put(op(device, store.Head, "", "old"))
	}
	for item, err := range f.All(t.Context(), store.Head) {
		if err != nil {
			t.Fatal(err)
		}
		f.want(item.Key, "old")
		f.put(op(item.Key.Device, store.Head, "", "new"))
		f.want(item.Key, "new")
	}
}

func testFencing(t *testing.T, f *fixture) {
	const device = "os::fenced"
	key := store.Key{Device: device, Kind: store.Head}
	other, err := f.Acquire(t.Context(), (store.Shard(device)+1)%store.Shards)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []store.Lease{other, nil} {
		if err := f.Write(t.Context(), l, op(device, store.Head, "", "x")); !errors.Is(err, store.ErrFenced) {
			t.Errorf("Write with the lease of another shard: %v, want ErrFenced", err)
		}
	}
	f.wantNone(key)
	l := f.lease(device)
	if !l.Valid() || l.Shard() != store.Shard(device) {
		t.Errorf("lease: valid %v, shard %d", l.Valid(), l.Shard())
	}
	select {
	case <-l.Lost():
		t.Error("a valid lease is lost")
	default:
	}
	for _, shard := range []int{-1, store.Shards} {
		if _, err := f.Acquire(t.Context(), shard); err == nil {
			t.Errorf("Acquire(%d) succeeds", shard)
		}
	}
	epoch := l.Epoch()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if l.Valid() {
		t.Error("the lease of a closed store is valid")
	}
	<-l.Lost()
	f.Store = f.reopen()
	if now := f.lease(device).Epoch(); now <= epoch {
		t.Errorf("epoch %d after %d", now, epoch)
	}
	if err := f.Write(t.Context(), l, op(device, store.Head, "", "x")); !errors.Is(err, store.ErrFenced) {
		t.Errorf("Write with an older lease: %v, want ErrFenced", err)
	}
}

func testBadKeys(t *testing.T, f *fixture) {
	long := string(bytes.Repeat([]byte("x"), store.MaxKey))
	for _, key := range []store.Key{{Kind: store.Head}, {Device: "a\x00b", Kind: store.Head}, {Device: "a", Kind: store.Row, ID: long}} {
		if _, err := f.Get(t.Context(), key); !errors.Is(err, store.ErrKey) {
			t.Errorf("Get(%.20v): %v, want ErrKey", key, err)
		}
		err := f.Write(t.Context(), f.lease(key.Device), store.Op{Key: key, Value: []byte("x")})
		if !errors.Is(err, store.ErrKey) {
			t.Errorf("Write(%.20v): %v, want ErrKey", key, err)
		}
	}
	for _, err := range f.List(t.Context(), "", store.Row) {
		if !errors.Is(err, store.ErrKey) {
			t.Errorf("List: %v, want ErrKey", err)
		}
	}
	err := f.Write(t.Context(), f.lease("a"), op("a", store.Row, "1", "x"), op("b", store.Row, "1", "x"))
	if !errors.Is(err, store.ErrKey) {
		t.Errorf("Write for two devices: %v, want ErrKey", err)
	}
	f.wantNone(store.Key{Device: "a", Kind: store.Row, ID: "1"})
}

func testTooBig(t *testing.T, f *fixture) {
	huge := string(make([]byte, 64<<20))
	for _, kind := range []store.Kind{store.Row, store.Snapshot} {
		err := f.Write(t.Context(), f.lease("a"), op("a", store.Head, "", "x"), op("a", kind, "1", huge))
		if !errors.Is(err, store.ErrTooBig) {
			t.Errorf("kind %c: %v, want ErrTooBig", kind, err)
		}
		f.wantNone(store.Key{Device: "a", Kind: store.Head})
	}
	if err := f.PutFleet(t.Context(), "a", nil, []byte(huge)); !errors.Is(err, store.ErrTooBig) {
		t.Errorf("PutFleet: %v, want ErrTooBig", err)
	}
	f.put(op("a", store.Head, "", "x"))
}

func testFleet(t *testing.T, f *fixture) {
	ctx := t.Context()
	if _, err := f.Fleet(ctx, "shape/1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Fleet: %v, want ErrNotFound", err)
	}
	for _, step := range []struct {
		old, value string
		none       bool // old is nil
		want       error
	}{
		{old: "", value: "one", want: store.ErrConflict},
		{none: true, value: "one"},
		{none: true, value: "two", want: store.ErrConflict},
		{old: "two", value: "three", want: store.ErrConflict},
		{old: "one", value: "two"},
	} {
		old := []byte(step.old)
		if step.none {
			old = nil
		}
		if err := f.PutFleet(ctx, "shape/1", old, []byte(step.value)); !errors.Is(err, step.want) {
			t.Errorf("PutFleet(%q, %q): %v, want %v", old, step.value, err, step.want)
		}
	}
	if got, err := f.Fleet(ctx, "shape/1"); err != nil || string(got) != "two" {
		t.Errorf("Fleet = %q, %v, want two", got, err)
	}
	if err := f.PutFleet(ctx, "shape/1", []byte("two"), nil); err != nil {
		t.Errorf("PutFleet(nil): %v", err)
	}
	if _, err := f.Fleet(ctx, "shape/1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Fleet after its end: %v, want ErrNotFound", err)
	}
	if err := f.PutFleet(ctx, "", nil, []byte("x")); !errors.Is(err, store.ErrKey) {
		t.Errorf("PutFleet without a name: %v, want ErrKey", err)
	}
}

// testFleetRace counts with compare-and-swap from several goroutines: no step may be lost.
func testFleetRace(t *testing.T, f *fixture) {
	const writers, each = 8, 10
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for done := 0; done < each; {
				old, err := f.Fleet(t.Context(), "count")
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					t.Error(err)
					return
				}
				switch err := f.PutFleet(t.Context(), "count", old, append(old[:len(old):len(old)], 'x')); {
				case err == nil:
					done++
				case !errors.Is(err, store.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if got, err := f.Fleet(t.Context(), "count"); err != nil || len(got) != writers*each {
		t.Errorf("counted %d, %v, want %d", len(got), err, writers*each)
	}
}
