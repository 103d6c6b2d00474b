package jetstream

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"tidings/store"
)

// An entry is one message. docs/adr/0016 draws it:
//
//	version 1 | log 16 | node 8 | attempt 8 | part 2 | parts 2 | chain 16 | bytes of the commit
const (
	entryVersion = 1
	headerBytes  = 1 + 16 + 8 + 8 + 2 + 2 + 16

	// partBytes is how much of a commit fits into one message; a server's limit is 1 MiB by default.
	partBytes = 512 << 10
)

type entry struct {
	log           store.ID
	node, attempt [8]byte
	part, parts   uint16 // part counts from 0
	chain         [16]byte
	commit        []byte // this part of it
}

var errEntry = errors.New("this release cannot read the entry")

func decode(b []byte) (e entry, err error) {
	if len(b) < headerBytes || b[0] != entryVersion {
		return e, errEntry
	}
	e.log, e.node, e.attempt = store.ID(b[1:17]), [8]byte(b[17:25]), [8]byte(b[25:33])
	e.part, e.parts = binary.BigEndian.Uint16(b[33:]), binary.BigEndian.Uint16(b[35:])
	e.chain, e.commit = [16]byte(b[37:53]), b[headerBytes:]
	if e.part >= e.parts {
		return e, errEntry
	}
	return e, nil
}

func (e *entry) append(dst []byte) []byte {
	dst = append(append(dst, entryVersion), e.log[:]...)
	dst = append(append(dst, e.node[:]...), e.attempt[:]...)
	dst = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(dst, e.part), e.parts)
	return append(append(dst, e.chain[:]...), e.commit...)
}

// link returns the chain after a commit: 16 bytes of a SHA-256 of the chain before it and the whole entry.
func (e *entry) link(before [16]byte, commit []byte) [16]byte {
	sum := sha256.New()
	head := entry{log: e.log, node: e.node, attempt: e.attempt, parts: e.parts, chain: before}
	sum.Write(head.append(nil))
	sum.Write(commit)
	return [16]byte(sum.Sum(nil))
}

// attempt is a commit for which a place is requested.
type attempt struct {
	after   store.Place
	commit  []byte
	subject string
	id      [8]byte // in its messages
	chain   [16]byte
	parts   [][]byte // the messages
	open    bool     // one of its calls may have placed it
}

// newAttempt makes the messages of a commit.
func (s *Sequencer) newAttempt(after store.Place, commit []byte, subject string) (*attempt, error) {
	a := &attempt{after: after, commit: slices.Clone(commit), subject: subject}
	n := max(1, (len(commit)+partBytes-1)/partBytes)
	if n > maxParts {
		return nil, fmt.Errorf("%w: a commit of %d bytes is too large for one batch of messages", store.ErrNoSpace,
			len(commit))
	}
	e := entry{log: s.logID, node: s.node, parts: uint16(n)}
	_, _ = rand.Read(e.attempt[:]) // never fails
	a.id = e.attempt
	e.chain = e.link(after.Chain, a.commit)
	a.chain = e.chain
	for i := range n {
		e.part = uint16(i)
		e.commit = a.commit[i*partBytes : min(len(a.commit), (i+1)*partBytes)]
		a.parts = append(a.parts, e.append(make([]byte, 0, headerBytes+len(e.commit))))
	}
	return a, nil
}

// maxParts is the most messages that a server accepts in one batch.
const maxParts = 1000

// gathering joins the parts of commits, and checks that each follows the one before it.
type gathering struct {
	log    store.ID
	at     store.Place // of the last whole commit
	last   uint64      // sequence of the last message
	first  entry       // of the parts so far
	commit []byte      // bytes of these parts
	parts  uint16
}

// add takes the next message, and returns a commit once it is whole. Errors: ErrDiverged.
func (g *gathering) add(sequence uint64, data []byte) (at store.Place, commit []byte, err error) {
	wrong := func(why string) (store.Place, []byte, error) {
		return at, nil, fmt.Errorf("%w: message %d %s", store.ErrDiverged, sequence, why)
	}
	e, err := decode(data)
	switch {
	case err != nil:
		return wrong("was not written by this program, or by a newer release")
	case e.log != g.log:
		return wrong("is of log " + e.log.String())
	case e.part != g.parts, e.part > 0 && (e.attempt != g.first.attempt || e.node != g.first.node ||
		e.parts != g.first.parts || e.chain != g.first.chain):
		return wrong("is not the next part of its commit")
	}
	if e.part == 0 {
		g.first, g.commit = e, nil
	}
	g.commit, g.parts, g.last = append(g.commit, e.commit...), e.part+1, sequence
	if g.parts < e.parts {
		return store.Place{}, nil, nil
	}
	if e.link(g.at.Chain, g.commit) != e.chain {
		return wrong("does not follow the one before it: its chain is broken")
	}
	g.at, commit = store.Place{Number: sequence, Chain: e.chain}, g.commit
	g.commit, g.parts = nil, 0
	return g.at, commit, nil
}
