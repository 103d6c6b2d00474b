package bolt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"tidings/store"
)

// Files of a data directory.
const (
	fileName       = "log.db"
	newName        = "log.db.new"        // a log being created; removed when found
	unfinishedName = "log.db.unfinished" // created by Restore, Fill and PutBack; never opened as a log
	lockName       = "lock"              // the process that may write here, for the error message of the next one
	closedName     = "closed"            // the note of the last close, see closed.go
	spoolName      = "log.db.copy"       // a backup is sent from it; it has this name only for a moment

	dirMode  = 0o700
	fileMode = 0o600

	lockWait  = time.Second // for another process to release the lock, and for bbolt's own lock
	lockRetry = 20 * time.Millisecond
)

// dir is a data directory that this process holds exclusively until close. The lock is on the directory and
// not on the log file, because a lock follows a file that is renamed.
type dir struct {
	path  string
	owner owner
	lock  *flock.Flock
	made  bool // hold created it
	signs bool // wrote the lock file, and removes it
}

// owner is the owner of a file.
type owner struct{ uid, gid int }

func ownerOf(info fs.FileInfo) owner {
	stat := info.Sys().(*syscall.Stat_t) // on every Unix
	return owner{int(stat.Uid), int(stat.Gid)}
}

// holdToRead is hold for callers that write nothing, whoever owns the directory.
func holdToRead(path string) (*dir, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open the data directory: %w", err)
	}
	d := &dir{path: path, owner: ownerOf(info)}
	if err := d.acquire(); err != nil {
		return nil, err
	}
	_ = remove(d.file(lockName)) // left by a process that was killed; it may stay
	return d, nil
}

// hold creates the directory if there is none, and locks it. It refuses a directory in which another user
// could replace a file that is being written.
func hold(path string) (*dir, error) {
	_, err := os.Stat(path)
	made := errors.Is(err, fs.ErrNotExist)
	if err := os.MkdirAll(path, dirMode); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open the data directory: %w", err)
	}
	d := &dir{path: path, owner: ownerOf(info), made: made}
	if err := d.refuse(info); err != nil {
		return nil, err
	}
	if err := d.acquire(); err != nil {
		return nil, err
	}
	if err := d.sign(); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// refuse returns the error about a directory that others can write. The superuser may work in another user's
// directory; files created there belong to that user, see create. A group that may write is not refused:
// orchestrators give volumes to a group.
func (d *dir) refuse(info fs.FileInfo) error {
	uid := os.Geteuid()
	switch {
	case uid != 0 && d.owner.uid != uid && d.owner.uid != 0:
		return fmt.Errorf("%w: %s belongs to user %d and this is user %d; "+
			"use a directory of your own, or chown this one", ErrUnsafe, d.path, d.owner.uid, uid)
	case info.Mode().Perm()&0o002 != 0:
		return fmt.Errorf("%w: %s is world-writable; use another directory, or: chmod o-w %s",
			ErrUnsafe, d.path, d.path)
	}
	return nil
}

func (d *dir) acquire() error {
	d.lock = flock.New(d.path, flock.SetFlag(os.O_RDONLY))
	// a predecessor may be about to exit
	ctx, cancel := context.WithTimeout(context.Background(), lockWait)
	defer cancel()
	ok, err := d.lock.TryLockContext(ctx, lockRetry)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("lock the data directory: %w", err)
	}
	if !ok {
		holder := "another process"
		if text, err := os.ReadFile(d.file(lockName)); err == nil { // only for the message
			holder = "process " + strings.TrimSpace(string(text))
		}
		return errors.Join(fmt.Errorf("%w: %s is held by %s; stop it, or use another directory",
			ErrLocked, d.path, holder), d.lock.Close())
	}
	return nil
}

// sign writes the process ID, for the next process's error message. A full disk must not keep the log closed:
// it can be trimmed.
func (d *dir) sign() error {
	if err := remove(d.file(lockName)); err != nil {
		return fmt.Errorf("replace the lock file: %w", err)
	}
	f, err := d.create(lockName)
	if err == nil {
		_, err = fmt.Fprintln(f, os.Getpid())
		err = errors.Join(err, f.Close())
	}
	if err != nil && !isFull(err) {
		return fmt.Errorf("write the lock file: %w", err)
	}
	d.signs = true
	return nil
}

// close releases the directory, and removes it if hold created it and it is still empty.
func (d *dir) close() error {
	var err error
	if d.signs {
		err = remove(d.file(lockName))
	}
	if d.made {
		_ = os.Remove(d.path) // fails if there is a log now
	}
	return errors.Join(err, d.lock.Close())
}

func (d *dir) file(name string) string { return filepath.Join(d.path, name) }

