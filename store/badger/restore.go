package badger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// A restore builds the new store beside the old one, in unfinishedDir, and renames that to restoredDir once it is whole: from then on
// the restore has happened, and whoever opens the directory next completes it (install). What was there before is kept in replacedDir.
const (
	unfinishedDir = "restoring"
	restoredDir   = "restored"
	replacedDir   = "replaced" // and the time

	// spaceCheck is after how many records a restore looks whether the disk still has room.
	spaceCheck = 1000
)

// ErrNotEmpty is returned where a restore would take the place of a store and was not told to.
var ErrNotEmpty = errors.New("there is a store already")

// Restore makes dir the store that the backup r holds. The directory must not be open. A store that is there is kept beside the new
// one, under replaced-<time>, with replace; without, the error is ErrNotEmpty. After any error dir is as it was.
func Restore(ctx context.Context, dir string, r io.Reader, replace bool, opts *Options) (b Backup, err error) {
	o := opts.withDefaults()
	if err := makePrivate(dir); err != nil {
		return b, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return b, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := install(dir, o.Logger); err != nil {
		return b, err
	}
	if _, err := os.Stat(filepath.Join(dir, promisesDir)); err == nil && !replace {
		return b, fmt.Errorf("store %s: %w", dir, ErrNotEmpty)
	}
	unfinished := filepath.Join(dir, unfinishedDir)
	if err := os.RemoveAll(unfinished); err != nil { // of a restore that was cut off
		return b, fmt.Errorf("store %s: %w", dir, err)
	}
	if b, err = build(ctx, unfinished, r, &o); err != nil {
		return b, errors.Join(err, os.RemoveAll(unfinished))
	}
	if err := os.Rename(unfinished, filepath.Join(dir, restoredDir)); err != nil {
		return b, errors.Join(fmt.Errorf("store %s: %w", dir, err), os.RemoveAll(unfinished))
	}
	if err := syncDir(dir); err != nil {
		return b, err
	}
	return b, install(dir, o.Logger)
}

// build makes a store in dir, which nobody else knows, and has it on disk on return.
func build(ctx context.Context, dir string, r io.Reader, o *Options) (b Backup, err error) {
	in, err := newBackupReader(r)
	if err != nil {
		return b, err
	}
	if err := makePrivate(dir); err != nil {
		return b, err
	}
	promises, err := newFiller(dir, promisesDir, o)
	if err != nil {
		return b, err
	}
	defer func() { err = errors.Join(err, promises.close()) }()
	cache, err := newFiller(dir, cacheDir, o)
	if err != nil {
		return b, err
	}
	defer func() { err = errors.Join(err, cache.close()) }()
	for {
		mark, key, value, err := in.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		if err == nil && in.b.Records%spaceCheck == 1 {
			err = promises.ready()
		}
		if err == nil {
			if mark == promisedRecord {
				err = promises.set(key, value)
			} else {
				err = cache.set(key, value)
			}
		}
		if err != nil {
			return in.b, err
		}
	}
	if err := errors.Join(promises.flush(), cache.flush()); err != nil {
		return in.b, err
	}
	return in.b, writeFormat(dir, filepath.Join(dir, formatFile), in.b.Format)
}

// filler fills a new database.
type filler struct {
	*part
	batch *badger.WriteBatch
}

// firstCommit is the timestamp of all that a restored store begins with.
const firstCommit = 1

func newFiller(dir, name string, o *Options) (*filler, error) {
	p, err := openPart(dir, name, o)
	if err != nil {
		return nil, err
	}
	return &filler{p, p.db.NewWriteBatchAt(firstCommit)}, nil
}

func (f *filler) set(key, value []byte) error {
	if err := f.batch.Set(key, value); err != nil {
		return fmt.Errorf("writing store %s: %w", f.dir, err)
	}
	return nil
}

func (f *filler) flush() error {
	if err := errors.Join(f.batch.Flush(), f.db.Sync()); err != nil {
		return fmt.Errorf("writing store %s: %w", f.dir, err)
	}
	return nil
}

func (f *filler) close() error {
	f.batch.Cancel()
	return f.part.close()
}

// install completes a restore that has happened: it moves what was there out of the way and what was restored to its place. It may
// be cut off anywhere and called again.
func install(dir string, log *slog.Logger) error {
	restored := filepath.Join(dir, restoredDir)
	if _, err := os.Stat(restored); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	old := filepath.Join(restored, replacedDir)
	for _, name := range []string{formatFile, promisesDir, cacheDir} {
		from, to := filepath.Join(restored, name), filepath.Join(dir, name)
		if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) {
			continue // moved already
		}
		if _, err := os.Stat(to); err == nil {
			if err := errors.Join(makePrivate(old), os.Rename(to, filepath.Join(old, name))); err != nil {
				return fmt.Errorf("completing the restore of store %s: %w", dir, err)
			}
		}
		if err := os.Rename(from, to); err != nil {
			return fmt.Errorf("completing the restore of store %s: %w", dir, err)
		}
	}
	if _, err := os.Stat(old); err == nil {
		as := filepath.Join(dir, replacedDir+"-"+time.Now().UTC().Format("20060102T150405.000"))
		if err := os.Rename(old, as); err != nil {
			return fmt.Errorf("completing the restore of store %s: %w", dir, err)
		}
		log.Info("the store that was there before the restore is kept: delete it when it is not needed any more", "dir", as)
	}
	if err := os.Remove(restored); err != nil {
		return fmt.Errorf("completing the restore of store %s: %w", dir, err)
	}
	return syncDir(dir)
}
