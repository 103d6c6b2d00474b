package bolt

import (
	"encoding/binary"

	"go.etcd.io/bbolt"
)

// The reserve is a bucket of pages that hold nothing. bbolt never overwrites a page in use, so a transaction
// that deletes needs free pages before it frees any, and in a file that cannot grow there may be none: then
// nothing could be trimmed, and nothing would ever be freed again. Giving up the reserve takes one page, for
// the root of the file, and one is always free: the root that the last transaction replaced.

// reservePages is a few times what it takes to trim one event: the paths to it in the log, in the
// sparse index and to its topic's record.
const reservePages = 32

// leafKeys is how many values bbolt puts on a leaf before it splits it, however large they are. Deleting one
// of them rewrites the others, and such a leaf needs contiguous pages.
const leafKeys = 4

// extentFor returns how many bytes of the reserve must be contiguous, its extent, if the largest record of
// the log has n bytes; 0 if a page is enough. It is more than needed, to allow for slightly larger records.
func extentFor(tx *bbolt.Tx, n int) int {
	if n *= leafKeys; n > tx.DB().Info().PageSize-pageHeader-leafKeys*pageElement {
		return n + n/4
	}
	return 0
}

// reserveFor creates the reserve that the largest record needs, unless there is one that is large enough.
func (ch *change) reserveFor(tx *bbolt.Tx, largest int) error {
	needed := leafKeys * largest
	if ch.c.reserved && (needed <= ch.c.extent || extentFor(tx, largest) == 0) {
		return nil
	}
	if ch.c.reserved {
		if err := tx.DeleteBucket(bucketReserve); err != nil {
			return err
		}
	}
	ch.extent = max(ch.c.extent, extentFor(tx, largest))
	return fillReserve(tx, ch.extent)
}

// fillReserve creates the reserve, with an extent of the given size. bbolt puts at least two values on a
// page, and does not split the last four: two fill a page, and the last three are empty except the one that
// has the extent. So every other page stands alone, and single free pages are enough for them.
func fillReserve(tx *bbolt.Tx, extent int) error {
	b, err := tx.CreateBucket(bucketReserve)
	if err != nil {
		return err
	}
	const keySize, full = 2, 2 * (reservePages - 1)
	half := make([]byte, (tx.DB().Info().PageSize-pageHeader)/2-pageElement-keySize)
	for i := range full + 3 {
		value := half
		switch {
		case i == full+2:
			value = make([]byte, extent)
		case i >= full:
			value = nil
		}
		if err := b.Put(binary.BigEndian.AppendUint16(nil, uint16(i)), value); err != nil {
			return err
		}
	}
	return nil
}

// loadReserve looks for the reserve. If there is none it finds the largest record, for which the next reserve
// is made.
func (c *committer) loadReserve(tx *bbolt.Tx) {
	if b := tx.Bucket(bucketReserve); b != nil {
		_, extent := b.Cursor().Last()
		c.reserved, c.extent = true, len(extent)
		return
	}
	largest, records := 0, tx.Bucket(bucketLog).Cursor()
	for k, v := records.First(); k != nil; k, v = records.Next() {
		largest = max(largest, recordSize(k, v))
	}
	c.extent = extentFor(tx, largest)
}

// recordSize is how much of a leaf a record uses.
func recordSize(k, v []byte) int { return len(k) + len(v) + pageElement }

// tight reports whether there may be no space: a trim then writes only what it must.
func (c *committer) tight() bool { return c.full || !c.reserved }

// giveReserve frees the reserve for later transactions. Nothing is appended until there is space for it
// again.
func (c *committer) giveReserve() error {
	err := c.update(func(tx *bbolt.Tx) error { return tx.DeleteBucket(bucketReserve) })
	if err == nil {
		c.reserved = false
	}
	return err
}
