package bolt

import (
	"encoding/binary"
	"fmt"
	"iter"
	"maps"
	"slices"

	"go.etcd.io/bbolt"
)

// The journal holds, in commit order, the state of each topic trimmed since the last checkpoint. In the
// topics' own records, with many topics, each state would lie on another page: nearly every trimmed event
// would write one. Here the states of a commit lie together.

const (
	journalEntry = 4 + stateSize // a topic's id and state

	// journalEntries is how many entries share a value, so that at least two values fit on a page, as bbolt
	// requires.
	journalEntries = 16
)

// putTrimmed stores the new states of the topics that the transaction has trimmed. If there may be no space
// they go into the topics' records, which do not grow. The same applies during a round, whose end deletes the
// journal.
func (ch *change) putTrimmed(tx *bbolt.Tx) error {
	if ch.c.tight() || ch.piece != nil || ch.c.books.round() {
		topics := rising(tx, bucketTopics)
		for t := range ch.trimming {
			if err := putTopic(topics, t); err != nil {
				return err
			}
		}
		return nil
	}
	journal := tx.Bucket(bucketJournal)
	if journal == nil {
		var err error
		if journal, err = tx.CreateBucket(bucketJournal); err != nil {
			return err
		}
		if err := putFormat(tx); err != nil {
			return err
		}
	}
	journal.FillPercent = 1
	for topics := range slices.Chunk(sortedByID(maps.Keys(ch.trimming)), journalEntries) {
		n, err := journal.NextSequence()
		if err != nil {
			return err
		}
		key := binary.BigEndian.AppendUint64(nil, n)
		v := make([]byte, sumSize, sumSize+len(topics)*journalEntry)
		for _, t := range topics {
			v = appendState(binary.BigEndian.AppendUint32(v, t.id), &t.next)
		}
		seal(key, v)
		if err := journal.Put(key, v); err != nil {
			return err
		}
	}
	ch.journaled = len(ch.trimming)
	return nil
}

func sortedByID(topics iter.Seq[*topic]) []*topic {
	return slices.SortedFunc(topics, func(a, b *topic) int { return int(a.id) - int(b.id) })
}

// dropJournal deletes the journal once the topics' records are written, in the transaction of a checkpoint.
func dropJournal(tx *bbolt.Tx) error {
	if tx.Bucket(bucketJournal) == nil {
		return nil
	}
	if err := tx.DeleteBucket(bucketJournal); err != nil {
		return err
	}
	return putFormat(tx)
}

// replayJournal sets the topics to the states in the journal, and returns how many entries there are. A
// record that was written after an entry has a higher mark.
func replayJournal(tx *bbolt.Tx, topics []*topic) (entries int, err error) {
	b := tx.Bucket(bucketJournal)
	if b == nil {
		return 0, nil
	}
	err = b.ForEach(func(k, v []byte) error {
		v, ok := unseal(k, v)
		if !ok || len(v)%journalEntry != 0 {
			return fmt.Errorf("journal record %x is damaged", k)
		}
		for e := range slices.Chunk(v, journalEntry) {
			id, s := binary.BigEndian.Uint32(e), decodeState(e[4:])
			if int(id) >= len(topics) {
				return fmt.Errorf("journal record %x belongs to a topic without a record", k)
			}
			if t := topics[id]; t.next.trimmed.Before(s.trimmed) {
				t.next, t.dirty = s, true
			}
			entries++
		}
		return nil
	})
	return entries, err
}
