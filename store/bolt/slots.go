package bolt

import (
	"encoding/binary"

	"go.etcd.io/bbolt"

	"tidings/store"
)

// The bucket slots is created with the first slot. An older release ignores it: it stores no event that would
// have one.

// putSlots fills and empties the slots of a commit.
func (ch *change) putSlots(tx *bbolt.Tx) error {
	if len(ch.Slots) == 0 {
		return nil
	}
	b, err := tx.CreateBucketIfNotExists(bucketSlots)
	if err != nil {
		return err
	}
	for i := range ch.Slots {
		s := &ch.Slots[i]
		if key := slotKey(s.Topic, s.Subject); s.ID.IsZero() {
			err = b.Delete(key)
		} else {
			err = b.Put(key, encodeSlot(key, s.ID))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Slot implements commit.View.
func (v *view) Slot(topic uint32, subject string) store.ID {
	key := slotKey(topic, subject)
	value := v.get(bucketSlots, key)
	if value == nil {
		return store.ID{}
	}
	id, ok := decodeSlot(key, value)
	if !ok {
		return store.MaxID
	}
	return id
}

func slotKey(topic uint32, subject string) []byte {
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(subject)), topic), subject...)
}

func encodeSlot(key []byte, id store.ID) []byte {
	v := append(make([]byte, sumSize, sumSize+len(id)), id[:]...)
	seal(key, v)
	return v
}

// decodeSlot returns false if the slot is damaged.
func decodeSlot(key, value []byte) (id store.ID, ok bool) {
	rest, ok := unseal(key, value)
	if !ok || len(rest) != len(id) || len(key) <= 4 {
		return store.ID{}, false
	}
	return store.ID(rest), true
}

func (a *audit) slots() {
	b := a.tx.Bucket(bucketSlots)
	if b == nil {
		return
	}
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		a.Slots++
		id, ok := decodeSlot(k, v)
		switch {
		case !ok:
			a.problem("the slot %.300q is damaged", k)
		case int(binary.BigEndian.Uint32(k)) >= len(a.topics):
			a.problem("the slot %.300q is of no topic", k)
		case a.Head.Before(id):
			a.problem("the slot %.300q has %s, the head is %s", k, id, a.Head)
		}
	}
}
