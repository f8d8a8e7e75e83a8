package badger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"isthmus/store"
)

var small = Options{MemoryMB: minMemoryMB, Logger: quiet}

func put(t testing.TB, s *Store, device string, ops ...store.Op) {
	t.Helper()
	l, err := s.Acquire(t.Context(), store.Shard(device))
	if err != nil {
		t.Fatal(err)
	}
	for i := range ops {
		ops[i].Key.Device = device
	}
	if err := s.Write(t.Context(), l, ops...); err != nil {
		t.Fatal(err)
	}
}

// everything is what s holds, by raw key, but for the epoch.
func everything(t testing.TB, s *Store) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, p := range []*part{s.promises, s.cache} {
		f := p.freeze()
		for f.it.Rewind(); f.it.Valid(); f.it.Next() {
			v, err := f.it.Item().ValueCopy(nil)
			if err != nil {
				t.Fatal(err)
			}
			all[string(f.it.Item().Key())] = string(v)
		}
		f.discard()
	}
	delete(all, string(store.MetaKey("epoch")))
	return all
}

// backedUp is a store with records of every sort, and a backup of it.
func backedUp(t *testing.T) (map[string]string, []byte) {
	t.Helper()
	s := open(t, t.TempDir(), Options{MemoryMB: minMemoryMB})
	for d := range 20 {
		put(t, s, fmt.Sprint("os::", d),
			store.Op{Key: store.Key{Kind: store.Head}, Value: fill("head", 700)},
			store.Op{Key: store.Key{Kind: store.Row, ID: "LocalAgent.Subscription.1."}, Value: []byte{}},
			store.Op{Key: store.Key{Kind: store.Secret}, Value: []byte("secret")},
			store.Op{Key: store.Key{Kind: store.Snapshot}, Value: fill("snapshot", 40_000)})
	}
	put(t, s, "os::3", store.Op{Key: store.Key{Kind: store.Head}})
	if err := s.PutFleet(t.Context(), "habits", nil, []byte("x")); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	b, err := s.Backup(t.Context(), &out, "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	if b.Devices != 19 || b.Records != 20*4-1+2 || b.Bytes != int64(out.Len()) {
		t.Errorf("backup of %+v, %d bytes", b, out.Len())
	}
	return everything(t, s), out.Bytes()
}

func TestBackupAndRestore(t *testing.T) {
	want, backup := backedUp(t)
	dir := filepath.Join(t.TempDir(), "new", "data")
	b, err := Restore(t.Context(), dir, bytes.NewReader(backup), false, &small)
	if err != nil {
		t.Fatal(err)
	}
	if b.Devices != 19 || b.Isthmus != "1.2.3" {
		t.Errorf("restored %+v", b)
	}
	s := open(t, dir, small)
	if diff := cmp.Diff(want, everything(t, s)); diff != "" {
		t.Error(diff)
	}
	if s.epoch != 2 {
		t.Errorf("epoch %d: each open is a new owner, the store that was backed up was one", s.epoch)
	}
	put(t, s, "os::3", store.Op{Key: store.Key{Kind: store.Head}, Value: []byte("again")})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if v, err := open(t, dir, small).Get(t.Context(), store.Key{Device: "os::3", Kind: store.Head}); err != nil || string(v) != "again" {
		t.Errorf("written after the restore: %q, %v", v, err)
	}
}

