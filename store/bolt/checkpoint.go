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

// A topic's counters change with every event and are too many to write with every commit. They are
// written at a checkpoint, every checkpointEvery events, and counted again from there at Open.

// checkpointEvery is after how many events the changed topics' records are written, and so how many
// events Open counts again at most.
const checkpointEvery = 16 << 10

// books are what the next checkpoint has to write, and how far it is away.
type books struct {
	dirty     []*topic // changed since their records were written
	since     int      // events since the last checkpoint
	journaled int      // entries in the journal
	postponed int      // how many more of either it waits for: there was no space for it
}

// due reports whether the commit is to write a checkpoint.
func (b *books) due(ch *change) bool {
	waiting := max(b.since+len(ch.Events), b.journaled+len(ch.trimming))
	return waiting >= checkpointEvery+b.postponed
}

// close enters a durable commit.
func (b *books) close(ch *change) {
	for _, t := range ch.changed {
		if !t.dirty {
			t.dirty = true
			b.dirty = append(b.dirty, t)
		}
	}
	b.since += len(ch.Events)
	b.journaled += ch.journaled
	if ch.checkpointed {
		b.clean()
	}
}

// clean follows a checkpoint that is durable.
func (b *books) clean() {
	for _, t := range b.dirty {
		t.dirty = false
	}
	*b = books{dirty: b.dirty[:0]}
}

// writeCheckpoint writes the records of all topics that changed since the last one, those that are
// changing among them, and that they count every event up to last.
func (c *committer) writeCheckpoint(tx *bbolt.Tx, last store.ID, changing []*topic) error {
	b := tx.Bucket(bucketTopics)
	for _, changed := range [][]*topic{c.books.dirty, changing} {
		for _, t := range changed {
			if err := putTopic(b, t); err != nil {
				return err
			}
		}
	}
	if err := dropJournal(tx); err != nil {
		return err
	}
	var suspects []byte
	for _, id := range c.suspects {
		suspects = append(suspects, id[:]...)
	}
	return errors.Join(putMeta(tx, metaSuspects, suspects), putMeta(tx, metaCheckpoint, last[:]))
}

// checkpoint writes one at Close, and the list of free pages. Without them the next Open counts, and
// looks for free pages, instead.
func (c *committer) checkpoint() {
	if c.file.failure() != nil {
		return
	}
	write := func(tx *bbolt.Tx) error { return c.writeCheckpoint(tx, c.horizon.Head(), nil) }
	c.file.db.NoFreelistSync = c.full || c.space.isLow() // the list can be as large as a commit
	err := c.update(write)
	if errors.Is(err, store.ErrNoSpace) && !c.file.db.NoFreelistSync {
		c.file.db.NoFreelistSync = true
		err = c.update(write)
	}
	if err != nil {
		c.logger.Warn("no checkpoint at close; the next start counts the newest events again",
			"error", err)
		return
	}
	c.books.clean()
}

// load fills the index from the topics' records and the events after the checkpoint, the head and the
// trimmed mark from the metadata, and the committer's own from the rest.
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
	err = errors.Join(c.keys.load(tx, c.logger), c.loadMarks(tx), c.loadOwners(tx))
	if err != nil {
		return err
	}
	c.reserved = tx.Bucket(bucketReserve) != nil
	topics, journaled, err := loadTopics(tx)
	if err != nil {
		return err
	}
	damaged, counted := recount(tx, topics, checkpoint)
	c.suspects = append(c.suspects, damaged...)
	c.books.journaled, c.books.since = journaled, counted
	for _, t := range topics {
		if t.dirty {
			c.books.dirty = append(c.books.dirty, t)
		}
	}
	c.horizon.index.load(topics, kept{c.keys.held, c.keys.oldest, c.marks})
	return nil
}

// load fills an empty index with the topics, which lie at their ids. In the order of their newest
// events, which is the order that the index keeps.
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

// loadTopics returns the topics at their ids, and how many entries the journal has for them.
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

// recount adds the events above the checkpoint to their topics' counters, and returns how many there
// are. A record that is damaged there may have been its topic's newest, which nothing else would lead
// a reader to: it is a suspect, for every reader to be told of.
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
			continue // counted when a trim wrote the state
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
