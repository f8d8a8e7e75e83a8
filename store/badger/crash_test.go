package badger

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"isthmus/store"
)

// childEnv makes the test binary a process that writes to the store in the directory it names.
const childEnv = "ISTHMUS_STORE_CHILD"

const childWriters = 8

// child writes until it is killed, and prints a line for every Write that has returned.
func child(dir string) {
	s, err := Open(dir, &Options{MemoryMB: minMemoryMB, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println("open")
	var out sync.Mutex
	var wg sync.WaitGroup
	for w := range childWriters {
		device := fmt.Sprint("os::", w)
		wg.Go(func() {
			l, err := s.Acquire(context.Background(), store.Shard(device))
			for n := 0; err == nil; n++ {
				id := fmt.Sprintf("%d-%d", l.Epoch(), n)
				err = s.Write(context.Background(), l,
					store.Op{Key: store.Key{Device: device, Kind: store.Notification, ID: id}, Value: fill(id, 3000)},
					store.Op{Key: store.Key{Device: device, Kind: store.Journal, ID: id}, Value: fill(id, 10)},
					store.Op{Key: store.Key{Device: device, Kind: store.Snapshot}, Value: fill(id, 40_000)})
				if err == nil {
					out.Lock()
					fmt.Println("wrote", device, id)
					out.Unlock()
				}
			}
			fmt.Println("error", err)
		})
	}
	wg.Wait()
}

// fill is a value of at least n bytes by which one sees that it is whole.
func fill(id string, n int) []byte { return bytes.Repeat([]byte(id+";"), n/(len(id)+1)+1) }

func whole(value []byte, n int) bool {
	id, _, _ := strings.Cut(string(value), ";")
	return bytes.Equal(value, fill(id, n))
}

func start(t *testing.T, dir string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "open" {
		t.Fatalf("child: %q, %v", lines.Text(), lines.Err())
	}
	return cmd, lines
}

func TestKilledProcessLosesNoPromise(t *testing.T) {
	const rounds, writes = 4, 300
	dir := t.TempDir()
	written := map[store.Key]bool{}
	for round := range rounds {
		cmd, lines := start(t, dir)
		for n := 0; lines.Scan(); n++ {
			var device, id string
			if _, err := fmt.Sscanf(lines.Text(), "wrote %s %s", &device, &id); err != nil {
				t.Fatalf("child: %q", lines.Text())
			}
			written[store.Key{Device: device, Kind: store.Notification, ID: id}] = true
			if n == writes {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the child ended by itself")
		}
		s := open(t, dir, Options{MemoryMB: minMemoryMB})
		for key := range written {
			if v, err := s.Get(t.Context(), key); err != nil || !whole(v, 3000) {
				t.Errorf("round %d: %v was reported: %d bytes, %v", round, key, len(v), err)
			}
		}
		notifications := count(t, s, store.Notification, 3000)
		if journals := count(t, s, store.Journal, 10); notifications != journals || notifications < len(written) {
			t.Errorf("round %d: %d notifications, %d journals, %d reported: half a write", round, notifications, journals, len(written))
		}
		if n := count(t, s, store.Snapshot, 40_000); n > childWriters {
			t.Errorf("round %d: %d snapshots", round, n)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(written) < rounds*writes {
		t.Errorf("only %d writes", len(written))
	}
}

// count counts the records of a kind, all of which must be whole.
func count(t *testing.T, s *Store, kind store.Kind, size int) int {
	t.Helper()
	n := 0
	for item, err := range s.All(t.Context(), kind) {
		if err != nil {
			t.Fatal(err)
		}
		if !whole(item.Value, size) {
			t.Errorf("%v is torn: %.40q", item.Key, item.Value)
		}
		n++
	}
	return n
}

func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	cmd, _ := start(t, dir)
	_, err := Open(dir, nil)
	want := fmt.Sprintf("store %s is in use by process %d: stop that first, or give this one another data_dir", dir, cmd.Process.Pid)
	if err == nil || err.Error() != want {
		t.Errorf("Open: %v, want %q", err, want)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the child ended by itself")
	}
	// The killed process's lock is no obstacle.
	open(t, dir, Options{})
}