// TestBackupIsOfOneMoment: writers go on meanwhile; what they were told before the backup is in it, and no cache is ahead of its head.
func TestBackupIsOfOneMoment(t *testing.T) {
	s := open(t, t.TempDir(), Options{MemoryMB: minMemoryMB})
	const writers, backups = 8, 5
	var told [writers]atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	begun := make(chan struct{}, writers)
	for w := range writers {
		device := fmt.Sprint("os::", w)
		l, err := s.Acquire(t.Context(), store.Shard(device))
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for n := int64(1); ctx.Err() == nil; n++ {
				if err := s.Write(t.Context(), l,
					store.Op{Key: store.Key{Device: device, Kind: store.Head}, Value: fmt.Append(nil, n)},
					store.Op{Key: store.Key{Device: device, Kind: store.Row, ID: "x"}, Value: fmt.Append(nil, n)},
					store.Op{Key: store.Key{Device: device, Kind: store.Snapshot}, Value: fmt.Append(nil, n)}); err != nil {
					t.Error(err)
					return
				}
				told[w].Store(n)
				if n == 1 {
					begun <- struct{}{}
				}
			}
		})
	}
	for range writers {
		<-begun
	}
	for range backups {
		var before [writers]int64
		for w := range before {
			before[w] = told[w].Load()
		}
		var out bytes.Buffer
		if _, err := s.Backup(t.Context(), &out, ""); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if _, err := Restore(t.Context(), dir, &out, false, &small); err != nil {
			t.Fatal(err)
		}
		r := open(t, dir, small)
		for w := range before {
			var n [3]int64
			for i, key := range []store.Key{{Kind: store.Head}, {Kind: store.Row, ID: "x"}, {Kind: store.Snapshot}} {
				key.Device = fmt.Sprint("os::", w)
				v, err := r.Get(t.Context(), key)
				if err != nil {
					t.Fatal(key, err)
				}
				if _, err := fmt.Sscan(string(v), &n[i]); err != nil {
					t.Fatal(err)
				}
			}
			if n[0] < before[w] || n[0] != n[1] || n[2] > n[0] || n[2] < before[w] {
				t.Errorf("writer %d was told %d; the backup has head %d, row %d, snapshot %d", w, before[w], n[0], n[1], n[2])
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	wg.Wait()
}

func TestRestoreOfWhatIsNoBackup(t *testing.T) {
	_, backup := backedUp(t)
	flipped := bytes.Clone(backup)
	flipped[len(flipped)/2] ^= 1
	for name, tt := range map[string]struct {
		backup []byte
		want   error
	}{
		"empty":      {nil, ErrNoBackup},
		"a picture":  {[]byte("\x89PNG\r\n\x1a\n 1234567890"), ErrNoBackup},
		"no header":  {backup[:len(backupMagic)+2], ErrBadBackup},
		"cut":        {backup[:len(backup)/2], ErrBadBackup},
		"no end":     {backup[:len(backup)-40], ErrBadBackup},
		"short sum":  {backup[:len(backup)-1], ErrBadBackup},
		"flipped":    {flipped, ErrBadBackup},
		"more":       {append(bytes.Clone(backup), 0), ErrBadBackup},
		"new form":   {bytes.Replace(backup, []byte(`"version":1`), []byte(`"version":2`), 1), ErrNewer},
		"new format": {bytes.Replace(backup, []byte(`"format":1`), []byte(`"format":7`), 1), ErrNewer},
		"no format":  {bytes.Replace(backup, []byte(`"format":1`), []byte(`"format":0`), 1), ErrBadBackup},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := CheckBackup(bytes.NewReader(tt.backup)); !errors.Is(err, tt.want) {
				t.Errorf("CheckBackup: %v, want %v", err, tt.want)
			}
			dir := t.TempDir()
			old := open(t, dir, small)
			put(t, old, "os::old", store.Op{Key: store.Key{Kind: store.Head}, Value: []byte("old")})
			want := everything(t, old)
			if err := old.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := Restore(t.Context(), dir, bytes.NewReader(tt.backup), true, &small); !errors.Is(err, tt.want) {
				t.Errorf("Restore: %v, want %v", err, tt.want)
			}
			if diff := cmp.Diff(want, everything(t, open(t, dir, small))); diff != "" {
				t.Error("the store that was there:", diff)
			}
			if left, err := filepath.Glob(filepath.Join(dir, "re*")); err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

func TestRestoreWhereAStoreIs(t *testing.T) {
	want, backup := backedUp(t)
	dir := t.TempDir()
	old := open(t, dir, small)
	put(t, old, "os::old", store.Op{Key: store.Key{Kind: store.Head}, Value: []byte("old")})
	if _, err := Restore(t.Context(), dir, bytes.NewReader(backup), true, &small); err == nil || !strings.Contains(err.Error(), fmt.Sprint("in use by process ", os.Getpid())) {
		t.Errorf("into a store that is open: %v", err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), dir, bytes.NewReader(backup), false, &small); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("without replace: %v", err)
	}
	if _, err := Restore(t.Context(), dir, bytes.NewReader(backup), true, &small); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, everything(t, open(t, dir, small))); diff != "" {
		t.Error(diff)
	}
	kept, err := filepath.Glob(filepath.Join(dir, replacedDir+"-*"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept: %v, %v", kept, err)
	}
	if v, err := open(t, kept[0], small).Get(t.Context(), store.Key{Device: "os::old", Kind: store.Head}); err != nil || string(v) != "old" {
		t.Errorf("the store that was replaced: %q, %v", v, err)
	}
}

// TestRestoreCutOff: whatever of the steps of install has happened, the next Open completes them.
func TestRestoreCutOff(t *testing.T) {
	want, backup := backedUp(t)
	options := small.withDefaults()
	steps := [][2]string{ // renames, in their order
		{formatFile, filepath.Join(restoredDir, replacedDir, formatFile)}, {filepath.Join(restoredDir, formatFile), formatFile},
		{promisesDir, filepath.Join(restoredDir, replacedDir, promisesDir)}, {filepath.Join(restoredDir, promisesDir), promisesDir},
		{cacheDir, filepath.Join(restoredDir, replacedDir, cacheDir)}, {filepath.Join(restoredDir, cacheDir), cacheDir},
		{filepath.Join(restoredDir, replacedDir), replacedDir + "-then"},
	}
	for done := range len(steps) + 1 {
		t.Run(fmt.Sprint(done), func(t *testing.T) {
			dir := t.TempDir()
			if err := open(t, dir, small).Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := build(t.Context(), filepath.Join(dir, restoredDir), bytes.NewReader(backup), &options); err != nil {
				t.Fatal(err)
			}
			if done > 0 {
				if err := makePrivate(filepath.Join(dir, restoredDir, replacedDir)); err != nil {
					t.Fatal(err)
				}
			}
			for _, step := range steps[:done] {
				if err := os.Rename(filepath.Join(dir, step[0]), filepath.Join(dir, step[1])); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(want, everything(t, open(t, dir, small))); diff != "" {
				t.Error(diff)
			}
			names := make(map[string]bool)
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				name, _, _ := strings.Cut(e.Name(), "-")
				names[name] = true
			}
			if diff := cmp.Diff(map[string]bool{formatFile: true, lockFile: true, promisesDir: true, cacheDir: true, replacedDir: true}, names); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestRestoreCutOffEarly: what a restore left that never became whole is not looked at, and removed by the next.
func TestRestoreCutOffEarly(t *testing.T) {
	want, backup := backedUp(t)
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, unfinishedDir, promisesDir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := open(t, dir, small).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), dir, bytes.NewReader(backup), true, &small); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, everything(t, open(t, dir, small))); diff != "" {
		t.Error(diff)
	}
}

func TestBackupEnds(t *testing.T) {
	s := open(t, t.TempDir(), small)
	put(t, s, "os::1", store.Op{Key: store.Key{Kind: store.Snapshot}, Value: fill("snapshot", 200_000)})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Backup(ctx, new(bytes.Buffer), ""); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	broken := errors.New("broken")
	if _, err := s.Backup(t.Context(), writerFunc(func([]byte) (int, error) { return 0, broken }), ""); !errors.Is(err, broken) {
		t.Errorf("a writer that fails: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Backup(t.Context(), new(bytes.Buffer), ""); !errors.Is(err, store.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func FuzzBackup(f *testing.F) {
	s := open(f, f.TempDir(), small)
	put(f, s, "os::1", store.Op{Key: store.Key{Kind: store.Head}, Value: []byte("head")})
	var out bytes.Buffer
	if _, err := s.Backup(f.Context(), &out, "1"); err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	f.Add([]byte(backupMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := CheckBackup(bytes.NewReader(b)); err == nil && got.Bytes != int64(len(b)) {
			t.Errorf("read %d of %d bytes and found nothing wrong", got.Bytes, len(b))
		}
	})
}
