package badger

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.uber.org/goleak"

	"isthmus/store"
	"isthmus/store/storetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

var quiet = slog.New(slog.DiscardHandler)

func open(t testing.TB, dir string, opts Options) *Store {
	t.Helper()
	opts.Logger = quiet
	s, err := Open(dir, &opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, dir string) store.Store { return open(t, dir, Options{}) })
}

// TestSmallMemory has memtables that the suite's records do not fit in, so that tables are written and compacted under it.
func TestSmallMemory(t *testing.T) {
	s := open(t, t.TempDir(), Options{MemoryMB: minMemoryMB})
	const devices, rounds = 40, 30
	value := make([]byte, 30<<10)
	var wg sync.WaitGroup
	for d := range devices {
		device := fmt.Sprint("os::", d)
		l, err := s.Acquire(t.Context(), store.Shard(device))
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for r := range rounds {
				v := append([]byte{byte(r)}, value...)
				if err := s.Write(t.Context(), l, store.Op{Key: store.Key{Device: device, Kind: store.Snapshot}, Value: v},
					store.Op{Key: store.Key{Device: device, Kind: store.Row, ID: "x"}, Value: v[:2000]}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	for _, kind := range []store.Kind{store.Snapshot, store.Row} {
		n := 0
		for item, err := range s.All(t.Context(), kind) {
			if err != nil {
				t.Fatal(err)
			}
			if item.Value[0] != rounds-1 {
				t.Errorf("%v: round %d", item.Key, item.Value[0])
			}
			n++
		}
		if n != devices {
			t.Errorf("kind %c: %d records, want %d", kind, n, devices)
		}
	}
	if tables := s.cache.db.Tables(); len(tables) == 0 {
		t.Error("no table was written: the test does not test what it should")
	}
}

// TestValueLog writes values that are too big for a table, and collects what they leave behind.
func TestValueLog(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	l, _ := s.Acquire(t.Context(), store.Shard("a"))
	key := store.Key{Device: "a", Kind: store.Snapshot}
	value := make([]byte, 3<<20)
	for i := range byte(3) {
		value[0] = i
		if err := s.Write(t.Context(), l, store.Op{Key: key, Value: value}); err != nil {
			t.Fatal(err)
		}
	}
	s.cache.collectValueLog()
	got, err := s.Get(t.Context(), key)
	if err != nil || len(got) != len(value) || got[0] != 2 {
		t.Errorf("Get: %d bytes, %v", len(got), err)
	}
}

func TestDirectoryIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	open(t, dir, Options{})
	for _, d := range []string{dir, filepath.Join(dir, promisesDir), filepath.Join(dir, cacheDir)} {
		if info, err := os.Stat(d); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v, want 0700", d, info.Mode(), err)
		}
	}
}

func TestFormat(t *testing.T) {
	dir := t.TempDir()
	if err := open(t, dir, Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, formatFile)
	for _, tt := range []struct{ content, want string }{
		{"2\n", "start the newer isthmus that wrote it, or give this one another data_dir"},
		{"0\n", "damaged"},
		{"", "damaged"},
		{"one", "damaged"},
	} {
		if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(dir, nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("format %q: %v, want %q and %s", tt.content, err, tt.want, dir)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, nil); err == nil || !strings.Contains(err.Error(), "is missing") {
		t.Errorf("no format: %v", err)
	}
	if err := writeFormat(dir, path, format); err != nil {
		t.Fatal(err)
	}
	open(t, dir, Options{})
}

func TestDirectoryThatIsAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, nil); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Open: %v, want an error with %s", err, path)
	}
}

func TestSecondOpenInOneProcess(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, Options{})
	want := fmt.Sprintf("in use by process %d:", os.Getpid())
	if _, err := Open(dir, nil); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Open: %v, want %q", err, want)
	}
}

func TestDiskNearlyFull(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	l, _ := s.Acquire(t.Context(), store.Shard("a"))
	head := store.Key{Device: "a", Kind: store.Head}
	s.promises.minFree = 1 << 62
	for name, err := range map[string]error{"Write": s.Write(t.Context(), l, store.Op{Key: head, Value: []byte("x")}), "Ready": s.Ready()} {
		if err == nil || !strings.Contains(err.Error(), "disk nearly full") || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Get(t.Context(), head); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get: %v, want ErrNotFound", err)
	}
	s.promises.minFree = 0
	if err := s.Write(t.Context(), l, store.Op{Key: head, Value: []byte("x")}); err != nil {
		t.Errorf("Write with space again: %v", err)
	}
	if err := s.Ready(); err != nil {
		t.Errorf("Ready with space again: %v", err)
	}
}

func TestFailedWriteStopsWrites(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	l, _ := s.Acquire(t.Context(), store.Shard("a"))
	broken := errors.New("input/output error")
	s.promises.failed.Store(&broken)
	for name, err := range map[string]error{
		"Write": s.Write(t.Context(), l, store.Op{Key: store.Key{Device: "a", Kind: store.Head}, Value: []byte("x")}), "Ready": s.Ready(),
	} {
		if !errors.Is(err, broken) || !strings.Contains(err.Error(), "restart") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	dir := t.TempDir()
	s := open(t, dir, Options{Registerer: reg})
	l, _ := s.Acquire(t.Context(), store.Shard("a"))
	for _, kind := range []store.Kind{store.Head, store.Snapshot} {
		if err := s.Write(t.Context(), l, store.Op{Key: store.Key{Device: "a", Kind: kind}, Value: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	got := map[string]int{}
	for _, f := range families {
		got[f.GetName()] = len(f.GetMetric())
	}
	want := map[string]int{"isthmus_store_write_duration_seconds": 2, "isthmus_store_size_bytes": 2, "isthmus_store_free_bytes": 1, "isthmus_store_errors_total": 2}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}
	size, err := diskUsage(s.promises.dir)
	if err != nil || size == 0 || size > 4<<20 {
		t.Errorf("an empty database occupies %d bytes, %v", size, err)
	}
	// The registry is free again after Close.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir, Options{Registerer: reg})
}

// TestSynctest opens, uses and closes a store in a bubble: its goroutines sleep durably, and disk I/O only delays the clock.
func TestSynctest(t *testing.T) {
	dir := t.TempDir()
	for round := range 2 { // what Badger pools for reuse must not tie it to the first bubble
		synctest.Test(t, func(t *testing.T) {
			s := open(t, dir, Options{MemoryMB: minMemoryMB})
			l, err := s.Acquire(t.Context(), store.Shard("a"))
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			for i := range 5 {
				key := store.Key{Device: "a", Kind: store.Row, ID: fmt.Sprint(round, i)}
				if err := s.Write(t.Context(), l, store.Op{Key: key, Value: []byte("x")}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
			}
			if d := time.Since(start); d != 5*time.Minute {
				t.Errorf("%v passed in the bubble, want 5m", d)
			}
			n := 0
			for _, err := range s.List(t.Context(), "a", store.Row) {
				if err != nil {
					t.Fatal(err)
				}
				n++
			}
			if n != 5*(round+1) {
				t.Errorf("%d rows, want %d", n, 5*(round+1))
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
