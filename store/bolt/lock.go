package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

const (
	lockName  = "lock"
	lockRetry = 20 * time.Millisecond
)

// lockDir locks the directory, not the log file: bbolt's own lock follows a file that is renamed.
// The lock file holds the process ID of its owner, for the error of the next one.
func lockDir(dir string) (*flock.Flock, error) {
	lock := flock.New(filepath.Join(dir, lockName), flock.SetFlag(os.O_CREATE|os.O_RDWR),
		flock.SetPermissions(fileMode))
	// a predecessor may be on its way out
	ctx, cancel := context.WithTimeout(context.Background(), lockWait)
	defer cancel()
	ok, err := lock.TryLockContext(ctx, lockRetry)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	if !ok {
		holder, _ := os.ReadFile(lock.Path()) // best effort: only for the message
		return nil, errors.Join(fmt.Errorf(
			"%w: %s is held by process %s; stop it, or use another directory",
			ErrLocked, dir, strings.TrimSpace(string(holder))), lock.Close())
	}
	// A disk that is full must not keep the log closed: it can be trimmed.
	if err := os.WriteFile(lock.Path(), fmt.Appendln(nil, os.Getpid()), fileMode); err != nil &&
		!isFull(err) {
		return nil, errors.Join(fmt.Errorf("write the lock file: %w", err), lock.Close())
	}
	return lock, nil
}
