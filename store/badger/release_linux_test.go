package badger

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"isthmus/store"
)

// TestRelease: what was read of all devices takes no memory any more, and can be read again.
func TestRelease(t *testing.T) {
	const (
		devices, size = 2000, 8 << 10
		tmpfs         = 0x01021994
	)
	dir := t.TempDir()
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil || fs.Type == tmpfs {
		t.Skip("files in memory stay there", err)
	}
	s, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	value := bytes.Repeat([]byte("x"), size)
	for i := range devices {
		id := fmt.Sprintf("os::012345-%d", i)
		l, err := s.Acquire(t.Context(), store.Shard(id))
		if err == nil {
			err = s.Write(t.Context(), l, store.Op{Key: store.Key{Device: id, Kind: store.Snapshot}, Value: value})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil { // which makes tables of them
		t.Fatal(err)
	}
	syscall.Sync() // the kernel takes back only what is on disk
	if s, err = Open(dir, nil); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	read := func() {
		n := 0
		for item, err := range s.All(t.Context(), store.Snapshot) {
			if err != nil || !bytes.Equal(item.Value, value) {
				t.Fatal(err)
			}
			n++
		}
		if n != devices {
			t.Fatalf("%d devices", n)
		}
	}
	read()
	before := resident(t, dir)
	if err := release(dir); err != nil {
		t.Fatal(err)
	}
	if after := resident(t, dir); before < devices*size || after > before/10 {
		t.Errorf("%d bytes before, %d after", before, after)
	}
	read()
}

// resident is how much of the tables is in memory, in bytes.
func resident(t *testing.T, dir string) (size int) {
	t.Helper()
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	table := false
	for line := range strings.Lines(string(smaps)) {
		kb := 0
		switch n, _ := fmt.Sscanf(line, "Rss: %d kB", &kb); {
		case n == 1 && table:
			size += kb << 10
		case strings.Contains(line, "/"):
			table = strings.Contains(line, dir) && strings.Contains(line, ".sst")
		}
	}
	return size
}
