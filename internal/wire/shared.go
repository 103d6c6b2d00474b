package wire

import "bytes"

// interner allocates recurring strings once.
type interner struct {
	last string // nearly always it is this one
	all  map[string]string
}

func (n *interner) string(b []byte) string {
	if n.last == string(b) {
		return n.last
	}
	s, ok := n.all[string(b)]
	if !ok {
		if n.all == nil {
			n.all = make(map[string]string)
		}
		s = string(b)
		n.all[s] = s
	}
	n.last = s
	return s
}

// keeper copies bytes into chunks that they share.
type keeper struct{ chunk []byte }

const keeperChunk = 64 << 10

func (k *keeper) bytes(b []byte) []byte {
	if len(b) > keeperChunk/4 {
		return bytes.Clone(b)
	}
	if len(b) > cap(k.chunk)-len(k.chunk) {
		k.chunk = make([]byte, 0, min(keeperChunk, max(1<<10, 2*cap(k.chunk), 2*len(b))))
	}
	start := len(k.chunk)
	k.chunk = append(k.chunk, b...)
	return k.chunk[start:len(k.chunk):len(k.chunk)]
}
