package bolt

import (
	"encoding/binary"
	"fmt"
	"iter"
	"maps"
	"slices"

	"go.etcd.io/bbolt"
)

// The journal holds, in the order of the commits, the state of each topic that was trimmed since
// the last checkpoint. In the topics' own records, when there are many topics, the states would lie
// on a page each: nearly every event that goes would write one. Here those of a commit lie
// together.

const (
	journalEntry = 4 + stateSize // a topic's id and state

	// journalEntries is how many share a value, so that at least two values fit on a page, as bbolt
	// wants.
	journalEntries = 16
)

// putTrimmed stores the new states of the topics that the transaction has trimmed. When there may
// be no space they go into the topics' records, which grow by nothing; also during a round, at whose
// end the journal goes.
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

// dropJournal follows the topics' records, in the transaction of a checkpoint.
func dropJournal(tx *bbolt.Tx) error {
	if tx.Bucket(bucketJournal) == nil {
		return nil
	}
	if err := tx.DeleteBucket(bucketJournal); err != nil {
		return err
	}
	return putFormat(tx)
}

// replayJournal brings the topics to the states that the journal has, and returns how many entries
// there are. A record that was written after an entry has a higher mark.
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
				return fmt.Errorf("journal record %x is of a topic that has no record", k)
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
