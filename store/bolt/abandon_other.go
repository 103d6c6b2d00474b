//go:build !linux && !darwin

package bolt

import (
	"errors"
	"os"
)

// abandon closes the file of a database in which bbolt panicked; the lock may stay until the
// process ends.
func abandon(file *os.File) error { return file.Close() }

// lockAlone is not supported here: how bbolt locks a file is not known.
func lockAlone(*os.File) error { return errors.ErrUnsupported }
