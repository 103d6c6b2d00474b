package commit

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"tidings/store"
)

// Hash is an idempotency key as it is looked up: its Owner, then the first bytes of its SHA-256. Before
// there were owners it was the first half of the SHA-256.
type Hash [16]byte

// Owner returns the owner of the key.
func (h Hash) Owner() Owner { return Owner(h[:len(Owner{})]) }

// Key is an idempotency key as it is stored: what it was used for, and where that is.
type Key struct {
	Hash        Hash
	Fingerprint [16]byte // of the drafts
	First       store.ID // the first event stored under it
	Count       uint32   // of events, under consecutive IDs
}

// keyed is the Key of a group that is not stored yet, and the Hash it would have had before there were
// owners.
type keyed struct {
	Key
	before Hash
}

// digester computes the digests of groups, one after the other.
type digester struct {
	hash  hash.Hash
	buf   []byte
	name  string // of the last owner, nearly always the next one too
	owner Owner
}

func newDigester() *digester { return &digester{hash: sha256.New()} }

// digest returns what a group is looked up and stored under. The fingerprint covers what makes two
// publishes equal: topic, type, content type and data of each draft, each with its length, so that no
// two lists of them have the same bytes.
func (d *digester) digest(g *store.Group) keyed {
	d.hash.Reset()
	for i := range g.Drafts {
		draft := &g.Drafts[i]
		d.buf = d.buf[:0]
		for _, s := range [...]string{draft.Topic, draft.Type, draft.ContentType} {
			d.buf = append(binary.BigEndian.AppendUint64(d.buf, uint64(len(s))), s...)
		}
		d.hash.Write(binary.BigEndian.AppendUint64(d.buf, uint64(len(draft.Data))))
		d.hash.Write(draft.Data)
	}
	d.buf = d.hash.Sum(d.buf[:0])
	k := keyed{Key: Key{Fingerprint: [16]byte(d.buf)}}
	d.buf = append(d.buf[:0], g.Key...)
	name := sha256.Sum256(d.buf)
	k.before = Hash(name[:])
	if g.Owner != d.name {
		d.name, d.owner = g.Owner, OwnerOf(g.Owner)
	}
	copy(k.Hash[copy(k.Hash[:], d.owner[:]):], name[:])
	return k
}
