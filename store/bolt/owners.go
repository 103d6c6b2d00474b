package bolt

import (
	"encoding/binary"

	"go.etcd.io/bbolt"

	"tidings/store/internal/commit"
)

// The bucket owners holds who made a topic, under the key of its record; a topic made without a name has no
// entry. An older release ignores the bucket: topics that it makes have no owner.

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
	b.FillPercent = 1 // numbers only increase
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

// makerOf returns who made the topic: zero for nobody, and if the entry is damaged.
func makerOf(tx *bbolt.Tx, topic uint32) commit.Owner {
	o, _ := readMaker(tx, topic)
	return o
}

// readMaker is makerOf; false means that the entry is damaged.
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

// loadOwners counts topics by their makers. A damaged entry counts as none.
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

// countBare counts the known topics that have lost their last event, or have one again.
func (ch *change) countBare(tx *bbolt.Tx) {
	known := len(ch.c.horizon.index.byID)
	count := func(t *topic, n int) {
		if ch.bare == nil {
			ch.bare = make(map[commit.Owner]int)
		}
		ch.bare[makerOf(tx, t.id)] += n
	}
	for _, t := range ch.created { // without events only if created by a state
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
