package bolt

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"go.etcd.io/bbolt"

	"tidings/store"
)

// A topic's counters change with every event and are too many to write with every commit. They are
// written at a checkpoint, every checkpointEvery events, and counted again from there at Open.

// due reports whether the transaction under way is to write a checkpoint.
func (c *committer) due() bool {
	return max(c.since+c.stored, c.journaled+len(c.trimming)) >= checkpointEvery+c.postponed
}

// writeCheckpoint writes the records of all topics that changed since the last one.
func (c *committer) writeCheckpoint(tx *bbolt.Tx) error {
	b := tx.Bucket(bucketTopics)
	for _, changed := range [][]*topic{c.dirty, c.touched, slices.Collect(maps.Keys(c.trimming))} {
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
	return errors.Join(putMeta(tx, metaSuspects, suspects), putMeta(tx, metaCheckpoint, c.last[:]))
}

// clean follows a checkpoint that is durable.
func (c *committer) clean() {
	for _, t := range c.dirty {
		t.dirty = false
	}
	c.dirty, c.since, c.journaled, c.postponed = c.dirty[:0], 0, 0, 0
}

// checkpoint writes one at Close. Without it, the next Open counts instead.
func (c *committer) checkpoint() {
	if c.Err() != nil || len(c.dirty) == 0 && c.journaled == 0 {
		return
	}
	if err := c.update(c.writeCheckpoint); err != nil {
		c.logger.Warn("no checkpoint at close; the next start counts the newest events again",
			"error", err)
		return
	}
	c.clean()
}

// load fills the index from the topics' records and the events after the checkpoint, and the head
// and trimmed marks from the metadata.
func (l *Log) load(tx *bbolt.Tx) error {
	var head, trimmed, checkpoint store.ID
	for key, id := range map[string]*store.ID{metaHead: &head, metaTrimmed: &trimmed,
		metaCheckpoint: &checkpoint, metaLogID: &l.id} {
		v, err := getMetaID(tx, key)
		if err != nil {
			return err
		}
		*id = v
	}
	l.head.Store(&head)
	l.trimmed.Store(&trimmed)
	if k, _ := tx.Bucket(bucketLog).Cursor().Last(); k != nil &&
		(len(k) != len(head) || head.Before(store.ID(k))) {
		return errors.New("the newest event lies above the stored head")
	}
	suspects, err := getMeta(tx, metaSuspects)
	if err != nil {
		return err
	}
	for id := range slices.Chunk(suspects, len(store.ID{})) {
		l.suspects = append(l.suspects, store.ID(id))
	}
	if err := l.committer.keys.load(tx); err != nil {
		return err
	}
	l.committer.reserved = tx.Bucket(bucketReserve) != nil
	l.committer.marks = tx.Bucket(bucketMarks).Stats().KeyN
	l.index.keys, l.index.oldestKey = l.committer.keys.held, l.committer.keys.oldest
	topics, journaled, err := loadTopics(tx)
	if err != nil {
		return err
	}
	l.committer.journaled = journaled
	l.recount(tx, topics, checkpoint)
	// In the order of their newest events, which is the order that the index keeps.
	l.index.byID = slices.Clone(topics)
	slices.SortFunc(topics, func(a, b *topic) int {
		return cmp.Or(a.next.last.Compare(b.next.last), cmp.Compare(a.id, b.id))
	})
	for _, t := range topics {
		l.index.show(t)
		l.index.add(t)
		l.index.touch(t, t.visible.last)
		if t.dirty {
			l.committer.dirty = append(l.committer.dirty, t)
		}
	}
	return nil
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

// recount adds the events above the checkpoint to their topics' counters. A record that is damaged
// there may have been its topic's newest, which nothing else would lead a reader to: it is kept as
// a suspect, for every reader to be told of.
func (l *Log) recount(tx *bbolt.Tx, topics []*topic, checkpoint store.ID) {
	after, ok := checkpoint.Next()
	if !ok {
		return
	}
	c := tx.Bucket(bucketLog).Cursor()
	for k, v := c.Seek(after[:]); k != nil; k, v = c.Next() {
		id := store.ID(k)
		r, ok := decodeRecord(k, v)
		if !ok || int(r.topic) >= len(topics) {
			l.suspects = append(l.suspects, id)
			continue
		}
		l.committer.since++
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
}
