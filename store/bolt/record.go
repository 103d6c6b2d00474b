package bolt

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"

	"tidings/store"
)

// Every value in the file that matters begins with a CRC-32C of its key and the rest of the value: bbolt has
// no checksums of its pages. docs/FORMAT.md draws the layouts.

const (
	sumSize       = 4
	recordVersion = 1
	flagIndexed   = 1 << 0 // the record has a key in the sparse index
	recordFixed   = sumSize + 1 + 1 + 4 + 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(key, rest []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, rest)
}

// seal fills in the first four bytes of value.
func seal(key, value []byte) {
	binary.BigEndian.PutUint32(value, checksum(key, value[sumSize:]))
}

// unseal returns what follows the checksum, false if the checksum does not match.
func unseal(key, value []byte) ([]byte, bool) {
	if len(value) < sumSize || binary.BigEndian.Uint32(value) != checksum(key, value[sumSize:]) {
		return nil, false
	}
	return value[sumSize:], true
}

// record is a decoded value of the log bucket. It points into the transaction's memory.
type record struct {
	topic       uint32
	prev        store.ID // the previous event of the same topic; zero for its first
	indexed     bool
	typ         []byte
	contentType []byte
	attributes  []byte // still encoded
	data        []byte
}

// size is what the record and its key count for in the topic's bytes.
func (r *record) size() uint64 {
	return uint64(len(store.ID{}) + recordFixed + 1 + len(r.typ) + 1 + len(r.contentType) +
		uvarintSize(len(r.attributes)) + len(r.attributes) + len(r.data))
}

// appendRecord appends the sealed value of d under id to dst.
func appendRecord(dst []byte, id *store.ID, d *store.Draft, topic uint32, prev store.ID,
	indexed bool) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, recordVersion, 0)
	if indexed {
		dst[start+5] = flagIndexed
	}
	dst = binary.BigEndian.AppendUint32(dst, topic)
	dst = append(dst, prev[:]...)
	typ := d.Type
	if typ == store.DefaultType {
		typ = ""
	}
	dst = appendShort(dst, typ)
	dst = appendShort(dst, d.ContentType)
	dst = binary.AppendUvarint(dst, uint64(attributesSize(d.Attributes)))
	for _, a := range d.Attributes {
		dst = appendShort(dst, a.Name)
		dst = binary.AppendUvarint(dst, uint64(len(a.Value)))
		dst = append(dst, a.Value...)
	}
	dst = append(dst, d.Data...)
	seal(id[:], dst[start:])
	return dst
}

// attributesSize is the size of the attributes in a record.
func attributesSize(attributes []store.Attribute) (n int) {
	for _, a := range attributes {
		n += 1 + len(a.Name) + uvarintSize(len(a.Value)) + len(a.Value)
	}
	return n
}

// uvarintSize is how many bytes binary.AppendUvarint appends.
func uvarintSize(n int) int { return max(1, (bits.Len(uint(n))+6)/7) }

func appendShort(dst []byte, s string) []byte {
	dst = append(dst, byte(len(s)))
	return append(dst, s...)
}

// decodeRecord checks and decodes value, which may be nil for a missing key. False means that nothing in it
// can be trusted.
func decodeRecord(key, value []byte) (record, bool) {
	rest, ok := unseal(key, value)
	if !ok || len(value) < recordFixed || rest[0] != recordVersion {
		return record{}, false
	}
	r := record{indexed: rest[1]&flagIndexed != 0, topic: binary.BigEndian.Uint32(rest[2:]),
		prev: store.ID(rest[6:22])}
	rest = rest[22:]
	if r.typ, rest, ok = cutShort(rest); !ok {
		return record{}, false
	}
	if r.contentType, rest, ok = cutShort(rest); !ok {
		return record{}, false
	}
	if r.attributes, rest, ok = cutLong(rest); !ok {
		return record{}, false
	}
	r.data = rest
	return r, true
}

func cutShort(b []byte) (field, rest []byte, ok bool) {
	if len(b) == 0 || len(b)-1 < int(b[0]) {
		return nil, nil, false
	}
	n := int(b[0])
	return b[1 : 1+n], b[1+n:], true
}

func cutLong(b []byte) (field, rest []byte, ok bool) {
	n, w := binary.Uvarint(b)
	if w <= 0 || uint64(len(b)-w) < n {
		return nil, nil, false
	}
	return b[w : w+int(n)], b[w+int(n):], true
}

// arena turns records into events that outlive the transaction. Data is copied into shared chunks, and
// repeated strings are allocated once: a page costs a few allocations, not a few per event. The chunks double
// in size, so that a single event does not cost a whole page's chunk.
type arena struct {
	chunk   []byte
	strings map[string]string
}

const (
	arenaFirst   = 1 << 10
	arenaChunk   = 64 << 10
	arenaStrings = 1024
)

func (a *arena) event(id store.ID, topic string, r record) store.Event {
	e := store.Event{ID: id, Topic: topic, Type: a.string(r.typ),
		ContentType: a.string(r.contentType), Data: a.bytes(r.data)}
	if e.Type == "" {
		e.Type = store.DefaultType
	}
	for rest, ok := r.attributes, true; len(rest) > 0; {
		var name, value []byte
		if name, rest, ok = cutShort(rest); !ok {
			break // impossible: the checksum holds and appendRecord wrote the record
		}
		if value, rest, ok = cutLong(rest); !ok {
			break
		}
		e.Attributes = append(e.Attributes,
			store.Attribute{Name: a.string(name), Value: string(value)})
	}
	return e
}

func (a *arena) bytes(b []byte) []byte {
	if len(b) > cap(a.chunk)-len(a.chunk) {
		if len(b) > arenaChunk/4 {
			return append([]byte(nil), b...)
		}
		a.chunk = make([]byte, 0, min(max(arenaFirst, 2*cap(a.chunk), 2*len(b)), arenaChunk))
	}
	start := len(a.chunk)
	a.chunk = append(a.chunk, b...)
	return a.chunk[start:len(a.chunk):len(a.chunk)]
}

func (a *arena) string(b []byte) string {
	if s, ok := a.strings[string(b)]; ok {
		return s
	}
	if a.strings == nil || len(a.strings) >= arenaStrings {
		a.strings = make(map[string]string)
	}
	s := string(b)
	a.strings[s] = s
	return s
}
