package bolt

import (
	"go.etcd.io/bbolt"

	"tidings/store"
	"tidings/store/internal/commit"
)

// sparseEvery is how many events of a topic share one key of the sparse index: finding a position in a topic
// walks at most this many records.
const sparseEvery = 128

// change is a commit on its way into the file: what its transaction writes, and what becomes visible with it.
// It is reused for the next commit.
type change struct {
	*commit.Commit
	c  *committer
	at *store.Place // of the commit, in a mirror

	created   []*topic
	changed   []*topic            // with a next state
	trimming  map[*topic]store.ID // the marks that it sets; readers keep the map once it is announced
	highest   store.ID            // ever trimmed
	buf       []byte              // records; bbolt refers to them until the transaction ends
	freed     uint64              // bytes of the deleted records
	deleted   int                 // records
	forgotten []commit.Key
	oldestKey store.ID             // after those; zero if none is left
	marks     map[commit.Owner]int // that it adds
	bare      map[commit.Owner]int // topics that lose their last event, less those that get one again

	extent    int    // bytes of the reserve that it creates; 0: it creates none with an extent
	journaled int    // entries put into the journal
	piece     *piece // of a checkpoint
	announced bool   // readers know the trimming
}

func (ch *change) begin(c *committer, k *commit.Commit, at *store.Place) {
	clear(ch.created)
	buf := ch.buf[:0]
	if cap(buf) > commitBytes {
		buf = nil
	}
	*ch = change{Commit: k, c: c, at: at, buf: buf, created: ch.created[:0], changed: ch.changed[:0],
		forgotten: ch.forgotten[:0]}
}

// write puts the commit into the transaction.
func (ch *change) write(tx *bbolt.Tx) error {
	if len(ch.Trims) > 0 {
		if err := ch.trim(tx); err != nil {
			return err
		}
	}
	if ch.Stores() {
		if err := ch.store(tx); err != nil {
			return err
		}
	}
	if len(ch.Marks) > 0 {
		if err := ch.putMarks(tx); err != nil {
			return err
		}
	}
	if err := ch.putPlace(tx); err != nil {
		return err
	}
	if err := ch.putDeliveries(tx); err != nil {
		return err
	}
	if err := ch.putSlots(tx); err != nil {
		return err
	}
	if err := ch.putEpochs(tx); err != nil {
		return err
	}
	ch.countBare(tx)
	if ch.c.books.due(ch) {
		ch.piece = ch.c.books.next(ch)
		if err := ch.c.writePiece(tx, ch.piece); err != nil {
			return err
		}
	}
	if len(ch.trimming) > 0 {
		if err := ch.putTrimmed(tx); err != nil {
			return err
		}
		ch.announced = true
		ch.c.horizon.index.announce(ch.trimming)
	}
	return nil
}

// putPlace stores how far the mirror has come, and the secret that the log got from its first node.
func (ch *change) putPlace(tx *bbolt.Tx) error {
	if ch.at == nil {
		return nil
	}
	if ch.Secret != nil {
		if err := putMeta(tx, metaSecret, ch.Secret[:]); err != nil {
			return err
		}
	}
	return putMeta(tx, metaPlace, encodePlace(*ch.at))
}

// store puts new topics, records, sparse keys and idempotency keys, and the head. The first commit after the
// reserve was given away recreates it, and the first with a larger record makes it larger.
func (ch *change) store(tx *bbolt.Tx) error {
	for _, created := range ch.Topics {
		t := &topic{id: created.Number, name: created.Name}
		err := putTopic(rising(tx, bucketTopics), t)
		if err == nil {
			err = putOwner(tx, created)
		}
		if err != nil {
			return err
		}
		ch.created = append(ch.created, t)
	}
	records := rising(tx, bucketLog)
	largest := 0
	for i := range ch.Events {
		size, err := ch.put(tx, records, &ch.Events[i])
		if err != nil {
			return err
		}
		largest = max(largest, size)
	}
	if err := ch.reserveFor(tx, largest); err != nil {
		return err
	}
	if len(ch.Keys) > 0 || len(ch.Forget) > 0 {
		if err := ch.putKeys(rising(tx, bucketKeys)); err != nil {
			return err
		}
	}
	if err := ch.putEpoch(tx); err != nil {
		return err
	}
	return putMeta(tx, metaHead, ch.Last[:])
}

// put stores an event as the newest of its topic, and returns the size of its record.
func (ch *change) put(tx *bbolt.Tx, records *bbolt.Bucket, e *commit.Event) (size int, err error) {
	t := ch.topic(e.Topic)
	s := &t.next
	s.unindexed++
	indexed := s.unindexed >= sparseEvery
	start := len(ch.buf)
	ch.buf = appendRecord(ch.buf, &e.ID, e.Draft, t.id, s.last, indexed)
	value := ch.buf[start:len(ch.buf):len(ch.buf)]
	if err := records.Put(e.ID[:], value); err != nil {
		return 0, err
	}
	if indexed {
		s.unindexed = 0
		if err := tx.Bucket(bucketSparse).Put(sparseKey(t.id, e.ID), nil); err != nil {
			return 0, err
		}
	}
	if s.count == 0 {
		s.first = e.ID
	}
	if e.Type == store.TypeEnd {
		s.ended = e.ID
	}
	s.last = e.ID
	s.count++
	s.bytes += uint64(len(e.ID) + len(value))
	return recordSize(e.ID[:], value), nil
}

// topic returns a topic, known or just created, and marks it as changed.
func (ch *change) topic(number uint32) *topic {
	known := ch.c.horizon.index.byID
	var t *topic
	if int(number) < len(known) {
		t = known[number]
	} else {
		t = ch.created[int(number)-len(known)]
	}
	if !t.changing {
		t.changing = true
		ch.changed = append(ch.changed, t)
	}
	return t
}

// trim deletes the named records, damaged ones too, and moves the marks that make the gap exact; putTrimmed
// or a checkpoint stores them.
func (ch *change) trim(tx *bbolt.Tx) error {
	ch.trimming = make(map[*topic]store.ID)
	trimmed := ch.c.horizon.Trimmed()
	ch.highest = trimmed
	records := rising(tx, bucketLog)
	for _, trim := range ch.Trims {
		if err := ch.delete(tx, records, ch.topic(trim.Topic), trim.ID); err != nil {
			return err
		}
		ch.highest = store.Later(ch.highest, trim.ID)
	}
	if ch.highest == trimmed {
		return nil
	}
	return putMeta(tx, metaTrimmed, ch.highest[:])
}

func (ch *change) delete(tx *bbolt.Tx, records *bbolt.Bucket, t *topic, id store.ID) error {
	t.next.trimmed = store.Later(t.next.trimmed, id) // a log that began with a state may be further
	ch.trimming[t] = t.next.trimmed
	value := records.Get(id[:])
	if value == nil {
		return nil
	}
	size := uint64(len(id) + len(value))
	t.next.count--
	t.next.bytes -= size
	ch.deleted++
	ch.freed += size
	if r, ok := decodeRecord(id[:], value); !ok || r.indexed {
		if err := tx.Bucket(bucketSparse).Delete(sparseKey(t.id, id)); err != nil {
			return err
		}
	}
	return records.Delete(id[:])
}
