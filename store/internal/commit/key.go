package commit

import (
	"crypto/sha256"
	"encoding/binary"

	"tidings/store"
)

// Hash is the first half of the SHA-256 of an idempotency key.
type Hash [16]byte

// Key is an idempotency key as it is remembered: what it was used for, and where that is.
type Key struct {
	Hash        Hash
	Fingerprint [16]byte // of the drafts
	First       store.ID // the first event stored under it
	Count       uint32   // of events, under consecutive IDs
}

// digest returns the Key of a group that is not stored yet. The fingerprint covers what makes two
// publishes the same: topic, type, content type and data of each draft, each with its length so that
// no two lists of them read alike.
func digest(g *store.Group) Key {
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
	return Key{Hash: Hash(name[:16]), Fingerprint: [16]byte(h.Sum(nil)[:16])}
}
