package badger

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"isthmus/store"
)

const noCompression = options.None

// part is one Badger database and the goroutine that alone writes to it.
//
// Badger syncs once a transaction and not once a batch of them, and its own timestamps make a read wait until transactions
// that began before it are synced. So the committer merges the writes that wait into one transaction, and gives out the
// timestamps itself (Badger's managed mode): a read sees what was committed when it began and waits for nobody.
type part struct {
	dir      string
	db       *badger.DB
	requests chan *request
	stop     chan struct{}
	done     sync.WaitGroup

	minFree  uint64
	maxSize  int64
	maxCount int64

	committed atomic.Uint64 // timestamp of the newest commit that is complete
	begun     uint64        // the committer's: of the newest that was tried
	discard   uint64        // the housekeeper's: committed, one round ago
	failed    atomic.Pointer[error]
}

// request is a write on its way to the committer.
type request struct {
	entries []entry
	check   func(*badger.Txn) error // may refuse the request, seeing all writes before it
	size    int64
	result  chan error // one
}

type entry struct{ key, value []byte }

func newRequest(entries ...entry) *request {
	return &request{entries: entries, result: make(chan error, 1)}
}

// openPart opens the database name under parent; its caller starts commitAll.
func openPart(parent, name string, o *Options) (*part, error) {
	dir := filepath.Join(parent, name)
	const mb = 1 << 20
	// Of eight shares of the memory each of the promises' two memtables gets one, each of the cache's two gets three.
	memtable := int64(o.MemoryMB) * mb / 8
	if name == cacheDir {
		memtable *= 3
	}
	db, err := badger.OpenManaged(badgerOptions(dir, memtable, name == promisesDir, o.Logger))
	if err != nil {
		return nil, fmt.Errorf("opening store %s: %w", dir, err)
	}
	// Badger counts per entry what it adds to it, and an entry of its own that ends the transaction.
	const endEntry = 256
	p := &part{
		dir: dir, db: db, requests: make(chan *request), stop: make(chan struct{}),
		minFree: uint64(o.MinFreeMB) * mb, maxSize: db.MaxBatchSize() - endEntry, maxCount: db.MaxBatchCount() - 2,
	}
	p.begun = db.MaxVersion()
	p.committed.Store(p.begun)
	p.discardOld()
	return p, nil
}

// prepare computes r's size and refuses it if it can never fit.
func (p *part) prepare(r *request) error {
	const overhead = 12 // what Badger adds to an entry
	for _, e := range r.entries {
		r.size += int64(len(e.key)+len(e.value)) + overhead
	}
	if r.size > p.maxSize || int64(len(r.entries)) > p.maxCount {
		return fmt.Errorf("%w: %d records with %d bytes, over %d or %d", store.ErrTooBig, len(r.entries), r.size, p.maxCount, p.maxSize)
	}
	return nil
}

func (p *part) write(ctx context.Context, r *request) error {
	select {
	case p.requests <- r:
		return <-r.result
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *part) commitAll() {
	var next *request
	for {
		if next == nil {
			select {
			case next = <-p.requests:
			case <-p.stop:
				return
			}
		}
		var batch []*request
		batch, next = p.gather(next)
		p.commit(batch)
	}
}

// gather takes what waits, up to what fits in one transaction; over is the one that did not fit.
func (p *part) gather(first *request) (batch []*request, over *request) {
	batch = append(batch, first)
	size, count := first.size, int64(len(first.entries))
	for {
		select {
		case r := <-p.requests:
			size += r.size
			count += int64(len(r.entries))
			if size > p.maxSize || count > p.maxCount {
				return batch, r
			}
			batch = append(batch, r)
		default:
			return batch, nil
		}
	}
}

func (p *part) commit(batch []*request) {
	if err := p.ready(); err != nil {
		for _, r := range batch {
			r.result <- err
		}
		return
	}
	txn := p.db.NewTransactionAt(p.committed.Load(), true)
	defer txn.Discard()
	var err error
	accepted := batch[:0]
	for _, r := range batch {
		if r.check != nil {
			if refused := r.check(txn); refused != nil {
				r.result <- refused
				continue
			}
		}
		accepted = append(accepted, r)
		err = errors.Join(err, add(txn, r))
	}
	if err == nil && len(accepted) > 0 {
		err = p.commitTxn(txn)
	}
	for _, r := range accepted {
		r.result <- err
	}
}

func (p *part) commitTxn(txn *badger.Txn) error {
	// A new timestamp even after a failure: what failed may be in the log.
	p.begun++
	if err := txn.CommitAt(p.begun, nil); err != nil {
		err = fmt.Errorf("writing store %s: %w", p.dir, err)
		// After a failed sync nobody knows what the disk holds until the log is read again.
		p.failed.Store(&err)
		return err
	}
	p.committed.Store(p.begun)
	return nil
}

func add(txn *badger.Txn, r *request) error {
	for _, e := range r.entries {
		var err error
		if e.value == nil {
			err = txn.Delete(e.key)
		} else {
			err = txn.Set(e.key, e.value)
		}
		if err != nil {
			return fmt.Errorf("store: %d records with %d bytes: %w", len(r.entries), r.size, err)
		}
	}
	return nil
}

// ready says why p takes no writes.
func (p *part) ready() error {
	if err := p.failed.Load(); err != nil {
		return fmt.Errorf("store takes no writes until isthmus is restarted: %w", *err)
	}
	free, err := freeSpace(p.dir)
	if err != nil {
		return fmt.Errorf("store %s: free space: %w", p.dir, err)
	}
	if free < p.minFree {
		return fmt.Errorf("store %s: disk nearly full: %d MB free, %d MB needed", p.dir, free>>20, p.minFree>>20)
	}
	return nil
}

func (p *part) get(key []byte) ([]byte, error) {
	txn := p.db.NewTransactionAt(p.committed.Load(), false)
	defer txn.Discard()
	return p.value(txn, key)
}

func (p *part) value(txn *badger.Txn, key []byte) ([]byte, error) {
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, store.ErrNotFound
	}
	if err != nil {
		return nil, p.readError(err)
	}
	v, err := item.ValueCopy(nil)
	if err != nil {
		return nil, p.readError(err)
	}
	return v, nil
}

func (p *part) readError(err error) error { return fmt.Errorf("reading store %s: %w", p.dir, err) }

// discardOld lets compaction drop what had been replaced a round ago.
func (p *part) discardOld() {
	p.db.SetDiscardTs(p.discard)
	p.discard = p.committed.Load()
}

// collectValueLog rewrites the value log's files until it is told that none is worth it.
func (p *part) collectValueLog() {
	var err error
	for err == nil {
		err = p.db.RunValueLogGC(discardRatio)
	}
}

func (p *part) close() error {
	close(p.stop)
	p.done.Wait()
	if err := p.db.Close(); err != nil {
		return fmt.Errorf("closing store %s: %w", p.dir, err)
	}
	return nil
}
