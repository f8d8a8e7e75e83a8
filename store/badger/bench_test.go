package badger

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"isthmus/store"
)

var headValue = make([]byte, 700)

// BenchmarkPromise measures synced writes of a head by n writers: merged by the committer, and as Badger itself syncs them.
func BenchmarkPromise(b *testing.B) {
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("store/writers=%d", writers), func(b *testing.B) {
			s := open(b, b.TempDir(), Options{})
			concurrently(b, writers, func(device string) error {
				l, err := s.Acquire(b.Context(), store.Shard(device))
				if err != nil {
					return err
				}
				return s.Write(b.Context(), l, store.Op{Key: store.Key{Device: device, Kind: store.Head}, Value: headValue})
			})
		})
		b.Run(fmt.Sprintf("badger/writers=%d", writers), func(b *testing.B) {
			db, err := badger.Open(badgerOptions(filepath.Join(b.TempDir(), "x"), defaultMemoryMB/8<<20, true, quiet))
			if err != nil {
				b.Fatal(err)
			}
			defer func() {
				if err := db.Close(); err != nil {
					b.Error(err)
				}
			}()
			concurrently(b, writers, func(device string) error {
				return db.Update(func(txn *badger.Txn) error { return txn.Set([]byte(device), headValue) })
			})
		})
	}
}

// concurrently runs f b.N times in n goroutines.
func concurrently(b *testing.B, n int, f func(device string) error) {
	var left, failed atomic.Int64
	left.Store(int64(b.N))
	done := make(chan struct{})
	b.ResetTimer()
	for w := range n {
		go func() {
			defer func() { done <- struct{}{} }()
			device := fmt.Sprint("os::012345-", w)
			for left.Add(-1) >= 0 {
				if f(device) != nil {
					failed.Add(1)
				}
			}
		}()
	}
	for range n {
		<-done
	}
	b.StopTimer()
	if failed.Load() > 0 {
		b.Errorf("%d failed", failed.Load())
	}
}

func BenchmarkCacheWrite(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	concurrently(b, 16, func(device string) error {
		l, err := s.Acquire(b.Context(), store.Shard(device))
		if err != nil {
			return err
		}
		return s.Write(b.Context(), l, store.Op{Key: store.Key{Device: device, Kind: store.Inform}, Value: headValue})
	})
}

func fillHeads(b *testing.B, s *Store, n int) {
	b.Helper()
	for i := 0; i < n; i++ {
		device := fmt.Sprint("os::012345-", i)
		l, err := s.Acquire(b.Context(), store.Shard(device))
		if err == nil {
			err = s.Write(b.Context(), l, store.Op{Key: store.Key{Device: device, Kind: store.Head}, Value: headValue})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGet reads heads, alone and while another goroutine syncs promises without pause.
func BenchmarkGet(b *testing.B) {
	const devices = 2000
	for _, writing := range []bool{false, true} {
		b.Run(fmt.Sprintf("writing=%v", writing), func(b *testing.B) {
			s := open(b, b.TempDir(), Options{})
			fillHeads(b, s, devices)
			stop, stopped := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(stopped)
				for writing {
					select {
					case <-stop:
						return
					default:
						fillHeads(b, s, 1)
					}
				}
			}()
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, err := s.Get(b.Context(), store.Key{Device: fmt.Sprint("os::012345-", i%devices), Kind: store.Head}); err != nil {
					b.Fatal(err)
				}
				i++
			}
			close(stop)
			<-stopped
		})
	}
}

func BenchmarkAll(b *testing.B) {
	const devices = 2000
	s := open(b, b.TempDir(), Options{})
	fillHeads(b, s, devices)
	for b.Loop() {
		n := 0
		for _, err := range s.All(b.Context(), store.Head) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != devices {
			b.Fatalf("%d heads", n)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/devices, "ns/record")
}

// BenchmarkOpenClose opens a store that holds a little and closes it.
func BenchmarkOpenClose(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		s := open(b, dir, Options{})
		fillHeads(b, s, 1)
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
