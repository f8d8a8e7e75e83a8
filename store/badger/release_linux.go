package badger

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// release gives back the memory that the pages of dir's tables take in this process: they stay mapped as long as nobody else needs it, though
// what is read of all devices at the start is read once. Badger keeps to itself where it maps them, so the system says it. By the time a mapping
// is named here it may be gone and another in its place: MADV_PAGEOUT does that no harm, as MADV_DONTNEED would.
func release(dir string) error {
	dir, err := filepath.Abs(dir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return err
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return err
	}
	defer maps.Close()
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		// 7f13a0000000-7f13a1800000 rw-s 00000000 fe:00 1234   /data/cache/000001.sst
		line := lines.Text()
		if !strings.Contains(line, dir+string(filepath.Separator)) || !strings.HasSuffix(line, ".sst") {
			continue
		}
		addresses, _, _ := strings.Cut(line, " ")
		from, to, _ := strings.Cut(addresses, "-")
		begin, err1 := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		if err := errors.Join(err1, err2); err != nil {
			return fmt.Errorf("/proc/self/maps: %w", err)
		}
		const pageOut = 21 // MADV_PAGEOUT
		_, _, errno := syscall.Syscall(syscall.SYS_MADVISE, uintptr(begin), uintptr(end-begin), pageOut)
		if errno != 0 && errno != syscall.ENOMEM { // not mapped any more
			return fmt.Errorf("madvise: %w", errno)
		}
	}
	return lines.Err()
}
