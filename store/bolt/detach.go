package bolt

import (
	"errors"
	"fmt"
	"os"
	"time"

	"go.etcd.io/bbolt"

	"tidings/store"
)

// Detach makes the mirror in the directory path an ordinary log, and returns its new identity. Nobody may
// have it open. It keeps all that the mirror has; the new identity is needed because what it stores from now
// on is not what its sequence continues with. A crash leaves the mirror or the log. Errors: ErrNoLog,
// ErrDamaged, ErrNewerFormat, ErrLocked, ErrExists when the log is not a mirror, and one for an unfinished
// mirror.
func Detach(path string) (id store.ID, err error) {
	if _, err := (&dir{path: path}).mustFind(); err != nil {
		return store.ID{}, err
	}
	d, err := hold(path)
	if err != nil {
		return store.ID{}, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	file := d.file(fileName)
	info, err := os.Lstat(file)
	if err != nil {
		return store.ID{}, fmt.Errorf("detach: %w", err)
	}
	var found pages
	err = checkWhole(file, info.Size(), &found, func(tx *bbolt.Tx) error { return refusePart(tx, file) })
	if err := errors.Join(err, found.close()); err != nil {
		return store.ID{}, err
	}
	return identify(file, func(tx *bbolt.Tx) error {
		if _, mirror, err := getPlace(tx); !mirror || err != nil {
			return errors.Join(err, fmt.Errorf("%w, %s, and it is not a mirror", ErrExists, file))
		}
		return nil
	})
}

// identify gives the log in the closed file a new identity, durably, unless check refuses it.
func identify(path string, check func(*bbolt.Tx) error) (store.ID, error) {
	id, err := store.NewID(time.Now())
	if err != nil {
		return store.ID{}, err
	}
	db, err := bbolt.Open(path, fileMode, &bbolt.Options{NoFreelistSync: true,
		FreelistType: bbolt.FreelistMapType, Timeout: lockWait, OpenFile: openFile})
	if err != nil {
		return store.ID{}, fmt.Errorf("open %s: %w", path, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		if err := check(tx); err != nil {
			return err
		}
		return makeOrdinary(tx, id)
	})
	return id, errors.Join(err, db.Sync(), db.Close())
}
