package bolt

import (
	"encoding/binary"

	"go.etcd.io/bbolt"
)

// The reserve is a bucket of pages that hold nothing. bbolt never writes over a page that is in
// use, so a transaction that deletes needs free ones before it makes any, and in a file that cannot
// grow there may be none: then nothing could be trimmed, and nothing would ever be free again. To
// give up the reserve takes one page, for the root of the file, and there is one: the root that the
// last transaction replaced.

// reservePages is a few times what it takes to trim one event: the paths to it in the log, in the
// sparse index and to its topic's record.
const reservePages = 32

// fillReserve makes the reserve. bbolt puts at least two values on a page, and does not part the
// last four: two fill a page, and the last three are empty. So each page stands alone, and single
// free pages are enough for them.
func fillReserve(tx *bbolt.Tx) error {
	b, err := tx.CreateBucket(bucketReserve)
	if err != nil {
		return err
	}
	const keySize, full = 2, 2 * (reservePages - 1)
	value := make([]byte, (tx.DB().Info().PageSize-pageHeader)/2-pageElement-keySize)
	for i := range full + 3 {
		if i == full {
			value = nil
		}
		if err := b.Put(binary.BigEndian.AppendUint16(nil, uint16(i)), value); err != nil {
			return err
		}
	}
	return nil
}

// tight reports whether there may be no space: then a trim writes nothing that it can do without.
func (c *committer) tight() bool { return c.full || !c.reserved }

// giveReserve frees the reserve for the transactions to come. Nothing is appended until there is
// space for it again.
func (c *committer) giveReserve() error {
	err := c.update(func(tx *bbolt.Tx) error { return tx.DeleteBucket(bucketReserve) })
	if err == nil {
		c.reserved = false
	}
	return err
}
