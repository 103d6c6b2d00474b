package bolt

import (
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

// RestoreMirror is Restore into a sequence without a commit, o.Sequencer, of which the directory then has a
// mirror: its first commits make the log of the backup again, with all its IDs and all that it knows beside the
// events. Nothing is placed before the backup has been verified. More errors: ErrExists when the sequence has
// commits, and those of Open. After an error the directory has no log, and the sequence none or a part of
// the backup, which the error then says.
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
	o.Context, o.seed = ctx, file
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
	err = db.View(func(tx *bbolt.Tx) error { return newSeed(tx, c.place).grow() })
	if err != nil && c.mirror.place() != (store.Place{}) {
		err = fmt.Errorf("%w; the sequence has a part of the backup: delete it, and restore again", err)
	}
	return errors.Join(err, db.Close())
}

// plantWait is how long each commit of a backup tries to get its place: longer than an election, because whoever
// restores would have to begin again.
const plantWait = time.Minute

// place has the commit placed and applied, as the next one and by nobody else.
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

// seed makes commits of a log. What was trimmed leaves no event but the mark of its topic: an empty event in
// its place, which is trimmed when all events are placed, moves that mark again. Topics get new numbers, in the
// order of their events.
type seed struct {
	tx     *bbolt.Tx
	place  func(*commit.Commit) error
	topics []*topic // as the file numbers them
	gone   []*topic // that have a mark, in the order of these
	number map[uint32]uint32
	arena  arena
	keys   *bbolt.Cursor
	key    []byte // that comes next, with its value
	value  []byte

	next commit.Commit // its After is where the log has come
	size int           // of the data of its events
}

func newSeed(tx *bbolt.Tx, place func(*commit.Commit) error) *seed {
	return &seed{tx: tx, place: place, number: make(map[uint32]uint32), keys: tx.Bucket(bucketKeys).Cursor()}
}

// grow places all commits.
func (s *seed) grow() (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("read the backup: %v", p)
		}
	}()
	secret, _, err := getSecret(s.tx)
	if err != nil {
		return err
	}
	if s.topics, err = countTopics(s.tx); err != nil {
		return err
	}
	for _, t := range s.topics {
		if !t.next.trimmed.IsZero() {
			s.gone = append(s.gone, t)
		}
	}
	slices.SortFunc(s.gone, func(a, b *topic) int { return a.next.trimmed.Compare(b.next.trimmed) })
	s.key, s.value = s.keys.First()
	s.next.Secret = &secret
	for _, step := range []func() error{s.flush, s.events, s.trims, s.marks, s.deliveries, s.slots, s.epochs} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// flush places what has gathered.
func (s *seed) flush() error {
	s.next.Last = s.next.After
	if n := len(s.next.Events); n > 0 {
		s.next.Last = s.next.Events[n-1].ID
		for ; s.key != nil && !s.next.Last.Before(store.ID(s.key)); s.key, s.value = s.keys.Next() {
			if k, ok := decodeKey(s.key, s.value); ok {
				s.next.Keys = append(s.next.Keys, k)
			}
		}
	}
	if err := s.place(&s.next); err != nil {
		return err
	}
	s.next, s.size = commit.Commit{After: s.next.Last}, 0
	return nil
}

// rest places what has gathered, if there is any.
func (s *seed) rest() error {
	if s.next.IsEmpty() {
		return nil
	}
	return s.flush()
}

// events are those that are retained, and one in the place of the newest that was trimmed of each topic.
func (s *seed) events() error {
	gone, c := s.gone, s.tx.Bucket(bucketLog).Cursor()
	k, v := c.First()
	for k != nil || len(gone) > 0 {
		var err error
		if len(gone) > 0 && (k == nil || gone[0].next.trimmed.Before(store.ID(k))) {
			err = s.add(gone[0].next.trimmed, gone[0], placeholder(gone[0]))
			gone = gone[1:]
		} else {
			r, ok := decodeRecord(k, v)
			if !ok || int(r.topic) >= len(s.topics) {
				return fmt.Errorf("event %s is damaged", store.ID(k))
			}
			e := s.arena.event(store.ID(k), "", r)
			err = s.add(e.ID, s.topics[r.topic], &store.Draft{Type: e.Type, ContentType: e.ContentType,
				Attributes: e.Attributes, Data: e.Data})
			k, v = c.Next()
		}
		if err != nil {
			return err
		}
	}
	return s.rest()
}

// placeholder stands for the newest event of a topic that was trimmed.
func placeholder(t *topic) *store.Draft {
	if t.next.trimmed == t.next.ended {
		return &store.Draft{Type: store.TypeEnd}
	}
	return &store.Draft{Type: store.DefaultType}
}

func (s *seed) add(id store.ID, t *topic, d *store.Draft) error {
	number, known := s.number[t.id]
	if !known {
		number = uint32(len(s.number))
		s.number[t.id] = number
		s.next.Topics = append(s.next.Topics, commit.Topic{Number: number, Owner: makerOf(s.tx, t.id), Name: t.name})
	}
	s.next.Events = append(s.next.Events, commit.Event{ID: id, Topic: number, Draft: d})
	if s.size += len(d.Data); len(s.next.Events) < importEvents && s.size <= importBytes {
		return nil
	}
	return s.flush()
}

func (s *seed) trims() error {
	for part := range slices.Chunk(s.gone, importEvents) {
		for _, t := range part {
			s.next.Trims = append(s.next.Trims, commit.Trim{Topic: s.number[t.id], ID: t.next.trimmed})
		}
		if err := s.flush(); err != nil {
			return err
		}
	}
	return nil
}

func (s *seed) marks() error {
	return s.each(bucketMarks, func(k, v []byte) bool {
		m, err := decodeMark(k, v)
		subject, name, _ := strings.Cut(string(k), "\x00")
		s.next.Marks = append(s.next.Marks, commit.Mark{Subject: subject, Name: name, Mark: m})
		return err == nil
	})
}

func (s *seed) deliveries() error {
	return s.each(bucketDeliveries, func(k, v []byte) bool {
		d, ok := decodeDelivery(k, v)
		s.next.Deliveries = append(s.next.Deliveries, store.NamedDelivery{Name: string(k), Delivery: d})
		return ok
	})
}

func (s *seed) slots() error {
	return s.each(bucketSlots, func(k, v []byte) bool {
		id, ok := decodeSlot(k, v)
		if ok {
			topic := s.number[binary.BigEndian.Uint32(k)]
			s.next.Slots = append(s.next.Slots, commit.Slot{Topic: topic, Subject: string(k[4:]), ID: id})
		}
		return ok
	})
}

func (s *seed) epochs() error {
	return s.each(bucketEpochs, func(k, v []byte) bool {
		epoch, ok := unseal(k, v)
		s.next.Epochs = append(s.next.Epochs, commit.Began{After: store.ID(k), Epoch: epoch})
		return ok
	})
}

// each places what add gathers of a bucket's entries; false: this one is damaged.
func (s *seed) each(bucket []byte, add func(k, v []byte) bool) error {
	b := s.tx.Bucket(bucket)
	if b == nil {
		return nil
	}
	n, c := 0, b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if !add(k, v) {
			return fmt.Errorf("%w: the entry %.300q of %s", ErrDamaged, k, bucket)
		}
		if n, s.size = n+1, s.size+len(v); n%importEvents > 0 && s.size <= importBytes {
			continue
		}
		if err := s.flush(); err != nil {
			return err
		}
	}
	return s.rest()
}
