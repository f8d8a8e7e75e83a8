package badger

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/dgraph-io/badger/v4"

	"isthmus/store"
)

// A backup is one stream, the whole of it:
//
//	magic, then the header: its length (4 bytes, big-endian) and a Header as JSON
//	for each record: 'p' (promises) or 'c' (cache), the key's and the value's lengths (uvarints), key, value
//	'.', the number of records (uvarint), the SHA-256 of everything before
const (
	backupMagic   = "isthmus backup\n"
	backupVersion = 1

	promisedRecord = 'p'
	cachedRecord   = 'c'
	lastRecord     = '.'

	maxHeader      = 4 << 10
	maxBackupKey   = store.MaxKey + 16
	maxBackupValue = 64 << 20 // far above what one Write takes
)

// The errors of reading a backup.
var (
	ErrNoBackup  = errors.New("this is no backup of isthmus")
	ErrNewer     = errors.New("the backup was made by a newer isthmus")
	ErrBadBackup = errors.New("the backup is damaged or cut short")
)

// Header is what a backup says of itself.
type Header struct {
	Version int       `json:"version"` // of the backup's own form
	Format  int       `json:"format"`  // of the records
	Isthmus string    `json:"isthmus"` // the version that made it
	Time    time.Time `json:"time"`    // the state is of this moment
}

// Backup describes a backup that was written or read to its end.
type Backup struct {
	Header
	Records int
	Devices int
	Bytes   int64
}

// Backup writes the state of one moment to w: every Write that returned before the call is in it, of later ones none or all of a
// kind's (the cache is never ahead of the promises). Writers go on meanwhile. Passwords of CPE are in it as they are in the store.
// isthmus is the version that makes it. ctx ends it between two records.
func (s *Store) Backup(ctx context.Context, w io.Writer, isthmus string) (Backup, error) {
	b := Backup{Header: Header{Version: backupVersion, Format: format, Isthmus: isthmus, Time: time.Now().UTC()}}
	if err := s.enter(); err != nil {
		return b, err
	}
	defer s.leave()
	cached, promised := s.cache.freeze(), s.promises.freeze() // in this order: the cache must not be ahead
	defer cached.discard()
	defer promised.discard()
	out := &backupWriter{w: bufio.NewWriterSize(w, 64<<10), sum: sha256.New()}
	out.header(&b.Header)
	for _, f := range []struct {
		mark byte
		*frozen
	}{{promisedRecord, promised}, {cachedRecord, cached}} {
		for f.it.Rewind(); f.it.Valid() && out.err == nil; f.it.Next() {
			if err := s.goOn(ctx); err != nil {
				return b, err
			}
			item := f.it.Item()
			if err := item.Value(func(v []byte) error { out.record(f.mark, item.Key(), v); return nil }); err != nil {
				return b, f.p.readError(err)
			}
			b.count(item.Key())
		}
	}
	out.end(b.Records)
	b.Bytes = out.n
	if out.err != nil {
		return b, fmt.Errorf("writing the backup: %w", out.err)
	}
	return b, nil
}

func (b *Backup) count(key []byte) {
	b.Records++
	if k, err := store.ParseKey(key); err == nil && k.Kind == store.Head {
		b.Devices++
	}
}

// goOn says why an iteration has to end.
func (s *Store) goOn(ctx context.Context) error {
	select {
	case <-s.lost:
		return store.ErrClosed
	default:
		return ctx.Err()
	}
}

// frozen is a database at one moment. The iterator is there from the start: it holds the tables, whatever is compacted meanwhile.
type frozen struct {
	p   *part
	txn *badger.Txn
	it  *badger.Iterator
}

func (p *part) freeze() *frozen {
	txn := p.db.NewTransactionAt(p.committed.Load(), false)
	return &frozen{p, txn, txn.NewIterator(badger.IteratorOptions{})}
}

func (f *frozen) discard() {
	f.it.Close()
	f.txn.Discard()
}

// backupWriter keeps the first error.
type backupWriter struct {
	w   *bufio.Writer
	sum hash.Hash
	n   int64
	err error
}

func (w *backupWriter) write(p []byte) {
	if w.err != nil {
		return
	}
	w.sum.Write(p)
	n, err := w.w.Write(p)
	w.n, w.err = w.n+int64(n), err
}

func (w *backupWriter) header(h *Header) {
	text, err := json.Marshal(h)
	if err != nil {
		w.err = err
		return
	}
	w.write([]byte(backupMagic))
	w.write(binary.BigEndian.AppendUint32(nil, uint32(len(text)))) //nolint:gosec // a Header is a few hundred bytes
	w.write(text)
}

func (w *backupWriter) record(mark byte, key, value []byte) {
	var head [1 + 2*binary.MaxVarintLen64]byte
	b := append(head[:0], mark)
	b = binary.AppendUvarint(b, uint64(len(key)))
	b = binary.AppendUvarint(b, uint64(len(value)))
	w.write(b)
	w.write(key)
	w.write(value)
}

