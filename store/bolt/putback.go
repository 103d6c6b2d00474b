package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"tidings/store"
	"tidings/store/internal/commit"
)

// Errors of PutBack, before anything is appended.
var (
	// ErrNotPrefix: the content of the sequence is not a prefix of the mirror's.
	ErrNotPrefix = errors.New("the sequence does not end where the mirror's tail begins")

	// ErrNothingLost: the sequence has all that the mirror has.
	ErrNothingLost = errors.New("the sequence has everything that the mirror has")
)

// Returned is what PutBack has put back.
type Returned struct {
	Events  uint64   // events that the sequence has again
	After   store.ID // they follow this one
	Through store.ID // the newest
	Aside   string   // the old mirror's new name
}

// PutBack appends to a sequence, o.Sequencer, what the mirror in the directory path has and the sequence has
// lost. All events keep their IDs. A newer read mark or delivery of the sequence stays. Nobody else may write
// to it meanwhile. The directory then has a new mirror, and the old one another name. docs/adr/0029 says what
// a crash leaves. Errors: ErrNotPrefix and ErrNothingLost; ErrExists when another node writes to the
// sequence; store.ErrDiverged when it belongs to another log; ErrDamaged, ErrNoLog, ErrLocked, and those of
// the sequencer. After an error it can be called again.
func PutBack(ctx context.Context, path string, o Options) (r Returned, err error) {
	if _, err := (&dir{path: path}).mustFind(); err != nil {
		return r, err
	}
	d, err := hold(path)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.clean(); err != nil {
		return r, err
	}
	file := d.file(fileName)
	report, err := verifyFile(ctx, file, nil)
	if err == nil {
		err = report.refusal(file, false)
	}
	if err != nil {
		return r, err
	}
	o = o.withDefaults()
	o.Context = ctx
	if o.logID, err = o.Sequencer.LogID(ctx); err != nil {
		return r, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	if report.LogID != o.logID {
		return r, fmt.Errorf("%w: %s is a mirror of log %s, the sequence is of log %s; make another sequence of a "+
			"backup of it, by restore", store.ErrDiverged, file, report.LogID, o.logID)
	}
	o.plant = func(c *committer) error { return c.putBack(file, &r) }
	if err = create(d, unfinishedName, o.Now(), o.logID); err == nil {
		var l *Log
		if l, err = open(d, unfinishedName, o); err == nil {
			err = l.shut()
		}
	}
	if err != nil {
		return r, errors.Join(err, d.clean())
	}
	if r.Aside, err = d.linkAside(); err != nil {
		return r, err
	}
	return r, d.install(unfinishedName)
}

// putBack makes commits of what the mirror in a file has beyond the log, which is at the end of its sequence.
// The file was verified.
func (c *committer) putBack(file string, r *Returned) error {
	r.After = c.horizon.Head()
	before := c.horizon.index.events
	if c.mirror.place() == (store.Place{}) {
		if err := c.plant(file); err != nil {
			return err
		}
		r.Events, r.Through = c.horizon.index.events, c.horizon.Head()
		return nil
	}
	db, err := bbolt.Open(file, fileMode, &bbolt.Options{ReadOnly: true, Timeout: lockWait, OpenFile: openFile})
	if err != nil {
		return fmt.Errorf("open %s: %w", file, err)
	}
	t := &tail{c: c, full: readable(db)}
	for _, step := range []func() error{t.lost, t.check, t.append} {
		if err = step(); err != nil {
			break
		}
	}
	r.Events, r.Through = c.horizon.index.events+t.trimmed-before, c.horizon.Head()
	return errors.Join(err, db.Close())
}

// tail is how a mirror differs from a log that is at the end of the sequence.
type tail struct {
	c       *committer
	full    func(func(*bbolt.Tx) error) error // reads the mirror
	head    store.ID                          // of the mirror
	trims   []commit.Trim                     // of what the log has and the mirror does not
	trimmed uint64                            // events deleted by them
}

// lost returns ErrNothingLost if the sequence has the place that the mirror is at.
func (t *tail) lost() error {
	var at store.Place
	if err := t.full(func(tx *bbolt.Tx) (err error) {
		at, _, err = getPlace(tx)
		return err
	}); err != nil {
		return err
	}
	m := t.c.mirror
	end := m.place()
	if end.Number < at.Number {
		return nil
	}
	err := errOver
	if end != at {
		err = m.seq.Follow(m.ctx, at, func(store.Place, []byte) error { return errOver })
	}
	switch {
	case errors.Is(err, store.ErrDiverged):
		return nil
	case errors.Is(err, errOver):
		return fmt.Errorf("%w: it ends at place %d, the mirror is at %d", ErrNothingLost, end.Number, at.Number)
	}
	return err
}

// both reads the mirror and the log.
func (t *tail) both(read func(full, short *bbolt.Tx) error) error {
	return t.full(func(full *bbolt.Tx) error {
		return t.c.file.view(func(short *bbolt.Tx) error { return read(full, short) })
	})
}

// check returns ErrNotPrefix unless the log is a prefix of the mirror, and finds what was trimmed since.
func (t *tail) check() error {
	return t.both(func(full, short *bbolt.Tx) error {
		topics, err := countTopics(full)
		if err != nil {
			return err
		}
		var headErr error
		t.head, headErr = getMetaID(full, metaHead)
		a, _, errA := getSecret(full)
		b, _, errB := getSecret(short)
		if err := errors.Join(headErr, errA, errB); err != nil {
			return err
		}
		known, head := t.c.horizon.index.byID, t.c.horizon.Head()
		switch {
		case t.head.Before(head):
			return fmt.Errorf("%w: it continues up to %s, the mirror up to %s", ErrNotPrefix, head, t.head)
		case a != b:
			return fmt.Errorf("%w: it has another secret", ErrNotPrefix)
		case len(known) > len(topics):
			return fmt.Errorf("%w: it has %d topics, the mirror %d", ErrNotPrefix, len(known), len(topics))
		}
		for i, topic := range known {
			if topics[i].name != topic.name {
				return fmt.Errorf("%w: topic %d is %s there and %s in the mirror", ErrNotPrefix, i, topic.name,
					topics[i].name)
			}
		}
		if err := t.checkEpochs(full, short); err != nil {
			return err
		}
		return t.checkEvents(full, short, topics)
	})
}

// checkEpochs compares the log's epochs with the mirror's, the oldest of which may be gone.
func (t *tail) checkEpochs(full, short *bbolt.Tx) error {
	mine, there := full.Bucket(bucketEpochs), short.Bucket(bucketEpochs)
	if mine == nil || there == nil {
		return nil
	}
	oldest, _ := mine.Cursor().First()
	return there.ForEach(func(k, v []byte) error {
		if bytes.Compare(k, oldest) >= 0 && !bytes.Equal(mine.Get(k), v) {
			return fmt.Errorf("%w: it has new commits after %s", ErrNotPrefix, store.ID(k))
		}
		return nil
	})
}

// checkEvents compares the events that the log retains with the mirror's.
func (t *tail) checkEvents(full, short *bbolt.Tx, topics []*topic) error {
	c, there := short.Bucket(bucketLog).Cursor(), full.Bucket(bucketLog)
	for k, v := c.First(); k != nil; k, v = c.Next() {
		id := store.ID(k)
		r, ok := decodeRecord(k, v)
		if !ok || int(r.topic) >= len(topics) {
			return fmt.Errorf("%w: event %s", ErrDamaged, id)
		}
		value := there.Get(k)
		if value == nil {
			if topics[r.topic].next.trimmed.Before(id) {
				return fmt.Errorf("%w: it has the event %s, which the mirror never had", ErrNotPrefix, id)
			}
			t.trims = append(t.trims, commit.Trim{Topic: r.topic, ID: id})
			continue
		}
		if same, ok := decodeRecord(k, value); !ok || same.topic != r.topic || !bytes.Equal(same.data, r.data) ||
			!bytes.Equal(same.typ, r.typ) || !bytes.Equal(same.attributes, r.attributes) {
			return fmt.Errorf("%w: event %s differs in the mirror", ErrNotPrefix, id)
		}
	}
	return nil
}

// append places what the mirror has more. Each kind of entry can be placed again after a crash.
func (t *tail) append() error {
	for len(t.trims) > 0 {
		n, head := min(importEvents, len(t.trims)), t.c.horizon.Head()
		if err := t.c.place(&commit.Commit{After: head, Last: head, Trims: t.trims[:n]}); err != nil {
			return err
		}
		t.trims, t.trimmed = t.trims[n:], t.trimmed+uint64(n)
	}
	head := t.c.horizon.Head()
	s := &seed{view: t.full, place: t.c.place, above: head, through: t.head, bytes: importBytes,
		index: len(t.c.horizon.index.byID), same: t.has}
	s.next.After, s.next.Last = head, head
	if err := s.grow(); err != nil {
		return err
	}
	return t.forget()
}

// has reports whether the log has an entry exactly as the mirror has it, or a newer read mark or delivery:
// whoever wrote that since was answered that it is stored.
func (t *tail) has(bucket, key, value []byte) (has bool) {
	_ = t.c.file.view(func(tx *bbolt.Tx) error { // on an error the entry is placed again
		b := tx.Bucket(bucket)
		if b == nil {
			return nil
		}
		there := b.Get(key)
		has = bytes.Equal(there, value) || positionOf(bucket, key, value).Before(positionOf(bucket, key, there))
		return nil
	})
	return has
}

// positionOf returns how far a read mark or a delivery has come; zero for anything else.
func positionOf(bucket, key, value []byte) store.ID {
	switch {
	case bytes.Equal(bucket, bucketMarks):
		m, _ := decodeMark(key, value)
		return m.ID
	case bytes.Equal(bucket, bucketDeliveries):
		d, _ := decodeDelivery(key, value)
		return d.ID
	}
	return store.ID{}
}

// forget deletes the keys and slots that the log has and the mirror does not. A read mark or a delivery that
// only the log has was deleted in the lost part, or set since: it stays.
func (t *tail) forget() error {
	head := t.c.horizon.Head()
	k := &commit.Commit{After: head, Last: head}
	if err := t.both(func(full, short *bbolt.Tx) error {
		return errors.Join(
			alone(short, full, bucketKeys, func(key []byte) { k.Forget = append(k.Forget, store.ID(key)) }),
			alone(short, full, bucketSlots, func(key []byte) {
				k.Slots = append(k.Slots, commit.Slot{Topic: binary.BigEndian.Uint32(key), Subject: string(key[4:])})
			}))
	}); err != nil {
		return err
	}
	if k.IsEmpty() {
		return nil
	}
	return t.c.place(k)
}

// alone calls take for each key of a bucket that a has and b does not.
func alone(a, b *bbolt.Tx, bucket []byte, take func(key []byte)) error {
	there, other := a.Bucket(bucket), b.Bucket(bucket)
	if there == nil {
		return nil
	}
	return there.ForEach(func(key, _ []byte) error {
		if other == nil || other.Get(key) == nil {
			take(key)
		}
		return nil
	})
}
