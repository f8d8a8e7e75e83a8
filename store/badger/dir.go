package badger

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// What is in the directory of a store.
const (
	promisesDir = "promises"
	cacheDir    = "cache"
	formatFile  = "format" // the format version, a decimal number
	lockFile    = "lock"   // locked, and holding the number of the process that has the store open
)

const maxPID = 32 // bytes of lockFile

// format is the version of everything under the directory: files, keys, and what the owners of the records write.
const format = 1

// makePrivate makes dir, for its owner alone.
func makePrivate(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("creating the store: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("store %s: %w", dir, err)
	}
	return nil
}

// checkFormat checks the format of what is in dir before it is opened; an empty dir gets ours.
func checkFormat(dir string) error {
	path := filepath.Join(dir, formatFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(dir, promisesDir)); err == nil {
			return fmt.Errorf("store %s is damaged: %s is missing; restore the directory as a whole", dir, path)
		}
		return writeFormat(dir, path, format)
	}
	if err != nil {
		return fmt.Errorf("store %s: %w", dir, err)
	}
	found, err := strconv.Atoi(strings.TrimSpace(string(b)))
	switch {
	case err != nil || found < 1:
		return fmt.Errorf("store %s is damaged: %s holds %.20q, not a format version; restore the directory as a whole", dir, path, b)
	case found > format:
		return fmt.Errorf("store %s has format %d and this isthmus knows %d: "+
			"start the newer isthmus that wrote it, or give this one another data_dir", dir, found, format)
	}
	return nil
}

// writeFormat writes the format file as a whole or not at all.
func writeFormat(dir, path string, version int) error {
	f, err := os.CreateTemp(dir, formatFile+"-*")
	if err != nil {
		return fmt.Errorf("creating the store: %w", err)
	}
	_, err = fmt.Fprintln(f, version)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("creating the store %s: %w", dir, err), os.Remove(f.Name()))
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("store %s: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("store %s: %w", dir, err)
	}
	return nil
}

// lockDir takes dir for this process until the file is closed, or says which process has it. A process that was killed holds no lock.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening store %s: %w", dir, err)
	}
	held, err := flock(f)
	if held {
		owner := "another process"
		if b, err := io.ReadAll(io.LimitReader(f, maxPID)); err == nil && len(b) > 0 {
			owner = "process " + strings.TrimSpace(string(b))
		}
		err = fmt.Errorf("store %s is in use by %s: stop that first, or give this one another data_dir", dir, owner)
		return nil, errors.Join(err, f.Close())
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = fmt.Fprintln(f, os.Getpid())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking store %s: %w", dir, err), f.Close())
	}
	return f, nil
}

// diskUsage is what the files of dir occupy; a file with holes counts without them.
func diskUsage(dir string) (int64, error) {
	var size int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) { // compacted away meanwhile
			return nil
		}
		if err == nil {
			size += occupied(info)
		}
		return err
	})
	return size, err
}
