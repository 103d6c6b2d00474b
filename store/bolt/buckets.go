package bolt

import (
	"encoding/binary"

	"go.etcd.io/bbolt"

	"tidings/store"
)

var (
	bucketLog    = []byte("log")
	bucketSparse = []byte("sparse")
	bucketTopics = []byte("topics")
	bucketKeys   = []byte("keys")
	bucketMarks  = []byte("marks")
	bucketEpochs = []byte("epochs") // not in a log that only an older release has written
	bucketMeta   = []byte("meta")

	bucketOwners  = []byte("owners")  // not always there
	bucketReserve = []byte("reserve") // not always there
	bucketJournal = []byte("journal") // there between a trim and the next checkpoint
)

// buckets are those that an append writes to.
type buckets struct{ records, sparse, topics, keys *bbolt.Bucket }

func newBuckets(tx *bbolt.Tx) *buckets {
	b := &buckets{tx.Bucket(bucketLog), tx.Bucket(bucketSparse), tx.Bucket(bucketTopics),
		tx.Bucket(bucketKeys)}
	// Here keys only ever rise, so a split page is never filled up later.
	b.records.FillPercent, b.topics.FillPercent, b.keys.FillPercent = 1, 1, 1
	return b
}

func sparseKey(topic uint32, id store.ID) []byte {
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 20), topic), id[:]...)
}

// keyAtOrBelow moves c to the highest key at or below id and returns it, zero if there is none.
func keyAtOrBelow(c *bbolt.Cursor, id store.ID) store.ID {
	k, _ := c.Seek(id[:])
	if k == nil {
		k, _ = c.Last()
	}
	for k != nil && id.Before(store.ID(k)) {
		k, _ = c.Prev()
	}
	if k == nil {
		return store.ID{}
	}
	return store.ID(k)
}
