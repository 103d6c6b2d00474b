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
	if !ok || len(v) != len(o) {
		return o, false
	}
	return commit.Owner(v), true
}

// loadOwners counts who made the topics. A damaged entry counts as none.
func (c *committer) loadOwners(tx *bbolt.Tx) error {
	b := tx.Bucket(bucketOwners)
	if b == nil {
		return nil
	}
	return b.ForEach(func(key, value []byte) error {
		if o, ok := decodeOwner(key, value); ok {
			c.shares.AddTopics(o, 1)
		}
		return nil
	})
}
