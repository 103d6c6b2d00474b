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
	bucketEpochs = []byte("epochs") // absent from a log that only an older release has written
	bucketMeta   = []byte("meta")

	bucketOwners     = []byte("owners")     // may be absent
	bucketDeliveries = []byte("deliveries") // may be absent
	bucketSlots      = []byte("slots")      // may be absent
	bucketReserve    = []byte("reserve")    // may be absent
	bucketJournal    = []byte("journal")    // present between a trim and the next checkpoint
)

// rising opens a bucket whose keys only ever increase, so that a split page is never filled up later. Opening
// one costs about as much as storing an event in it: open it only if needed.
func rising(tx *bbolt.Tx, name []byte) *bbolt.Bucket {
	b := tx.Bucket(name)
	b.FillPercent = 1
	return b
}

func sparseKey(topic uint32, id store.ID) []byte {
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 20), topic), id[:]...)
}

// keyAtOrBelow moves c to the highest key at or below id and returns it, or zero if there is none.
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
