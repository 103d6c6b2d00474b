package bolt

import (
	"encoding/binary"
	"log/slog"

	"go.etcd.io/bbolt"

	"tidings/store"
	"tidings/store/internal/commit"
)

// keys remembers the idempotency keys of the newest groups: by hash in memory, and on disk in the order of
// their events, because random keys would cost most of the throughput there. The committer owns it.
type keys struct {
	shares *commit.Shares
	byHash map[commit.Hash]store.ID // the first event of the group
	held   int                      // records on disk
	oldest store.ID                 // the first of them; zero if none
}

// keySize is the size of a key's record.
const keySize = sumSize + 36

// appendKey appends the sealed record of k to dst.
func appendKey(dst []byte, k *commit.Key) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, sumSize)...)
	dst = append(append(dst, k.Hash[:]...), k.Fingerprint[:]...)
	dst = binary.BigEndian.AppendUint32(dst, k.Count)
	seal(k.First[:], dst[start:])
	return dst
}

func decodeKey(key, value []byte) (k commit.Key, ok bool) {
	rest, ok := unseal(key, value)
	if !ok || len(key) != len(k.First) || len(value) != keySize {
		return commit.Key{}, false
	}
	return commit.Key{
		Hash: commit.Hash(rest[:16]), Fingerprint: [16]byte(rest[16:32]),
		First: store.ID(key), Count: binary.BigEndian.Uint32(rest[32:]),
	}, true
}

// load reads the keys of an existing log. A damaged one counts as forgotten.
func (x *keys) load(tx *bbolt.Tx, logger *slog.Logger) error {
	x.byHash = make(map[commit.Hash]store.ID)
	damaged, first := 0, store.ID{}
	err := tx.Bucket(bucketKeys).ForEach(func(key, value []byte) error {
		if x.held == 0 && len(key) == len(x.oldest) {
			x.oldest = store.ID(key)
		}
		x.held++
		k, ok := decodeKey(key, value)
		if len(key) == len(x.oldest) {
			x.shares.AddKey(k.Hash.Owner(), store.ID(key))
		}
		if ok {
			x.byHash[k.Hash] = k.First
		} else {
			if damaged++; damaged == 1 && len(key) == len(first) {
				first = store.ID(key)
			}
		}
		return nil
	})
	if damaged > 0 {
		logger.Warn("idempotency keys are damaged; a retry that uses one would be stored again",
			"keys", damaged, "first", first)
	}
	return err
}

// putKeys remembers and forgets keys, in the transaction of the events.
func (ch *change) putKeys(b *bbolt.Bucket) error {
	records := make([]byte, 0, len(ch.Keys)*keySize)
	for i := range ch.Keys {
		records = appendKey(records, &ch.Keys[i])
		if err := b.Put(ch.Keys[i].First[:], records[len(records)-keySize:]); err != nil {
			return err
		}
	}
	for _, first := range ch.Forget {
		value := b.Get(first[:])
		if value == nil {
			continue // the log began with a state that does not have it
		}
		k, _ := decodeKey(first[:], value) // of a damaged key only the ID matters
		k.First = first
		ch.forgotten = append(ch.forgotten, k)
		if err := b.Delete(first[:]); err != nil {
			return err
		}
	}
	if key, _ := b.Cursor().First(); key != nil {
		ch.oldestKey = store.ID(key)
	}
	return nil
}

// show applies the keys of a durable commit to the remembered ones.
func (x *keys) show(ch *change) {
	if len(ch.Keys) == 0 && len(ch.Forget) == 0 {
		return
	}
	for i := range ch.Keys {
		x.byHash[ch.Keys[i].Hash] = ch.Keys[i].First
	}
	x.shares.AddKeys(ch.Keys)
	for _, k := range ch.forgotten {
		x.shares.RemoveKey(k.Hash.Owner(), k.First)
		if x.byHash[k.Hash] == k.First {
			delete(x.byHash, k.Hash)
		}
	}
	x.held += len(ch.Keys) - len(ch.forgotten)
	x.oldest = ch.oldestKey
}
