//go:build !linux && !darwin

package bolt

import (
	"errors"
	"os"
)

// abandon closes the file of a database in which bbolt panicked; the lock may stay until the
// process ends.
func abandon(file *os.File) error { return file.Close() }

// lockAlone does not know how bbolt locks a file here.
func lockAlone(*os.File) error { return errors.ErrUnsupported }
