package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"tidings/store"
	"tidings/store/internal/commit"
)

// RestoreMirror is Restore into a sequence without commits, o.Sequencer, of which the directory then has a
// mirror: its first commits recreate the log of the backup, with all its IDs and all that it knows besides
// the events. Nothing is placed before the backup has been verified. It may also return ErrExists when the
// sequence has commits, and the errors of Open. After an error the directory has no log, and the sequence
// nothing or a part of the backup, which the error then says.
func RestoreMirror(ctx context.Context, file, path string, r RestoreOptions, o Options) (report Report, err error) {
	if file, err = filepath.EvalSymlinks(file); err != nil {
		return Report{}, fmt.Errorf("restore: %w", err)
	}
	d, err := hold(path)
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.refuseAny(); err != nil {
		return Report{}, err
	}
	if err := copyBackup(ctx, file, io.Discard, r.Manifest); err != nil {
		return Report{}, err
	}
	if report, err = verifyFile(ctx, file, r.Progress); err == nil {
		err = report.refusal(file, false)
	}
	if err != nil {
		return report, err
	}
	o = o.withDefaults()
	o.Context, o.plant = ctx, func(c *committer) error { return c.plant(file) }
	l, err := openMirror(d, false, o)
	if err != nil {
		return report, errors.Join(err, remove(d.file(fileName)))
	}
	report.LogID = l.id
	return report, l.shut()
}

// plant makes the commits of the log in a file the first of the sequence. The file was verified.
func (c *committer) plant(file string) error {
	if c.mirror.place() != (store.Place{}) {
		return fmt.Errorf("%w: the sequence has commits; a backup is restored into a new one", ErrExists)
	}
	db, err := bbolt.Open(file, fileMode, &bbolt.Options{ReadOnly: true, Timeout: lockWait, OpenFile: openFile})
	if err != nil {
		return fmt.Errorf("open %s: %w", file, err)
	}
	s := &seed{view: readable(db), place: c.place, through: store.MaxID, bytes: importBytes}
	if err = s.grow(); err != nil && c.mirror.place() != (store.Place{}) {
		err = fmt.Errorf("%w; the sequence has a part of the backup: delete it, and restore again", err)
	}
	return errors.Join(err, db.Close())
}

// readable returns a function that reads a file in which a page may fault.
func readable(db *bbolt.DB) func(func(*bbolt.Tx) error) error {
	return func(read func(*bbolt.Tx) error) (err error) {
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("read the backup: %v", p)
			}
		}()
		return db.View(read)
	}
}

// plantWait is how long each commit of a backup tries to get its place: longer than an election, because a
// failed restore has to begin again.
const plantWait = time.Minute

// place gets the next place for the commit and applies it; it is an error if anyone else gets it.
func (c *committer) place(k *commit.Commit) error {
	c.mirror.until = time.Now().Add(plantWait)
	for at := c.mirror.place(); c.mirror.place() == at; {
		switch again, err := c.sequence(nil, k); {
		case err != nil && !errors.Is(err, errAnswered):
			return err
		case again && c.mirror.place() != at:
			return fmt.Errorf("%w: another node writes to the sequence", ErrExists)
		}
	}
	return nil
}

// seed makes commits from a log that recreate it in a new one. A trimmed event leaves nothing but the mark of
// its topic: an empty event in its place, which is trimmed once all events are placed, sets that mark again.
// Each commit is read in one transaction. Writes to the log in between may be included or not.
type seed struct {
	view    func(read func(*bbolt.Tx) error) error
	place   func(*commit.Commit) error // called with no transaction open
	above   store.ID                   // events up to here, and what was trimmed up to here, are left out
	through store.ID                   // events above this one are left out, too
	bytes   int                        // roughly the size of a commit

	// same reports whether the new log has an identical entry; nil: it has nothing yet.
	same func(bucket, key, value []byte) bool

	topics []*topic // as they were at the start
	gone   []*topic // those with a trimmed mark
	holes  []hole   // remaining, in order
	arena  arena

	step  int    // which kind of entry comes next
	index int    // of the next topic
	from  []byte // the last key read in the bucket; nil: none
	count int    // entries in next
	size  int    // their size in bytes
	next  commit.Commit
}