func (w *backupWriter) end(records int) {
	w.write(binary.AppendUvarint([]byte{lastRecord}, uint64(records))) //nolint:gosec // a count
	w.write(w.sum.Sum(nil))
	if w.err == nil {
		w.err = w.w.Flush()
	}
}

// CheckBackup reads a backup to its end and keeps nothing. The error is ErrNoBackup, ErrNewer, ErrBadBackup or r's.
func CheckBackup(r io.Reader) (Backup, error) {
	in, err := newBackupReader(r)
	if err != nil {
		return Backup{}, err
	}
	for {
		if _, _, _, err := in.next(); errors.Is(err, io.EOF) {
			return in.b, nil
		} else if err != nil {
			return in.b, err
		}
	}
}

// backupReader reads a backup; what it gives is good only once next has given io.EOF.
type backupReader struct {
	r   *bufio.Reader
	sum hash.Hash
	b   Backup
	buf []byte
}

func newBackupReader(r io.Reader) (*backupReader, error) {
	in := &backupReader{r: bufio.NewReaderSize(r, 64<<10), sum: sha256.New()}
	magic, err := in.read(len(backupMagic))
	if err != nil || string(magic) != backupMagic {
		return nil, readFault(err, ErrNoBackup)
	}
	size, err := in.read(4)
	if err != nil {
		return nil, readFault(err, ErrBadBackup)
	}
	n := binary.BigEndian.Uint32(size)
	if n > maxHeader {
		return nil, fmt.Errorf("%w: its header has %d bytes", ErrBadBackup, n)
	}
	text, err := in.read(int(n))
	if err != nil {
		return nil, readFault(err, ErrBadBackup)
	}
	h := &in.b.Header
	if err := json.Unmarshal(text, h); err != nil {
		return nil, fmt.Errorf("%w: its header: %w", ErrBadBackup, err)
	}
	switch {
	case h.Version > backupVersion || h.Format > format:
		return nil, fmt.Errorf("%w, %.40q (form %d, format %d; this one knows %d and %d): restore it with that one",
			ErrNewer, h.Isthmus, h.Version, h.Format, backupVersion, format)
	case h.Version < 1 || h.Format < 1:
		return nil, fmt.Errorf("%w: it says form %d, format %d", ErrBadBackup, h.Version, h.Format)
	}
	return in, nil
}

// readFault is cause where the stream ended, else the reader's own error.
func readFault(err, cause error) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return cause
	}
	return err
}

// read gives the next n bytes, until the next call.
func (in *backupReader) read(n int) ([]byte, error) {
	if cap(in.buf) < n {
		in.buf = make([]byte, n)
	}
	b := in.buf[:n]
	got, err := io.ReadFull(in.r, b)
	in.sum.Write(b[:got])
	in.b.Bytes += int64(got)
	return b, err
}

// ReadByte is for binary.ReadUvarint.
func (in *backupReader) ReadByte() (byte, error) {
	c, err := in.r.ReadByte()
	if err == nil {
		in.sum.Write([]byte{c})
		in.b.Bytes++
	}
	return c, err
}

func (in *backupReader) length(limit uint64) (int, error) {
	n, err := binary.ReadUvarint(in)
	if err != nil {
		return 0, readFault(err, ErrBadBackup)
	}
	if n > limit {
		return 0, fmt.Errorf("%w: a length of %d", ErrBadBackup, n)
	}
	return int(n), nil //nolint:gosec // below limit
}

// next gives a record, the receiver's own, and io.EOF after the last of a backup that is whole.
func (in *backupReader) next() (mark byte, key, value []byte, err error) {
	if mark, err = in.ReadByte(); err != nil {
		return 0, nil, nil, readFault(err, ErrBadBackup)
	}
	switch mark {
	case promisedRecord, cachedRecord:
	case lastRecord:
		return 0, nil, nil, in.end()
	default:
		return 0, nil, nil, fmt.Errorf("%w: a record begins with %q", ErrBadBackup, mark)
	}
	keys, err := in.length(maxBackupKey)
	if err != nil {
		return 0, nil, nil, err
	}
	values, err := in.length(maxBackupValue)
	if err != nil {
		return 0, nil, nil, err
	}
	b, err := in.read(keys + values)
	if err != nil {
		return 0, nil, nil, readFault(err, ErrBadBackup)
	}
	own := append([]byte(nil), b...)
	in.b.count(own[:keys])
	return mark, own[:keys:keys], own[keys:], nil
}

func (in *backupReader) end() error {
	const most = 1 << 40
	records, err := in.length(most)
	if err != nil {
		return err
	}
	want := in.sum.Sum(nil)
	got, err := in.read(len(want))
	switch {
	case err != nil:
		return readFault(err, ErrBadBackup)
	case string(got) != string(want) || records != in.b.Records:
		return fmt.Errorf("%w: its checksum does not fit", ErrBadBackup)
	}
	if _, err := in.r.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows its end", ErrBadBackup)
	}
	return io.EOF
}
