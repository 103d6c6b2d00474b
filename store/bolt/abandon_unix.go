//go:build linux || darwin

package bolt

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// abandon closes the file of a database in which bbolt panicked. A goroutine that bbolt left behind may still
// read the map, so the map stays; without the explicit unlock the lock would stay with it.
func abandon(file *os.File) error {
	return errors.Join(syscall.Flock(int(file.Fd()), syscall.LOCK_UN), file.Close())
}

// lockAlone takes the lock that bbolt takes for writing; closing the file releases it.
func lockAlone(file *os.File) error {
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("lock %s: %w", file.Name(), err)
	}
	return nil
}
