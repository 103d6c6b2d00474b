package bolt

import (
	"go.etcd.io/bbolt"

	"tidings/store"
)

// maxEpochs is how many epochs a file keeps. Of the IDs minted before the oldest of them, only retained
// events are known.
const maxEpochs = 4096

// epochs tells which IDs may have been events of the log. A trimmed record leaves no trace but its topic's
// mark; but each ID bears the epoch of the Open that minted it, and each epoch is kept with the ID after
// which it began. An ID that lies within one epoch but bears another comes from a part of the log that was
// lost, by a restore or by a disk, or from another log.
//
// Imported IDs bear no epoch that is kept, and are known as long as they are retained: an export does not say
// what had been trimmed after them. Of the IDs minted by a release without epochs, any one below the trimmed
// mark may have been an event: a file of such a release has no bucket.
type epochs struct{ *bbolt.Bucket }

// put stores that IDs minted above the given one bear the epoch; an empty epoch stands for any.
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

// place returns where the epoch began that an ID at this point of the log must bear, zero if that is not
// known, and whether the ID bears it.
func (e epochs) place(id store.ID) (began store.ID, bears bool) {
	if e.Bucket == nil {
		return store.ID{}, true
	}
	c := e.Cursor()
	k, v := c.Seek(id[:])
	if k == nil {
		k, v = c.Last()
	}
	for k != nil && !store.ID(k).Before(id) { // the ID that an epoch began after belongs to the previous one
		k, v = c.Prev()
	}
	if k == nil {
		return store.ID{}, false
	}
	epoch, ok := unseal(k, v)
	return store.ID(k), ok && (len(epoch) == 0 || id.Bears(store.Epoch(epoch)))
}

// putEpochs writes the epochs of a restored log.
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

// Resolve implements store.Log. All comparisons use one transaction: a trim in progress is seen whole or not
// at all.
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
