package bolt

import (
	"cmp"
	"io"
)

// ahead reads a file in pieces that grow while reads continue where the last piece ended, and shrink when
// they do not. The leaves of a log lie mostly in key order, with branches and pages of other buckets between
// them; hence several such places at a time.
type ahead struct {
	file   io.ReaderAt
	size   uint64 // of the file
	places [4]place
	clock  uint64
}

// place is a piece in memory.
type place struct {
	from, used uint64 // offset in the file; when it was last read from
	piece      []byte
}

// pieceBytes is the largest piece: large enough that a system call for each costs little, small enough to fit
// in a processor's cache.
const pieceBytes = 128 << 10

// read returns n bytes from the offset, which must be in the file. They are valid until the next call.
func (a *ahead) read(offset, n uint64) ([]byte, error) {
	a.clock++
	p := a.place(offset, n)
	p.used = a.clock
	if !p.has(offset, n) {
		length := n
		if p.leadsTo(offset) {
			length = max(n, min(2*uint64(len(p.piece)), pieceBytes))
		}
		p.from, p.piece = offset, sized(p.piece, min(length, a.size-offset))
		if _, err := a.file.ReadAt(p.piece, int64(offset)); err != nil {
			p.piece = p.piece[:0]
			return nil, err
		}
	}
	return p.piece[offset-p.from:][:n], nil
}

// place returns the place that holds the range, else one that leads there, else the least recently read one.
func (a *ahead) place(offset, n uint64) *place {
	oldest, near := &a.places[0], (*place)(nil)
	for i := range a.places {
		p := &a.places[i]
		if p.has(offset, n) {
			return p
		}
		if p.leadsTo(offset) {
			near = p
		}
		if p.used < oldest.used {
			oldest = p
		}
	}
	return cmp.Or(near, oldest)
}

func (p *place) has(offset, n uint64) bool {
	return p.from <= offset && offset+n <= p.from+uint64(len(p.piece))
}

// leadsTo reports whether the offset lies in the piece, or behind it by less than its length.
func (p *place) leadsTo(offset uint64) bool {
	return p.from <= offset && offset < p.from+2*uint64(len(p.piece))
}

// sized returns a buffer of the given length: buf, if it is large enough.
func sized(buf []byte, length uint64) []byte {
	if uint64(cap(buf)) < length {
		return make([]byte, length)
	}
	return buf[:length]
}
