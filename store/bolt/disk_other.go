//go:build !linux && !darwin

package bolt

import (
	"errors"
	"fmt"
)

// DiskSpace is not supported here.
func DiskSpace(dir string) (free, total uint64, err error) {
	return 0, 0, fmt.Errorf("space of the disk of %s: %w", dir, errors.ErrUnsupported)
}
