//go:build linux || darwin

package bolt

import (
	"errors"
	"os"
	"syscall"
)

// abandon closes the file of a database in which bbolt panicked. A goroutine that it left behind
// may still read the map, which so must stay, and the lock would stay with it.
func abandon(file *os.File) error {
	return errors.Join(syscall.Flock(int(file.Fd()), syscall.LOCK_UN), file.Close())
}
