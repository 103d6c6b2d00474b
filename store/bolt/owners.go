package bolt

import (
	"encoding/binary"

	"go.etcd.io/bbolt"

	"tidings/store/internal/commit"
)

// The bucket owners says who made a topic, under the key of its record; without a name there is no
// entry. An older release passes the bucket over: what it makes is nobody's.

func putOwner(tx *bbolt.Tx, t commit.Topic) (err error) {
	if t.Owner == (commit.Owner{}) {
		return nil
	}
	b := tx.Bucket(bucketOwners)
	if b == nil {
		if b, err = tx.CreateBucket(bucketOwners); err != nil {
			return err
		}
	}
	b.FillPercent = 1 // numbers only ever rise
	key := binary.BigEndian.AppendUint32(nil, t.Number)
	v := append(make([]byte, sumSize, sumSize+len(t.Owner)), t.Owner[:]...)
	seal(key, v)
	return b.Put(key, v)
}

func decodeOwner(key, value []byte) (o commit.Owner, ok bool) {
	v, ok := unseal(key, value)
	if !ok || len(v) != len(o) || len(key) != 4 {
		return o, false
	}
	return commit.Owner(v), true
}

// makerOf is who made the topic: zero for nobody, and when the entry is damaged.
func makerOf(tx *bbolt.Tx, topic uint32) commit.Owner {
	o, _ := readMaker(tx, topic)
	return o
}

// readMaker is makerOf; false: the entry is damaged.
func readMaker(tx *bbolt.Tx, topic uint32) (o commit.Owner, whole bool) {
	b := tx.Bucket(bucketOwners)
	if b == nil {
		return o, true
	}
	key := binary.BigEndian.AppendUint32(nil, topic)
	value := b.Get(key)
	if value == nil {
		return o, true
	}
	return decodeOwner(key, value)
}

// loadOwners counts who made the topics. A damaged entry counts as none.
func (c *committer) loadOwners(tx *bbolt.Tx, topics []*topic) {
	for _, t := range topics {
		if t.next.count == 0 {
			c.bare++
		}
	}
	b := tx.Bucket(bucketOwners)
	if b == nil {
		return
	}
	cursor := b.Cursor()
	for key, value := cursor.First(); key != nil; key, value = cursor.Next() {
		o, ok := decodeOwner(key, value)
		if !ok {
			continue
		}
		c.shares.AddTopics(o, 1)
		if n := binary.BigEndian.Uint32(key); int(n) < len(topics) && topics[n].next.count == 0 {
			c.shares.AddBare(o, 1)
		}
	}
}

// countBare finds out which of the topics that were there have lost their last event, or have one again.
func (ch *change) countBare(tx *bbolt.Tx) {
	known := len(ch.c.horizon.index.byID)
	count := func(t *topic, n int) {
		if ch.bare == nil {
			ch.bare = make(map[commit.Owner]int)
		}
		ch.bare[makerOf(tx, t.id)] += n
	}
	for _, t := range ch.created { // without an event only by a state
		if t.next.count == 0 {
			count(t, 1)
		}
	}
	for _, t := range ch.changed {
		was, is := t.visible.count == 0, t.next.count == 0
		if int(t.id) >= known || was == is {
			continue
		}
		if is {
			count(t, 1)
		} else {
			count(t, -1)
		}
	}
}
