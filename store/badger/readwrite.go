package badger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/dgraph-io/badger/v4"

	"isthmus/store"
)

// part is the database that keeps a kind.
func (s *Store) part(kind store.Kind) *part {
	if kind.Promised() {
		return s.promises
	}
	return s.cache
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key store.Key) ([]byte, error) {
	if err := key.Check(); err != nil {
		return nil, err
	}
	return s.read(ctx, s.part(key.Kind), key.Append(make([]byte, 0, 64)))
}

// Fleet implements store.Store.
func (s *Store) Fleet(ctx context.Context, name string) ([]byte, error) {
	if err := checkFleet(name); err != nil {
		return nil, err
	}
	return s.read(ctx, s.promises, store.FleetKey(name))
}

func (s *Store) read(ctx context.Context, p *part, key []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	s.touched.Add(1)
	v, err := p.get(key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		s.metrics.errors.WithLabelValues("read").Inc()
	}
	return v, err
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, device string, kind store.Kind) iter.Seq2[store.Item, error] {
	return func(yield func(store.Item, error) bool) {
		key := store.Key{Device: device, Kind: kind}
		if err := key.Check(); err != nil {
			yield(store.Item{}, err)
			return
		}
		s.scan(ctx, kind, yield, key.Append(nil))
	}
}

// All implements store.Store.
func (s *Store) All(ctx context.Context, kind store.Kind) iter.Seq2[store.Item, error] {
	return func(yield func(store.Item, error) bool) {
		prefixes := make([][]byte, store.Shards)
		for shard := range prefixes {
			prefixes[shard] = store.AppendKind(nil, shard, kind)
		}
		s.scan(ctx, kind, yield, prefixes...)
	}
}

// scan yields the records under each prefix from one snapshot.
func (s *Store) scan(ctx context.Context, kind store.Kind, yield func(store.Item, error) bool, prefixes ...[]byte) {
	if err := s.enter(); err != nil {
		yield(store.Item{}, err)
		return
	}
	defer s.leave()
	p := s.part(kind)
	txn := p.db.NewTransactionAt(p.committed.Load(), false)
	defer txn.Discard()
	opts := badger.IteratorOptions{} // no prefetching: the values are where the keys are
	if len(prefixes) == 1 {
		opts.Prefix = prefixes[0]
	}
	it := txn.NewIterator(opts)
	defer it.Close()
	for _, prefix := range prefixes {
		for it.Seek(prefix); it.ValidForPrefix(prefix); it.Next() {
			s.touched.Add(1)
			item, err := s.item(ctx, p, it.Item())
			if err != nil {
				yield(store.Item{}, err)
				return
			}
			if !yield(item, nil) {
				return
			}
		}
	}
}

func (s *Store) item(ctx context.Context, p *part, i *badger.Item) (store.Item, error) {
	if err := ctx.Err(); err != nil {
		return store.Item{}, err
	}
	select {
	case <-s.lost:
		return store.Item{}, store.ErrClosed
	default:
	}
	key, err := store.ParseKey(i.Key())
	if err != nil {
		return store.Item{}, p.readError(err)
	}
	value, err := i.ValueCopy(nil)
	if err != nil {
		return store.Item{}, p.readError(err)
	}
	return store.Item{Key: key, Value: value}, nil
}

// Write implements store.Store. Promised kinds are written first, so that a cache never runs ahead of what it belongs to.
func (s *Store) Write(ctx context.Context, l store.Lease, ops ...store.Op) error {
	if len(ops) == 0 {
		return nil
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	device := ops[0].Key.Device
	if l == nil || l.Shard() != store.Shard(device) || l.Epoch() != s.epoch {
		return fmt.Errorf("%w: shard %d of %s", store.ErrFenced, store.Shard(device), device)
	}
	promised, cached := newRequest(), newRequest()
	for _, op := range ops {
		if op.Key.Device != device {
			return fmt.Errorf("%w: one write for %q and %q", store.ErrKey, device, op.Key.Device)
		}
		if err := op.Key.Check(); err != nil {
			return err
		}
		r := cached
		if op.Key.Kind.Promised() {
			r = promised
		}
		r.entries = append(r.entries, entry{op.Key.Append(nil), op.Value})
	}
	if err := s.promises.prepare(promised); err != nil {
		return err
	}
	if err := s.cache.prepare(cached); err != nil {
		return err
	}
	if err := s.commit(ctx, s.promises, promised); err != nil {
		return err
	}
	return s.commit(ctx, s.cache, cached)
}

// PutFleet implements store.Store.
func (s *Store) PutFleet(ctx context.Context, name string, old, value []byte) error {
	if err := checkFleet(name); err != nil {
		return err
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	r := newRequest(entry{store.FleetKey(name), value})
	if err := s.promises.prepare(r); err != nil {
		return err
	}
	r.check = func(txn *badger.Txn) error {
		v, err := s.promises.value(txn, r.entries[0].key)
		switch {
		case errors.Is(err, store.ErrNotFound) && old == nil:
			return nil
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return err
		case err != nil || old == nil || !bytes.Equal(v, old):
			return fmt.Errorf("%w: %s", store.ErrConflict, name)
		}
		return nil
	}
	return s.commit(ctx, s.promises, r)
}

func checkFleet(name string) error {
	if name == "" || len(name) > store.MaxKey {
		return fmt.Errorf("%w: the name of a fleet record has %d bytes", store.ErrKey, len(name))
	}
	return nil
}

func (s *Store) commit(ctx context.Context, p *part, r *request) error {
	if len(r.entries) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.touched.Add(int64(len(r.entries)))
	start := time.Now()
	err := p.write(ctx, r)
	s.metrics.wrote(p == s.promises, time.Since(start), err)
	return err
}
