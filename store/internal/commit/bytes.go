package commit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"

	"tidings/store"
)

// version is the version of the layout, which docs/FORMAT.md draws; withSlots, withEpochs and withState are those of
// commits that have slots, epochs or state, which earlier releases cannot read.
const version, withSlots, withEpochs, withState = 3, 4, 5, 6

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrFormat is returned by Decode for bytes that are not a commit, or are one of a newer release.
var ErrFormat = errors.New("this release cannot read the commit")

// AppendBinary appends the commit's bytes to dst. The error is always nil (encoding.BinaryAppender).
//
//	version 1 | CRC-32C 4 of the rest | After 16 | Last 16 | Epoch 4 | uvarint 0 or 32, Secret
//	lists, each a uvarint of its length: Topics, Events, Trims, Keys, Forget, Marks,
//	Deliveries; from version 4 on, Slots; from version 5 on, Epochs; with version 6, State
func (c *Commit) AppendBinary(dst []byte) ([]byte, error) {
	start := len(dst)
	dst = append(dst, version, 0, 0, 0, 0)
	dst = append(dst, c.After[:]...)
	dst = append(dst, c.Last[:]...)
	dst = append(dst, c.Epoch[:]...)
	var secret []byte
	if c.Secret != nil {
		secret = c.Secret[:]
	}
	dst = append(appendLength(dst, len(secret)), secret...)
	dst = appendLength(dst, len(c.Topics))
	for _, t := range c.Topics {
		dst = append(binary.BigEndian.AppendUint32(dst, t.Number), t.Owner[:]...)
		dst = appendText(dst, t.Name)
	}
	dst = appendLength(dst, len(c.Events))
	for i := range c.Events {
		dst = c.Events[i].append(dst)
	}
	dst = appendLength(dst, len(c.Trims))
	for _, t := range c.Trims {
		dst = append(binary.BigEndian.AppendUint32(dst, t.Topic), t.ID[:]...)
	}
	dst = appendLength(dst, len(c.Keys))
	for _, k := range c.Keys {
		dst = append(append(dst, k.Hash[:]...), k.Fingerprint[:]...)
		dst = binary.BigEndian.AppendUint32(append(dst, k.First[:]...), k.Count)
	}
	dst = appendLength(dst, len(c.Forget))
	for _, first := range c.Forget {
		dst = append(dst, first[:]...)
	}
	dst = appendLength(dst, len(c.Marks))
	for i := range c.Marks {
		m := &c.Marks[i]
		dst = append(appendText(appendText(dst, m.Subject), m.Name), m.ID[:]...)
		dst = appendText(dst, m.Topics.String())
	}
	dst = appendDeliveries(dst, c.Deliveries)
	dst = c.appendLater(dst, start)
	binary.BigEndian.PutUint32(dst[start+1:], crc32.Checksum(dst[start+5:], castagnoli))
	return dst, nil
}

func (e *Event) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, e.ID[:]...), e.Topic)
	dst = appendText(appendText(dst, e.Type), e.ContentType)
	dst = appendLength(dst, len(e.Attributes))
	for _, a := range e.Attributes {
		dst = appendText(appendText(dst, a.Name), a.Value)
	}
	return append(appendLength(dst, len(e.Data)), e.Data...)
}

// appendDeliveries writes a 1 before each record, and a 0 where there is none.
func appendDeliveries(dst []byte, list []store.NamedDelivery) []byte {
	dst = appendLength(dst, len(list))
	for i := range list {
		d := &list[i]
		dst = append(appendText(dst, d.Name), d.ID[:]...)
		if d.Record == nil {
			dst = append(dst, 0)
			continue
		}
		dst = append(appendLength(append(dst, 1), len(d.Record)), d.Record...)
	}
	return dst
}

// appendLater writes the lists that later versions added, if they are not empty, and sets the version that has them.
func (c *Commit) appendLater(dst []byte, start int) []byte {
	if len(c.Slots) > 0 || len(c.Epochs) > 0 || c.State != nil {
		dst[start] = withSlots
		dst = appendSlots(dst, c.Slots)
	}
	if len(c.Epochs) > 0 || c.State != nil {
		dst[start] = withEpochs
		dst = appendEpochs(dst, c.Epochs)
	}
	if c.State != nil {
		dst[start] = withState
		dst = c.State.append(dst)
	}
	return dst
}

// append writes a 0 and a part, or a 1 and the end of all parts.
func (s *StatePart) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, s.Writing[:]...), s.Index)
	if s.Closing == nil {
		return append(appendLength(append(dst, 0), len(s.Part)), s.Part...)
	}
	dst = appendPlace(appendPlace(append(dst, 1), s.Closing.From), s.Closing.Floor)
	return append(dst, s.Closing.Head[:]...)
}

func appendPlace(dst []byte, p store.Place) []byte {
	return append(binary.BigEndian.AppendUint64(dst, p.Number), p.Chain[:]...)
}

func appendSlots(dst []byte, list []Slot) []byte {
	dst = appendLength(dst, len(list))
	for i := range list {
		s := &list[i]
		dst = append(appendText(binary.BigEndian.AppendUint32(dst, s.Topic), s.Subject), s.ID[:]...)
	}
	return dst
}

