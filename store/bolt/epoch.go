package bolt

import (
	"go.etcd.io/bbolt"

	"tidings/store"
)

// maxEpochs is how many epochs a file keeps. Of what was minted before the oldest of them, only what
// is retained is known.
const maxEpochs = 4096

// epochs says which IDs may have been events of the log. A record that is trimmed leaves no trace but
// its topic's mark; but each ID bears the epoch of the Open that it was minted under, and the epochs
// are kept with the place in the log that each began after. An ID in the place of one epoch that bears
// another comes from a part of the log that was lost, by a restore or by a disk, or from another log.
//
// IDs that were imported bear none that is kept, and are known as long as they are retained: an export
// does not tell what had been trimmed after them. Of what a release without epochs has minted, any ID
// below what was trimmed may have been an event: a file of such a release has no bucket.
type epochs struct{ *bbolt.Bucket }

// put notes that what is minted above the given ID bears the epoch; no epoch is any.
func (e epochs) put(after store.ID, epoch []byte) error {
	if e.Get(after[:]) == nil {
		c := e.Cursor()
		for over := e.Stats().KeyN + 1 - maxEpochs; over > 0; over-- {
			c.First()
			if err := c.Delete(); err != nil {
				return err
			}
		}
	}
	v := append(make([]byte, sumSize, sumSize+len(epoch)), epoch...)
	seal(after[:], v)
	return e.Put(after[:], v)
}

// place returns where the epoch of an ID in this place began, zero if that is not known, and whether
// the ID bears it.
func (e epochs) place(id store.ID) (began store.ID, bears bool) {
	if e.Bucket == nil {
		return store.ID{}, true
	}
	c := e.Cursor()
	k, v := c.Seek(id[:])
	if k == nil {
		k, v = c.Last()
	}
	for k != nil && !store.ID(k).Before(id) { // what it began after is of the one before
		k, v = c.Prev()
	}
	if k == nil {
		return store.ID{}, false
	}
	epoch, ok := unseal(k, v)
	return store.ID(k), ok && (len(epoch) == 0 || id.Bears(store.Epoch(epoch)))
}

// putEpochs writes those of a log that is restored.
func (ch *change) putEpochs(tx *bbolt.Tx) error {
	for _, b := range ch.Epochs {
		if err := (epochs{tx.Bucket(bucketEpochs)}).put(b.After, b.Epoch); err != nil {
			return err
		}
	}
	return nil
}

// putEpoch writes the epoch that begins with the commit.
func (ch *change) putEpoch(tx *bbolt.Tx) error {
	if ch.Epoch == (store.Epoch{}) {
		return nil
	}
	e := epochs{tx.Bucket(bucketEpochs)}
	if e.Bucket == nil {
		var err error
		if e.Bucket, err = tx.CreateBucket(bucketEpochs); err != nil {
			return err
		}
		if err := e.put(store.ID{}, nil); err != nil {
			return err
		}
	}
	return e.put(ch.After, ch.Epoch[:])
}

// Resolve implements store.Log. Everything that it compares is of one transaction: one that is
// trimming is seen whole or not at all.
func (l *Log) Resolve(id store.ID) (nearest store.ID, known bool, err error) {
	head := l.Head() // first: the transaction has everything up to it
	err = l.view(func(tx *bbolt.Tx) error {
		if !id.Before(head) {
			nearest, known = head, id == head
			return nil
		}
		trimmed, err := getMetaID(tx, metaTrimmed)
		if err != nil {
			return l.fail(err)
		}
		began, bears := epochs{tx.Bucket(bucketEpochs)}.place(id)
		nearest = store.Later(keyAtOrBelow(tx.Bucket(bucketLog).Cursor(), id), began)
		if !id.Before(trimmed) {
			nearest = store.Later(nearest, trimmed)
		}
		known = nearest == id || bears && id.Before(trimmed)
		return nil
	})
	return nearest, known, err
}
