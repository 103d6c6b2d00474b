package commit

import (
	"crypto/sha256"
	"encoding/binary"

	"tidings/store"
)

// Hash is an idempotency key as it is looked up: its Owner, then the first bytes of its SHA-256.
// Before there were owners it was the first half of that.
type Hash [16]byte

// Owner is whose the key is.
func (h Hash) Owner() Owner { return Owner(h[:len(Owner{})]) }

// Key is an idempotency key as it is remembered: what it was used for, and where that is.
type Key struct {
	Hash        Hash
	Fingerprint [16]byte // of the drafts
	First       store.ID // the first event stored under it
	Count       uint32   // of events, under consecutive IDs
}

// keyed is the Key of a group that is not stored yet, and how it was looked up before there were
// owners.
type keyed struct {
	Key
	before Hash
}

// digest returns what a group is looked up and stored under. The fingerprint covers what makes two
// publishes the same: topic, type, content type and data of each draft, each with its length so that
// no two lists of them read alike.
func digest(g *store.Group) keyed {
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
	k := keyed{Key: Key{Fingerprint: [16]byte(h.Sum(nil)[:16])}, before: Hash(name[:])}
	owner := OwnerOf(g.Owner)
	copy(k.Hash[copy(k.Hash[:], owner[:]):], name[:])
	return k
}