func appendEpochs(dst []byte, list []Began) []byte {
	dst = appendLength(dst, len(list))
	for _, b := range list {
		dst = append(appendLength(append(dst, b.After[:]...), len(b.Epoch)), b.Epoch...)
	}
	return dst
}

func appendLength(dst []byte, n int) []byte { return binary.AppendUvarint(dst, uint64(n)) }

func appendText(dst []byte, s string) []byte { return append(appendLength(dst, len(s)), s...) }

// Decode reads the bytes of AppendBinary. The data of events and the records of deliveries point into
// b, which must not change afterwards. Drafts have no topic name, only their event's number: the name
// is in the log or in Topics. Errors: ErrFormat.
func Decode(b []byte) (*Commit, error) {
	if len(b) < 5 || b[0] < version || b[0] > withState {
		return nil, fmt.Errorf("%w: expected version %d to %d", ErrFormat, version, withState)
	}
	if binary.BigEndian.Uint32(b[1:]) != crc32.Checksum(b[5:], castagnoli) {
		return nil, fmt.Errorf("%w: its checksum does not fit", ErrFormat)
	}
	r := &decoder{rest: b[5:]}
	c := &Commit{After: r.id(), Last: r.id(), Epoch: store.Epoch(r.bytes(4)), Secret: r.secret()}
	for range r.length() {
		c.Topics = append(c.Topics, Topic{r.uint32(), r.owner(), r.text()})
	}
	for range r.length() {
		c.Events = append(c.Events, r.event())
	}
	for range r.length() {
		c.Trims = append(c.Trims, Trim{r.uint32(), r.id()})
	}
	for range r.length() {
		c.Keys = append(c.Keys, Key{Hash(r.bytes(16)), [16]byte(r.bytes(16)), r.id(), r.uint32()})
	}
	for range r.length() {
		c.Forget = append(c.Forget, r.id())
	}
	for range r.length() {
		c.Marks = append(c.Marks, r.mark())
	}
	for range r.length() {
		c.Deliveries = append(c.Deliveries, r.delivery())
	}
	r.later(b[0], c)
	if r.short || len(r.rest) > 0 {
		return nil, fmt.Errorf("%w: it ends at the wrong place", ErrFormat)
	}
	return c, nil
}

// later reads what later versions added.
func (r *decoder) later(version byte, c *Commit) {
	if version >= withSlots {
		for range r.length() {
			c.Slots = append(c.Slots, Slot{r.uint32(), r.text(), r.id()})
		}
	}
	if version >= withEpochs {
		for range r.length() {
			c.Epochs = append(c.Epochs, Began{r.id(), r.bytes(r.length())})
		}
	}
	if version >= withState {
		c.State = r.state()
	}
}

// decoder takes fields off the front of rest. Once one is missing, all further ones are zero.
type decoder struct {
	rest  []byte
	short bool
}

func (r *decoder) bytes(n int) []byte {
	if n > len(r.rest) {
		r.short, r.rest = true, nil
		return make([]byte, min(n, len(store.ID{})))
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *decoder) id() store.ID   { return store.ID(r.bytes(len(store.ID{}))) }
func (r *decoder) owner() Owner   { return Owner(r.bytes(len(Owner{}))) }
func (r *decoder) uint32() uint32 { return binary.BigEndian.Uint32(r.bytes(4)) }

// length reads the length of a list or a text: at least as many bytes must follow.
func (r *decoder) length() int {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 || n > uint64(len(r.rest)-size) {
		r.short, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[size:]
	return int(n)
}

func (r *decoder) state() *StatePart {
	s := &StatePart{Writing: [8]byte(r.bytes(8)), Index: r.uint32()}
	switch r.bytes(1)[0] {
	case 0:
		s.Part = r.bytes(r.length())
	case 1:
		s.Closing = &Closing{From: r.place(), Floor: r.place(), Head: r.id()}
	default:
		r.short = true
	}
	return s
}

func (r *decoder) place() store.Place {
	return store.Place{Number: binary.BigEndian.Uint64(r.bytes(8)), Chain: [16]byte(r.bytes(16))}
}

func (r *decoder) text() string { return string(r.bytes(r.length())) }

func (r *decoder) secret() *[32]byte {
	switch b := r.bytes(r.length()); len(b) {
	case 0:
		return nil
	case 32:
		return (*[32]byte)(b)
	default:
		r.short = true
		return nil
	}
}

func (r *decoder) event() Event {
	e := Event{ID: r.id(), Topic: r.uint32(), Draft: new(store.Draft)}
	e.Type, e.ContentType = r.text(), r.text()
	for range r.length() {
		e.Attributes = append(e.Attributes, store.Attribute{Name: r.text(), Value: r.text()})
	}
	e.Data = r.bytes(r.length())
	return e
}

func (r *decoder) mark() Mark {
	m := Mark{Subject: r.text(), Name: r.text(), Mark: store.Mark{ID: r.id()}}
	topics, err := store.NewFilter(strings.Fields(r.text())...)
	if err != nil {
		r.short = true
	}
	m.Topics = topics
	return m
}

func (r *decoder) delivery() store.NamedDelivery {
	d := store.NamedDelivery{Name: r.text(), Delivery: store.Delivery{ID: r.id()}}
	switch r.bytes(1)[0] {
	case 0:
	case 1:
		d.Record = r.bytes(r.length())
	default:
		r.short = true
	}
	return d
}
