//go:build !linux && !darwin

package bolt

import "os"

// abandon closes the file of a database in which bbolt panicked; the lock may stay until the
// process ends.
func abandon(file *os.File) error { return file.Close() }