// hole is where an event of a topic was at the start, or was trimmed before. Without an event in its place
// the new topic would lack its newest event, or the newest that was trimmed.
type hole struct {
	id store.ID
	*topic
}

// grow places all commits.
func (s *seed) grow() error {
	steps := []func(*seed, *bbolt.Tx) (whole bool, err error){(*seed).addTopics, (*seed).addEvents, (*seed).addKeys,
		(*seed).addTrims, (*seed).addMarks, (*seed).addDeliveries, (*seed).addSlots, (*seed).addEpochs}
	if err := s.view(s.begin); err != nil {
		return err
	}
	for s.step < len(steps) {
		err := s.view(func(tx *bbolt.Tx) error {
			whole, err := steps[s.step](s, tx)
			if whole {
				s.step, s.from = s.step+1, nil
			}
			return err
		})
		if err == nil && !s.next.IsEmpty() {
			err = s.place(&s.next)
		}
		if err != nil {
			return err
		}
		s.next = commit.Commit{After: s.next.Last, Last: s.next.Last}
		s.arena, s.count, s.size = arena{}, 0, 0
	}
	return nil
}

func (s *seed) begin(tx *bbolt.Tx) error {
	secret, _, err := getSecret(tx)
	if err != nil {
		return err
	}
	if s.same == nil {
		s.next.Secret = &secret
	}
	if s.topics, err = countTopics(tx); err != nil {
		return err
	}
	within := func(id store.ID) bool { return s.above.Before(id) && !s.through.Before(id) }
	for _, t := range s.topics {
		if within(t.next.trimmed) {
			s.gone = append(s.gone, t)
			s.holes = append(s.holes, hole{t.next.trimmed, t})
		}
		if within(t.next.last) && t.next.last != t.next.trimmed { // it may be trimmed before it is read
			s.holes = append(s.holes, hole{t.next.last, t})
		}
	}
	slices.SortFunc(s.holes, func(a, b hole) int { return a.id.Compare(b.id) })
	return nil
}

// took counts an entry of the next commit.
func (s *seed) took(bytes int) { s.count, s.size = s.count+1, s.size+bytes }

// sound reports whether damage in this log must not be passed on to others, which are the same up to some ID.
// When a whole log is restored, a damaged key counts as forgotten, and a damaged maker as nobody.
func (s *seed) sound() bool { return s.through != store.MaxID }

func (s *seed) full() bool { return s.count >= importEvents || s.size > s.bytes }

func (s *seed) addTopics(tx *bbolt.Tx) (whole bool, err error) {
	for ; s.index < len(s.topics) && !s.full(); s.index++ {
		t := s.topics[s.index]
		maker, whole := readMaker(tx, t.id)
		if s.sound() && !whole {
			return false, fmt.Errorf("%w: who made the topic %s", ErrDamaged, t.name)
		}
		s.next.Topics = append(s.next.Topics, commit.Topic{Number: t.id, Owner: maker, Name: t.name})
		s.took(len(t.name))
	}
	return s.index == len(s.topics), nil
}

// addEvents adds the retained events, and empty ones where there are holes.
func (s *seed) addEvents(tx *bbolt.Tx) (whole bool, err error) {
	c := tx.Bucket(bucketLog).Cursor()
	if s.from == nil {
		s.from = bytes.Clone(s.above[:])
	}
	for k, v := s.resume(c); !s.full(); {
		if k != nil && s.through.Before(store.ID(k)) {
			k = nil
		}
		switch {
		case len(s.holes) > 0 && (k == nil || !store.ID(k).Before(s.holes[0].id)):
			h := s.holes[0]
			s.holes = s.holes[1:]
			if k == nil || store.ID(k) != h.id {
				s.add(h.id, h.topic.id, h.placeholder(), 0)
			}
		case k != nil:
			r, ok := decodeRecord(k, v)
			if !ok || int(r.topic) >= len(s.topics) {
				return false, fmt.Errorf("%w: event %s", ErrDamaged, store.ID(k))
			}
			e := s.arena.event(store.ID(k), "", r)
			s.add(e.ID, r.topic, &store.Draft{Type: e.Type, ContentType: e.ContentType, Attributes: e.Attributes,
				Data: e.Data}, len(v))
			s.from = append(s.from[:0], k...)
			k, v = c.Next()
		default:
			if s.sound() {
				s.next.Last = s.through
			}
			return true, nil
		}
	}
	return false, nil
}

