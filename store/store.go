// Package store keeps what isthmus must not forget. It knows keys, kinds and bytes; what the bytes mean is their owner's
// business. The embedded implementation is store/badger.
//
// Every device belongs to a shard (Shard), and every write of a device's records carries the Lease of that shard, so that the
// same callers work where several processes share a store. Fleet records belong to no shard: they are immutable and named
// after their content, or replaced by compare-and-swap.
package store

import (
	"context"
	"errors"
	"hash/fnv"
	"iter"
)

// Shards is the number of shards; it never changes, since keys begin with the shard.
const Shards = 256

// Shard is the shard of a device.
func Shard(device string) int {
	h := fnv.New32a()
	h.Write([]byte(device))
	return int(h.Sum32() % Shards)
}

// Kind is what a record is about; a byte of the key.
type Kind byte

// The kinds of records. Those that Promised lists are synced to disk before Write returns, since somebody was, or will be, told
// that they exist. The others are a cache: after a crash the last ones may be missing, never torn.
const (
	Head         Kind = 'h' // one a device, under 1 KB: identity, Endpoint ID, last Inform, boot state
	Snapshot     Kind = 's' // one a device: the cached tree, compressed
	Inform       Kind = 'i' // one a device: the parameters of the last Inform, laid over the snapshot
	Row          Kind = 'r' // a row of the Agent's own tables; ID is its path below Device.
	Notification Kind = 'n' // a Notify that has not been delivered; ID orders them
	Operation    Kind = 'o' // a command that runs; ID is its CommandKey
	Journal      Kind = 'j' // what has to be undone or verified at the CPE; ID names the step
	Attributes   Kind = 'a' // one a device: which parameters it was told to report
	Alias        Kind = 'l' // one a device: what rows are called that the CPE has no parameter for
	Secret       Kind = 'p' // one a device: what isthmus wrote to the CPE unasked, passwords among it; nothing shows it
)

// Promised says whether a kind is synced before Write returns.
func (k Kind) Promised() bool { return k != Snapshot && k != Inform }

// Key names one record. ID is empty for the kinds that a device has one of.
type Key struct {
	Device string // Endpoint ID
	Kind   Kind
	ID     string
}

// Item is a record as List and All give it; Value is the receiver's.
type Item struct {
	Key   Key
	Value []byte
}

// Op is one change of a Write: Value nil deletes.
type Op struct {
	Key   Key
	Value []byte
}

// Lease is the right to write one shard.
type Lease interface {
	Shard() int
	// Epoch grows with every change of owner.
	Epoch() uint64
	// Valid is cheap; check it before every externally visible action.
	Valid() bool
	// Lost is closed when the lease has ended.
	Lost() <-chan struct{}
}

// The errors that callers tell apart.
var (
	ErrNotFound = errors.New("store: not found")
	ErrFenced   = errors.New("store: the shard has another owner")
	ErrConflict = errors.New("store: record was changed by somebody else")
	ErrClosed   = errors.New("store: closed")
	ErrTooBig   = errors.New("store: too big for one write")
)

// Store is safe for concurrent use.
type Store interface {
	// Acquire gets the lease of a shard; the embedded store always gives it, and it is always valid.
	Acquire(ctx context.Context, shard int) (Lease, error)
	// Get reads one record, or ErrNotFound. The value is the caller's.
	Get(ctx context.Context, key Key) ([]byte, error)
	// List gives a device's records of a kind, by ID.
	List(ctx context.Context, device string, kind Kind) iter.Seq2[Item, error]
	// All gives the records of a kind of every device, in key order.
	All(ctx context.Context, kind Kind) iter.Seq2[Item, error]
	// Write applies the ops, all of one device. Those of promised kinds are applied together or not at all, and are on disk when
	// it returns; the others follow, likewise together. Nothing is kept of the ops. A write over the store's bound is ErrTooBig
	// and changes nothing. ctx ends the wait for a turn, not a write that has begun; after any other error the ops may have
	// been applied or not.
	Write(ctx context.Context, lease Lease, ops ...Op) error
	// Fleet reads a fleet record, or ErrNotFound.
	Fleet(ctx context.Context, name string) ([]byte, error)
	// PutFleet writes a fleet record (value nil: deletes it) where it holds old (nil: where there is none), else ErrConflict. It is
	// on disk on return.
	PutFleet(ctx context.Context, name string, old, value []byte) error
	// Ready says why the store cannot serve, nil if it can.
	Ready() error
	Close() error
}
