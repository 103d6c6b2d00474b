package bolt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"go.etcd.io/bbolt"

	"tidings/store"
)

// openMirror opens the mirror of a sequence, or creates it. A damaged mirror can be rebuilt, but may have
// what others have lost: it is kept.
func openMirror(d *dir, exists bool, o Options) (*Log, error) {
	ctx, cancel := context.WithTimeout(o.Context, o.SequencerTimeout)
	defer cancel()
	id, err := o.Sequencer.LogID(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	o.logID = id
	if exists {
		l, err := open(d, fileName, o)
		if err == nil {
			return l, nil
		}
		if failed := d.makeWay(err, o.Logger); failed != nil {
			return nil, failed
		}
		o.rebuilt = errors.Is(err, ErrDamaged)
	}
	return openNewMirror(d, o)
}

// openNewMirror creates a mirror, and recreates it if the sequence was meanwhile purged beyond it.
func openNewMirror(d *dir, o Options) (*Log, error) {
	for try := 1; ; try++ {
		if err := makeLog(d, o, o.logID); err != nil {
			return nil, err
		}
		l, err := open(d, fileName, o)
		if !errors.Is(err, store.ErrPurged) {
			return l, err
		}
		if err := d.removeLog(); err != nil {
			return nil, err
		}
		if try == makeAnew {
			return nil, fmt.Errorf("%w; if no node has purged it, copy the log.db of one that is up to date, "+
				"or restore a backup into a new stream", err)
		}
	}
}

// makeAnew is the maximum number of times that an Open creates a mirror.
const makeAnew = 3

// removeLog removes a mirror that holds nothing beyond its sequence.
func (d *dir) removeLog() error {
	return errors.Join(remove(d.file(closedName)), remove(d.file(fileName)), syncDir(d.path))
}

// makeWay clears the place of a mirror that cannot be opened for a new one, or returns the error.
func (d *dir) makeWay(err error, logger *slog.Logger) error {
	switch {
	case errors.Is(err, errUnfinished): // it never had a place, and holds nothing beyond the sequence
		logger.Warn("mirror incomplete: rebuilding it")
		return d.removeLog()
	case errors.Is(err, ErrDamaged), errors.Is(err, store.ErrPurged):
		aside, failed := d.setAside()
		if failed != nil {
			return errors.Join(err, failed)
		}
		if errors.Is(err, store.ErrPurged) {
			logger.Warn("the mirror ends before its sequence begins: set aside and rebuilt. Unless the sequence has "+
				"lost events (compare its newest one), delete the file when this node is ready", "file", aside)
			return nil
		}
		logger.Error("mirror damaged: set aside and rebuilt", "file", aside, "error", err)
		return nil
	}
	return err
}

// errUnfinished is the error for a mirror whose state was not completely loaded.
var errUnfinished = errors.New("the mirror is incomplete")

// refusePart returns an error if the mirror in a file has only part of a state: anyone who uses it without
// its sequence would take that for all of it.
func refusePart(tx *bbolt.Tx, path string) error {
	at, mirror, err := getPlace(tx)
	if err == nil && mirror && at == (store.Place{}) && hasAny(tx.Bucket(bucketTopics)) {
		err = refusal{fmt.Errorf("%w: %s has only part of its log; start its node, which rebuilds it, or put a "+
			"mirror that "+
			"was set aside, %s.aside-..., back in its place", errUnfinished, path, path)}
	}
	return err
}

// loadPlace refuses a mirror opened without its sequence, a mirror of another sequence, and an ordinary log
// opened with a sequence.
func (l *Log) loadPlace(tx *bbolt.Tx, o Options) error {
	at, mirror, err := getPlace(tx)
	switch {
	case err != nil:
		return err
	case mirror && l.mirror == nil && !o.Alone:
		return refusal{fmt.Errorf("%w of log %s: start it with the sequence that it follows, or turn it into a "+
			"standalone "+
			"log with tidings detach", ErrMirror, l.id)}
	case mirror && l.mirror == nil:
		if err := refusePart(tx, l.path); err != nil {
			return err
		}
		l.queue.refusal = fmt.Errorf("%w of log %s, opened without its sequence: it is read-only", ErrMirror, l.id)
	case !mirror && l.mirror != nil:
		return refusal{fmt.Errorf("%w, %s, and it is not a mirror; use another directory", ErrExists, l.path)}
	case mirror && l.id != o.logID:
		return refusal{fmt.Errorf("%w: %w, %s, and %s is a mirror of log %s: open it with that one's sequence; if that is "+
			"gone, restore a backup of the mirror into a new one", store.ErrDiverged, ErrOtherLog, o.logID, l.path, l.id)}
	case mirror:
		if err := refusePart(tx, l.path); err != nil {
			return err
		}
		l.mirror.at.Store(&at)
	}
	return nil
}

func hasAny(b *bbolt.Bucket) bool {
	k, _ := b.Cursor().First()
	return k != nil
}
