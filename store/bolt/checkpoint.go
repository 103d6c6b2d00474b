package bolt

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"go.etcd.io/bbolt"

	"tidings/store"
)

// A topic's counters change with every event, too many to write with every commit. Every checkpointEvery
// events a round begins: the topics changed by then are written in pieces, one with each of the commits that
// follow, so that no commit takes long. The last piece comes with the checkpoint, up to where the round
// began. Open counts again from there; an event that a record already covers is not counted twice.

const (
	// checkpointEvery is how many events lie between two rounds. Open recounts at most this many, plus those
	// that arrive during a round.
	checkpointEvery = 16 << 10

	// checkpointPiece is how many topics a commit writes for a round. A commit with more events writes as
	// many topics, so that a round ends before the next one is due.
	checkpointPiece = 512
)

// books are what the next checkpoint has to write, and how far away it is.
type books struct {
	todo  []*topic // of the round in progress, by ID: not yet written
	start store.ID // that round counts up to here

	dirty     []*topic // changed since the round began or their piece was written; not in todo
	since     int      // events since the round in progress, or else the last one, began
	journaled int      // entries in the journal since then
	wait      int      // of either, before a piece is retried for which there was no space
}

// round reports whether a round is in progress.
func (b *books) round() bool { return len(b.todo) > 0 }

func (b *books) waiting(ch *change) int {
	return max(b.since+len(ch.Events), b.journaled+len(ch.trimming))
}

// due reports whether the commit must write a piece.
func (b *books) due(ch *change) bool {
	waiting := b.waiting(ch)
	return waiting >= b.wait && (b.round() || waiting >= checkpointEvery)
}

// postpone is called after a piece for which there was no space.
func (b *books) postpone(ch *change) { b.wait = b.waiting(ch) + checkpointEvery/16 }

// close records a durable commit.
func (b *books) close(ch *change) {
	if ch.piece != nil && !b.round() {
		*b = books{dirty: b.dirty[:0]} // they are all in the piece and what is left
	}
	for _, t := range ch.changed {
		if !t.dirty {
			t.dirty = true
			b.dirty = append(b.dirty, t)
		}
	}
	b.since += len(ch.Events)
	b.journaled += ch.journaled
	if p := ch.piece; p != nil {
		for _, t := range p.topics {
			t.dirty = false
		}
		b.todo, b.start, b.wait = p.left, p.start, 0
	}
}

// clean is called after the checkpoint of a close.
func (b *books) clean() {
	for _, topics := range [][]*topic{b.todo, b.dirty} {
		for _, t := range topics {
			t.dirty = false
		}
	}
	*b = books{dirty: b.dirty[:0]}
}

// piece is what one commit writes for a round.
type piece struct {
	topics, left []*topic
	start        store.ID
}

// next returns the next piece: the first of a new round if none is in progress.
func (b *books) next(ch *change) *piece {
	p := piece{left: b.todo, start: b.start}
	if !b.round() {
		p = piece{left: sortedByID(slices.Values(b.dirty)), start: ch.After}
	}
	n := min(len(p.left), max(checkpointPiece, len(ch.Events)))
	p.topics, p.left = p.left[:n], p.left[n:]
	return &p
}

// writePiece writes the topics of the piece as they are after the commit. With the last piece the records
// count every event up to the start, and the journal is not needed: what was trimmed since then is already in
// the records.
func (c *committer) writePiece(tx *bbolt.Tx, p *piece) error {
	if err := putTopics(tx, p.topics); err != nil || len(p.left) > 0 {
		return err
	}
	return c.putCheckpoint(tx, p.start)
}

func putTopics(tx *bbolt.Tx, topics []*topic) error {
	b := rising(tx, bucketTopics)
	for _, t := range topics {
		if err := putTopic(b, t); err != nil {
			return err
		}
	}
	return nil
}

// putCheckpoint stores that the topics' records count every event up to last.
func (c *committer) putCheckpoint(tx *bbolt.Tx, last store.ID) error {
	if err := dropJournal(tx); err != nil {
		return err
	}
	var suspects []byte
	for _, id := range c.suspects {
		suspects = append(suspects, id[:]...)
	}
	return errors.Join(putMeta(tx, metaSuspects, suspects), putMeta(tx, metaCheckpoint, last[:]))
}

