//go:build linux || darwin

package bolt

import (
	"fmt"
	"syscall"
)

// DiskSpace returns how many more bytes the file system of dir accepts from an unprivileged process, and its
// size.
func DiskSpace(dir string) (free, total uint64, err error) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return 0, 0, fmt.Errorf("space of the disk of %s: %w", dir, err)
	}
	return stat.Bavail * uint64(stat.Bsize), stat.Blocks * uint64(stat.Bsize), nil
}
