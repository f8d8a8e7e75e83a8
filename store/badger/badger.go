package badger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/prometheus/client_golang/prometheus"

	"isthmus/store"
)

// Options may be nil or zero.
type Options struct {
	Logger     *slog.Logger          // nil: slog.Default()
	Registerer prometheus.Registerer // nil: no metrics

	// MemoryMB is about what both databases hold in memory before they write tables; 0: 64. It also bounds a single Write: 2% of
	// it for promised kinds, 5% for the cache (1.2 MB and 3.7 MB by default).
	MemoryMB int
	// MinFreeMB is the space on disk below which Write refuses and Ready reports; 0: four times MemoryMB, for the holes in the
	// logs and for tables that are being written. A disk that is full behind a mapped file kills the process.
	MinFreeMB int
}

const (
	defaultMemoryMB = 64
	minMemoryMB     = 8

	// discardInterval is the least time that a version of a record stays readable after it was replaced. A read takes its
	// tables microseconds after its timestamp; from then on it holds them.
	discardInterval = 10 * time.Second
	// gcRounds is after how many discardIntervals the value log is looked at. Only values over 1 MB ever get there.
	gcRounds     = 30
	discardRatio = 0.5
	// stormRecords are worth giving the memory of their pages back, once no more than calmRecords were touched in a discardInterval.
	stormRecords = 4096
	calmRecords  = 1024
)

func (opts *Options) withDefaults() Options {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.MemoryMB == 0 {
		o.MemoryMB = defaultMemoryMB
	}
	o.MemoryMB = max(o.MemoryMB, minMemoryMB)
	if o.MinFreeMB == 0 {
		o.MinFreeMB = 4 * o.MemoryMB
	}
	return o
}

// Store is the embedded store.Store: two Badger databases under one directory.
type Store struct {
	dir      string
	lock     *os.File // held until Close
	promises *part
	cache    *part
	epoch    uint64
	metrics  *metrics
	lost     chan struct{} // closed by Close
	log      *slog.Logger
	touched  atomic.Int64 // records read or written since the housekeeper looked

	mu      sync.Mutex
	calls   int           // running methods and iterations
	closing bool          // no new ones
	idle    chan struct{} // closed when closing and calls is 0

	stop      chan struct{}
	housework sync.WaitGroup
}

var _ store.Store = (*Store)(nil)

// Open opens the store in dir, which is created, or made, 0700. It refuses a directory that another process has open, naming
// that process, and a store that a newer isthmus wrote.
func Open(dir string, opts *Options) (*Store, error) {
	o := opts.withDefaults()
	if err := makePrivate(dir); err != nil {
		return nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, lock: lock, log: o.Logger, metrics: newMetrics(), lost: make(chan struct{}), idle: make(chan struct{}), stop: make(chan struct{})}
	if err := s.open(&o); err != nil {
		return nil, errors.Join(err, s.closeFiles())
	}
	s.housework.Go(s.keepHouse)
	return s, nil
}

func (s *Store) open(o *Options) (err error) {
	if err = install(s.dir, o.Logger); err != nil {
		return err
	}
	if err = checkFormat(s.dir); err != nil {
		return err
	}
	if s.promises, err = openPart(s.dir, promisesDir, o); err != nil {
		return err
	}
	if s.cache, err = openPart(s.dir, cacheDir, o); err != nil {
		return err
	}
	if err = s.bumpEpoch(); err != nil {
		return err
	}
	if err = s.metrics.register(o.Registerer, s); err != nil {
		return err
	}
	s.promises.done.Go(s.promises.commitAll)
	s.cache.done.Go(s.cache.commitAll)
	return nil
}

// closeFiles closes what is open.
func (s *Store) closeFiles() error {
	var errs []error
	for _, p := range []*part{s.promises, s.cache} {
		if p != nil {
			errs = append(errs, p.close())
		}
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

// bumpEpoch counts the opens: each is a new owner of every shard. The committers do not run yet.
func (s *Store) bumpEpoch() error {
	key := store.MetaKey("epoch")
	b, err := s.promises.get(key)
	switch {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return err
	case len(b) != 8:
		return fmt.Errorf("store %s is damaged: its epoch has %d bytes", s.dir, len(b))
	default:
		s.epoch = binary.BigEndian.Uint64(b)
	}
	s.epoch++
	r := newRequest(entry{key, binary.BigEndian.AppendUint64(nil, s.epoch)})
	s.promises.commit([]*request{r})
	return <-r.result
}

func (s *Store) keepHouse() {
	t := time.NewTicker(discardInterval)
	defer t.Stop()
	var storm int64
	for round := 1; ; round++ {
		select {
		case <-s.stop:
			return
		case <-t.C:
		}
		now := s.touched.Swap(0)
		if storm += now; storm >= stormRecords && now <= calmRecords {
			storm = 0
			if err := release(s.dir); err != nil {
				s.log.Debug("the memory of the store's tables cannot be given back", "err", err)
			}
		}
		for _, p := range []*part{s.promises, s.cache} {
			p.discardOld()
			if round%gcRounds == 0 {
				p.collectValueLog()
			}
		}
	}
}

// Acquire gives the lease of a shard: always, since the directory has one owner.
func (s *Store) Acquire(ctx context.Context, shard int) (store.Lease, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if shard < 0 || shard >= store.Shards {
		return nil, fmt.Errorf("store: no shard %d", shard)
	}
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	return lease{s, shard}, nil
}

// Ready says why the store cannot serve: it is closed, its disk is nearly full, or a write has failed.
func (s *Store) Ready() error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	return errors.Join(s.promises.ready(), s.cache.ready())
}

// Close ends iterations at their next item, waits for what is running, and writes everything to disk.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return store.ErrClosed
	}
	s.closing = true
	if s.calls == 0 {
		close(s.idle)
	}
	s.mu.Unlock()
	close(s.lost)
	<-s.idle
	close(s.stop)
	s.housework.Wait()
	s.metrics.unregister()
	return s.closeFiles()
}

// enter and leave keep the databases open while somebody reads their mapped files. A sync.RWMutex would not do: an iteration's
// body may call the Store again.
func (s *Store) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return store.ErrClosed
	}
	s.calls++
	return nil
}

func (s *Store) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls--; s.calls == 0 && s.closing {
		close(s.idle)
	}
}

type lease struct {
	s     *Store
	shard int
}

func (l lease) Shard() int            { return l.shard }
func (l lease) Epoch() uint64         { return l.s.epoch }
func (l lease) Lost() <-chan struct{} { return l.s.lost }

func (l lease) Valid() bool {
	select {
	case <-l.s.lost:
		return false
	default:
		return true
	}
}

func badgerOptions(dir string, memtable int64, sync bool, log *slog.Logger) badger.Options {
	batch := memtable * 15 / 100 // what Badger allows a transaction
	return badger.DefaultOptions(dir).
		WithLogger(logger{log.With("store", dir)}).
		WithSyncWrites(sync).
		WithMemTableSize(memtable).
		WithNumMemtables(2).
		WithNumLevelZeroTables(3).
		WithNumLevelZeroTablesStall(8).
		WithNumCompactors(2).
		WithNumVersionsToKeep(1).
		WithDetectConflicts(false).
		WithCompression(noCompression).
		WithBlockCacheSize(0).
		WithValueThreshold(min(1<<20, batch)).
		WithValueLogFileSize(128 << 20).
		WithMetricsEnabled(false)
}