// checkpoint writes a checkpoint at Close, and the list of free pages. Without them the next Open counts, and
// searches for free pages, instead.
func (c *committer) checkpoint() {
	if c.file.failure() != nil {
		return
	}
	write := func(tx *bbolt.Tx) error {
		if err := errors.Join(putTopics(tx, c.books.todo), putTopics(tx, c.books.dirty)); err != nil {
			return err
		}
		return c.putCheckpoint(tx, c.horizon.Head())
	}
	c.file.db.NoFreelistSync = c.full || c.space.isLow() // the list can be as large as a commit
	err := c.update(write)
	if errors.Is(err, store.ErrNoSpace) && !c.file.db.NoFreelistSync {
		c.file.db.NoFreelistSync = true
		err = c.update(write)
	}
	if err != nil {
		c.logger.Warn("no checkpoint written at close; the next start recounts the newest events",
			"error", err)
		return
	}
	c.books.clean()
}

// load fills the index from the topics' records and the events after the checkpoint, the head and the trimmed
// mark from the metadata, and the committer's own fields from the rest.
func (c *committer) load(tx *bbolt.Tx) error {
	var head, trimmed, checkpoint store.ID
	for key, id := range map[string]*store.ID{
		metaHead: &head, metaTrimmed: &trimmed, metaCheckpoint: &checkpoint,
	} {
		v, err := getMetaID(tx, key)
		if err != nil {
			return err
		}
		*id = v
	}
	c.horizon.head.Store(&head)
	c.horizon.trimmed.Store(&trimmed)
	k, _ := tx.Bucket(bucketLog).Cursor().Last()
	if k != nil && (len(k) != len(head) || head.Before(store.ID(k))) {
		return errors.New("the newest event lies above the stored head")
	}
	suspects, err := getMeta(tx, metaSuspects)
	if err != nil {
		return err
	}
	for id := range slices.Chunk(suspects, len(store.ID{})) {
		c.suspects = append(c.suspects, store.ID(id))
	}
	c.keys.shares = &c.shares
	if err = errors.Join(c.keys.load(tx, c.logger), c.loadMarks(tx)); err != nil {
		return err
	}
	c.loadReserve(tx)
	topics, journaled, err := loadTopics(tx)
	if err != nil {
		return err
	}
	damaged, counted := recount(tx, topics, checkpoint)
	c.loadOwners(tx, topics)
	c.suspects = append(c.suspects, damaged...)
	c.books.journaled, c.books.since = journaled, counted
	for _, t := range topics {
		if t.dirty {
			c.books.dirty = append(c.books.dirty, t)
		}
	}
	c.horizon.index.load(topics, kept{c.keys.held, c.keys.oldest, c.marks, c.bare})
	return nil
}

// load fills an empty index with the topics, indexed by id, in the order of their newest events, which is the
// order that the index keeps.
func (x *index) load(topics []*topic, now kept) {
	x.byID, x.kept = topics, now
	for _, t := range slices.SortedFunc(slices.Values(topics), func(a, b *topic) int {
		return cmp.Or(a.next.last.Compare(b.next.last), cmp.Compare(a.id, b.id))
	}) {
		x.show(t)
		x.add(t)
		x.touch(t, t.visible.last)
	}
}

// loadTopics returns the topics, indexed by id, and how many entries the journal has for them.
func loadTopics(tx *bbolt.Tx) (topics []*topic, journaled int, err error) {
	err = tx.Bucket(bucketTopics).ForEach(func(k, v []byte) error {
		t, ok := decodeTopic(k, v)
		if !ok || int(t.id) != len(topics) || t.id == math.MaxUint32 {
			return fmt.Errorf("topic record %x is damaged or missing", k)
		}
		topics = append(topics, t)
		return nil
	})
	if err == nil {
		journaled, err = replayJournal(tx, topics)
	}
	return topics, journaled, err
}

// recount adds the events above the checkpoint to their topics' counters, and returns how many there are. A
// damaged record there may have been its topic's newest, and then no chain leads a reader to it: it is a
// suspect, and reported to every reader.
func recount(tx *bbolt.Tx, topics []*topic,
	checkpoint store.ID) (suspects []store.ID, counted int) {
	after, ok := checkpoint.Next()
	if !ok {
		return nil, 0
	}
	c := tx.Bucket(bucketLog).Cursor()
	for k, v := c.Seek(after[:]); k != nil; k, v = c.Next() {
		id := store.ID(k)
		r, ok := decodeRecord(k, v)
		if !ok || int(r.topic) >= len(topics) {
			suspects = append(suspects, id)
			continue
		}
		counted++
		t := topics[r.topic]
		w := &t.next
		if !w.last.Before(id) {
			continue // counted when a trim wrote the topic's state
		}
		if w.count == 0 {
			w.first = id
		}
		w.last = id
		w.count++
		w.bytes += uint64(len(k) + len(v))
		w.unindexed++
		if r.indexed {
			w.unindexed = 0
		}
		if string(r.typ) == store.TypeEnd {
			w.ended = id
		}
		t.dirty = true
	}
	return suspects, counted
}