// find returns the log's file, nil if there is none. Anything else with its name is an error, never the place
// for a new log: it may be a link to a disk that is not mounted.
func (d *dir) find() (fs.FileInfo, error) {
	path := d.file(fileName)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("open the log: %w", err)
	case info.Mode()&fs.ModeSymlink != 0:
		target, _ := os.Readlink(path) // only for the message
		return nil, fmt.Errorf("%w: %s is a link, to %s; move the file here, or make the whole "+
			"directory the link", ErrDamaged, path, target)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: %s is not a regular file (%v)", ErrDamaged, path, info.Mode().Type())
	}
	return info, nil
}

// mustFind is find for callers that need an existing log.
func (d *dir) mustFind() (fs.FileInfo, error) {
	info, err := d.find()
	if err == nil && info == nil {
		err = cmp.Or(d.refuseUnfinished(), fmt.Errorf("%w: %s", ErrNoLog, d.file(fileName)))
	}
	return info, err
}

func (d *dir) refuseUnfinished() error {
	path := d.file(unfinishedName)
	if _, err := os.Lstat(path); err != nil {
		return nil
	}
	return fmt.Errorf("%w: %s was left by a restore or an import that did not finish; run it again, "+
		"or remove the file to start with an empty log", ErrDamaged, path)
}

// warn logs what an operator may want to change.
func (d *dir) warn(log fs.FileInfo, logger *slog.Logger) {
	if mode := log.Mode().Perm(); mode&0o007 != 0 {
		logger.Warn("log file is world-readable; unless intended: chmod o= FILE",
			"file", d.file(fileName), "mode", mode.String())
	}
}

// create creates a new file. If the superuser creates it, it belongs to the directory's owner.
func (d *dir) create(name string) (*os.File, error) {
	f, err := openFile(d.file(name), os.O_CREATE|os.O_EXCL|os.O_RDWR, fileMode)
	if err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 && d.owner.uid != 0 {
		// The directory's owner has to open it later. A superuser that may not change owners keeps it.
		_ = f.Chown(d.owner.uid, d.owner.gid)
	}
	return f, nil
}

// createLike creates an empty file with the log's owner, group and mode, which will take its place.
func (d *dir) createLike(name string) error {
	info, err := d.mustFind()
	if err != nil {
		return err
	}
	f, err := openFile(d.file(name), os.O_CREATE|os.O_EXCL|os.O_RDWR, fileMode)
	if err != nil {
		return err
	}
	log := ownerOf(info)
	if made, statErr := f.Stat(); statErr != nil {
		err = statErr
	} else if ownerOf(made) != log {
		err = f.Chown(log.uid, log.gid)
	}
	if err != nil {
		err = fmt.Errorf("the new file cannot get the owner of %s (%d:%d), keeping the old one; "+
			"run it as that user or as root: %w", d.file(fileName), log.uid, log.gid, err)
	}
	return errors.Join(err, f.Chmod(info.Mode().Perm()), f.Close())
}

// setAside renames the log to a name that nothing touches, and returns its path.
func (d *dir) setAside() (path string, err error) {
	if path, err = d.nameAside(); err == nil {
		err = os.Rename(d.file(fileName), path)
	}
	if err != nil {
		return "", fmt.Errorf("set the log aside: %w", err)
	}
	return path, syncDir(d.path)
}

// linkAside is setAside for a log that is about to be replaced; where hard links work, it keeps its own name
// until then.
func (d *dir) linkAside() (path string, err error) {
	if path, err = d.nameAside(); err == nil {
		err = os.Link(d.file(fileName), path)
	}
	if err != nil {
		return d.setAside()
	}
	return path, syncDir(d.path)
}

func (d *dir) nameAside() (path string, err error) {
	id, err := store.NewID(time.Now())
	return d.file(fileName + ".aside-" + id.String()), err
}

// clean removes what a crash left of a creation, a restore, an import, a compaction or a backup.
func (d *dir) clean() error {
	for _, name := range []string{newName, unfinishedName, spoolName} {
		if err := remove(d.file(name)); err != nil {
			return fmt.Errorf("remove an unfinished file: %w", err)
		}
	}
	return nil
}

// install renames a new file, which is on disk, to the log. A crash leaves what was there before or the whole
// new log.
func (d *dir) install(name string) error {
	if err := os.Rename(d.file(name), d.file(fileName)); err != nil {
		return fmt.Errorf("rename the new log: %w", err)
	}
	// the directory itself may be new
	return errors.Join(syncDir(d.path), syncDir(filepath.Dir(d.path)))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync the data directory: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync the data directory: %w", err)
	}
	return nil
}

// remove removes a file, or a link itself. A missing file is no error.
func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// openFile is os.OpenFile without following a link in the last element of the path. bbolt uses it for every
// file.
func openFile(path string, flag int, mode os.FileMode) (*os.File, error) {
	return os.OpenFile(path, flag|syscall.O_NOFOLLOW, mode)
}
