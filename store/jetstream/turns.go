package jetstream

import (
	"encoding/binary"
	"math"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// turns is whose turn it is while several nodes have something to commit. Each then says that it waits, and all see
// the same commits in the same order: the next place is for the waiting node whose last commit is the oldest, or, if
// that one does not take it in time, for the next one. It is a courtesy: the stream decides. docs/adr/0032 has the
// reasons.
type turns struct {
	mu    sync.Mutex
	last  uint64             // sequence of the newest commit
	at    time.Time          // when it was seen
	took  time.Duration      // from one commit to the next, smoothed
	lost  uint64             // the newest commit when a node last lost a place, as far as is known; 0: none
	nodes map[[8]byte]waiter // those that wait, or have one of the newest commits
}

// waiter is a node's part in turns.
type waiter struct {
	last  uint64 // sequence of its last commit
	waits bool   // it has said so, and let no turn pass since
	said  uint64 // the newest commit when it said so; 0 after a commit of its own
}

const (
	courtesy = 64                     // messages of the stream for which nodes take turns after one has lost a place
	turnMax  = 100 * time.Millisecond // for a node to take its turn; where commits take longer, nodes compete
)

// saw notes a node's commit. A node that waited, and whose turn came earlier, is too slow for its turn or gone.
func (t *turns) saw(sequence uint64, node [8]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if sequence <= t.last {
		return
	}
	now, late := time.Now(), false
	before, waits := t.nodes[node].last, t.nodes[node].waits
	for other, w := range t.nodes {
		switch {
		case w.waits && w.last < before && w.said < t.last: // otherwise the commit may have been on its way
			late = late || w.said > 0
			t.nodes[other] = waiter{last: w.last}
		case !w.waits && w.last+courtesy < sequence:
			delete(t.nodes, other)
		}
	}
	if took := now.Sub(t.at); late {
		t.took = min(2*t.took, turnMax)
	} else if took < turnMax {
		t.took += (took - t.took) / 8
	}
	t.set(node, waiter{last: sequence, waits: waits})
	t.last, t.at = sequence, now
}

// set needs mu.
func (t *turns) set(node [8]byte, w waiter) {
	if t.nodes == nil {
		t.nodes = make(map[[8]byte]waiter)
	}
	t.nodes[node] = w
}

// waits notes that a node has something to commit, up to where it has seen commits, and whether it has just lost a
// place. It returns up to where this node has seen them.
func (t *turns) waits(node [8]byte, seen uint64, lost bool) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if last := t.nodes[node].last; last <= seen {
		t.set(node, waiter{last: last, waits: true, said: t.last})
	}
	if lost {
		t.lost = max(1, t.last)
	}
	return t.last
}

// wait returns for how long the next place is for other nodes than this one, which has something to commit; not
// positive: it is for this one. say: the others do not know that it waits.
func (t *turns) wait(node [8]byte) (d time.Duration, say bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lost == 0 || t.last-t.lost >= courtesy {
		return 0, false
	}
	own, before := t.nodes[node], 0
	for _, w := range t.nodes {
		if w.waits && w.last < own.last {
			before++
		}
	}
	return time.Duration(before)*min(t.took*3/2, turnMax) - time.Since(t.at), !own.waits
}

// Turn implements store.Sequencer.
func (s *Sequencer) Turn() time.Duration {
	d, say := s.turns.wait(s.node)
	if say {
		s.sayWaiting(false)
	}
	return max(0, d)
}

// toWaiting is where nodes say that they wait:
//
//	node 8 | the newest sequence it has seen 8 | 1 if it has just lost a place, otherwise 0
const (
	toWaiting    = "waiting"
	waitingBytes = 8 + 8 + 1
)

// sayWaiting tells the other nodes that this one waits. If that gets lost this node competes.
func (s *Sequencer) sayWaiting(lost bool) {
	seen := s.turns.waits(s.node, math.MaxUint64, lost)
	said := make([]byte, 0, waitingBytes)
	said = binary.BigEndian.AppendUint64(append(said, s.node[:]...), seen)
	if said = append(said, 0); lost {
		said[waitingBytes-1] = 1
	}
	_ = s.nc.Publish(s.nodesSubject(toWaiting), said)
}

// hearWaiting notes what other nodes say, until the connection is closed.
func (s *Sequencer) hearWaiting() error {
	_, err := s.nc.Subscribe(s.nodesSubject(toWaiting), func(m *nats.Msg) {
		if len(m.Data) != waitingBytes {
			return
		}
		if node := [8]byte(m.Data); node != s.node {
			s.turns.waits(node, binary.BigEndian.Uint64(m.Data[8:]), m.Data[waitingBytes-1] == 1)
		}
	})
	return err
}
