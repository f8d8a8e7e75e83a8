//go:build linux || darwin

package badger

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// freeSpace is what dir's file system still gives to an unprivileged process, in bytes.
func freeSpace(dir string) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil
}

func occupied(info fs.FileInfo) int64 {
	const block = 512 // of st_blocks, whatever the file system's are
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * block
	}
	return info.Size()
}

// flock locks f for this process; held is true where another has it.
func flock(f *os.File) (held bool, err error) {
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	return errors.Is(err, syscall.EWOULDBLOCK), err
}
