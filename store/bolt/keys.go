package bolt

import (
	"crypto/sha256"
	"encoding/binary"
	"log/slog"
	"time"

	"go.etcd.io/bbolt"

	"tidings/store"
)

// key is an idempotency key and what it was used for, as they are remembered.
type key struct{ hash, fingerprint [16]byte }

// newKey digests a group. The fingerprint covers what makes two publishes the same: topic, type,
// content type and data of each draft, each with its length so that no two lists of them read
// alike.
func newKey(g store.Group) *key {
	name := sha256.Sum256([]byte(g.Key))
	h := sha256.New()
	var size [8]byte
	write := func(s string) {
		binary.BigEndian.PutUint64(size[:], uint64(len(s)))
		h.Write(size[:])
		h.Write([]byte(s))
	}
	for i := range g.Drafts {
		d := &g.Drafts[i]
		write(d.Topic)
		write(d.Type)
		write(d.ContentType)
		binary.BigEndian.PutUint64(size[:], uint64(len(d.Data)))
		h.Write(size[:])
		h.Write(d.Data)
	}
	return &key{hash: [16]byte(name[:16]), fingerprint: [16]byte(h.Sum(nil)[:16])}
}

// keys remembers the keys of the newest groups: by hash in memory, in the order of their events on
// disk, where random keys would cost most of the throughput. It is the committer's own.
type keys struct {
	window time.Duration
	max    int
	logger *slog.Logger
	byHash map[[16]byte]store.ID // the first event of the group
	held   int                   // records on disk
	oldest store.ID              // the first of them

	// Of the transaction under way.
	added     map[[16]byte]keyRecord
	forgotten []keyRecord
}

// keyRecord is a key on disk, under the ID of its group's first event.
type keyRecord struct {
	key
	first store.ID
	count uint32 // of events, under consecutive IDs
}

func newKeys(o Options, logger *slog.Logger) *keys {
	return &keys{window: o.KeyWindow, max: o.MaxKeys, logger: logger,
		byHash: make(map[[16]byte]store.ID), added: make(map[[16]byte]keyRecord)}
}

func (r *keyRecord) encode() []byte {
	v := make([]byte, sumSize, sumSize+36)
	v = append(v, r.hash[:]...)
	v = append(v, r.fingerprint[:]...)
	v = binary.BigEndian.AppendUint32(v, r.count)
	seal(r.first[:], v)
	return v
}

func decodeKey(k, v []byte) (r keyRecord, ok bool) {
	rest, ok := unseal(k, v)
	if !ok || len(k) != len(r.first) || len(rest) != 36 {
		return keyRecord{}, false
	}
	return keyRecord{key{[16]byte(rest[:16]), [16]byte(rest[16:32])}, store.ID(k),
		binary.BigEndian.Uint32(rest[32:])}, true
}

// load reads the keys of an existing log. A damaged one counts as forgotten.
func (x *keys) load(tx *bbolt.Tx) error {
	return tx.Bucket(bucketKeys).ForEach(func(k, v []byte) error {
		if x.held == 0 && len(k) == len(x.oldest) {
			x.oldest = store.ID(k)
		}
		x.held++
		if r, ok := decodeKey(k, v); ok {
			x.byHash[r.hash] = r.first
		} else {
			x.logger.Warn(
				"an idempotency key is damaged; a retry that uses it would be stored again",
				"id", store.ID(k))
		}
		return nil
	})
}

// lookup returns the result of the group that k was used for, if it is remembered.
func (x *keys) lookup(b *buckets, k *key,
	now time.Time) (result store.Result, known bool, err error) {
	r, inBatch := x.added[k.hash]
	if !inBatch {
		first, ok := x.byHash[k.hash]
		if !ok || x.expired(first, now) {
			return store.Result{}, false, nil
		}
		if r, ok = decodeKey(first[:], b.keys.Get(first[:])); !ok || r.hash != k.hash {
			x.logger.Warn(
				"an idempotency key is damaged; what is published under it is stored again", "id",
				first)
			return store.Result{}, false, nil
		}
	}
	if r.fingerprint != k.fingerprint {
		return store.Result{}, false, store.ErrKeyMismatch
	}
	result = store.Result{IDs: make([]store.ID, r.count), Replayed: true}
	for i, id := 0, r.first; i < len(result.IDs); i++ {
		result.IDs[i] = id
		result.Trimmed = result.Trimmed || !inBatch && b.records.Get(id[:]) == nil
		id, _ = id.Next()
	}
	return result, true, nil
}

func (x *keys) expired(first store.ID,
	now time.Time) bool {
	return now.Sub(first.Time()) >= x.window
}

// put remembers k in the transaction of its events.
func (x *keys) put(b *buckets, k *key, ids []store.ID) error {
	r := keyRecord{*k, ids[0], uint32(len(ids))}
	x.added[k.hash] = r
	return b.keys.Put(r.first[:], r.encode())
}

// forget deletes the oldest keys beyond the limits, a few more than the transaction has added, so
// that the work is spread.
func (x *keys) forget(b *buckets, now time.Time) error {
	if len(x.added) == 0 {
		return nil
	}
	c := b.keys.Cursor()
	k, v := c.First()
	for over := x.held + len(x.added) - x.max; k != nil &&
		len(x.forgotten) < 2*len(x.added)+16; over-- {
		if over <= 0 && !x.expired(store.ID(k), now) {
			break
		}
		r, _ := decodeKey(k, v) // of a damaged one only the ID matters
		r.first = store.ID(k)
		x.forgotten = append(x.forgotten, r)
		k, v = c.Next()
	}
	if k != nil {
		x.oldest = store.ID(k)
	}
	for _, r := range x.forgotten { // not while the cursor is in use: it would skip
		if err := b.keys.Delete(r.first[:]); err != nil {
			return err
		}
	}
	return nil
}

// publish makes the transaction's changes final, and returns how many keys are held and the oldest.
func (x *keys) publish() (held int, oldest store.ID) {
	for hash, r := range x.added {
		x.byHash[hash] = r.first
	}
	for _, r := range x.forgotten {
		if x.byHash[r.hash] == r.first {
			delete(x.byHash, r.hash)
		}
	}
	x.held += len(x.added) - len(x.forgotten)
	x.undo()
	return x.held, x.oldest
}

// undo forgets the transaction's changes. oldest may stay too high until the next one.
func (x *keys) undo() {
	clear(x.added)
	x.forgotten = x.forgotten[:0]
}