// placeholder is the empty event for the hole.
func (h *hole) placeholder() *store.Draft {
	if h.id == h.next.ended {
		return &store.Draft{Type: store.TypeEnd}
	}
	return &store.Draft{Type: store.DefaultType}
}

func (s *seed) add(id store.ID, topic uint32, d *store.Draft, bytes int) {
	s.next.Events = append(s.next.Events, commit.Event{ID: id, Topic: topic, Draft: d})
	s.next.Last = id
	s.took(bytes)
}

func (s *seed) addKeys(tx *bbolt.Tx) (whole bool, err error) {
	return s.each(tx, bucketKeys, func(k, v []byte) bool {
		key, ok := decodeKey(k, v)
		if ok && !s.through.Before(key.First) {
			s.next.Keys = append(s.next.Keys, key)
		}
		return ok || !s.sound()
	})
}

func (s *seed) addTrims(*bbolt.Tx) (whole bool, err error) {
	for ; len(s.gone) > 0 && !s.full(); s.gone = s.gone[1:] {
		s.next.Trims = append(s.next.Trims, commit.Trim{Topic: s.gone[0].id, ID: s.gone[0].next.trimmed})
		s.took(0)
	}
	return len(s.gone) == 0, nil
}

func (s *seed) addMarks(tx *bbolt.Tx) (whole bool, err error) {
	return s.each(tx, bucketMarks, func(k, v []byte) bool {
		m, err := decodeMark(k, v)
		subject, name, _ := strings.Cut(string(k), "\x00")
		s.next.Marks = append(s.next.Marks, commit.Mark{Subject: subject, Name: name, Mark: m})
		return err == nil
	})
}

func (s *seed) addDeliveries(tx *bbolt.Tx) (whole bool, err error) {
	return s.each(tx, bucketDeliveries, func(k, v []byte) bool {
		d, ok := decodeDelivery(k, v)
		s.next.Deliveries = append(s.next.Deliveries, store.NamedDelivery{Name: string(k), Delivery: d})
		return ok
	})
}

// addSlots adds the slots of the topics that existed at the start.
func (s *seed) addSlots(tx *bbolt.Tx) (whole bool, err error) {
	return s.each(tx, bucketSlots, func(k, v []byte) bool {
		id, ok := decodeSlot(k, v)
		if ok && int(binary.BigEndian.Uint32(k)) < len(s.topics) {
			s.next.Slots = append(s.next.Slots,
				commit.Slot{Topic: binary.BigEndian.Uint32(k), Subject: string(k[4:]), ID: id})
		}
		return ok
	})
}

func (s *seed) addEpochs(tx *bbolt.Tx) (whole bool, err error) {
	return s.each(tx, bucketEpochs, func(k, v []byte) bool {
		epoch, ok := unseal(k, v)
		if ok && !s.through.Before(store.ID(k)) {
			s.next.Epochs = append(s.next.Epochs, commit.Began{After: store.ID(k), Epoch: bytes.Clone(epoch)})
		}
		return ok
	})
}

// each calls add for a bucket's entries until the commit is full; add returns false for a damaged entry.
func (s *seed) each(tx *bbolt.Tx, bucket []byte, add func(k, v []byte) bool) (whole bool, err error) {
	b := tx.Bucket(bucket)
	if b == nil {
		return true, nil
	}
	c := b.Cursor()
	for k, v := s.resume(c); k != nil; k, v = c.Next() {
		if s.full() {
			return false, nil
		}
		s.from = append(s.from[:0], k...)
		if s.same != nil && s.same(bucket, k, v) {
			continue
		}
		if !add(k, v) {
			return false, fmt.Errorf("%w: the entry %.300q of %s", ErrDamaged, k, bucket)
		}
		s.took(len(k) + len(v))
	}
	return true, nil
}

// resume moves the cursor past what was read.
func (s *seed) resume(c *bbolt.Cursor) (k, v []byte) {
	if s.from == nil {
		return c.First()
	}
	if k, v = c.Seek(s.from); bytes.Equal(k, s.from) {
		return c.Next()
	}
	return k, v
}
