package jetstream

import (
	"sync"
	"time"
)

// turns finds out whose turn it is while several nodes are busy, so that they do not all try for each place. All see the
// same commits in the same order, so none has to ask: the next place is for the busy node whose last commit is the
// oldest; if that one does not take it in time, for the next one. It is a courtesy: the stream decides.
// docs/adr/0032 has the reasons.
type turns struct {
	mu      sync.Mutex
	commits uint64                // seen so far
	last    uint64                // sequence of the newest
	at      time.Time             // when it was seen
	took    time.Duration         // from one commit to the next, smoothed
	lost    uint64                // commits+1 when this node last lost a place; 0: never
	nodes   map[[8]byte]twoPlaces // of the newest commits
}

// twoPlaces is which of the commits seen were a node's last and last but one; 0: none.
type twoPlaces struct{ last, before uint64 }

const (
	courtesy = 64                     // commits for which a node takes turns after it lost a place
	turnMax  = 100 * time.Millisecond // for a node to take its turn
)

// isBusy reports whether the node has had two places, and has not let a turn pass since.
func (p twoPlaces) isBusy() bool { return p.before > 0 }

// saw notes a node's commit.
func (t *turns) saw(sequence uint64, node [8]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if sequence <= t.last {
		return
	}
	now, own := time.Now(), t.nodes[node]
	t.commits++
	passed := false // somebody let its turn pass
	for other, p := range t.nodes {
		if own.isBusy() && p.last < own.last {
			delete(t.nodes, other)
			passed = passed || p.isBusy()
		}
	}
	if took := now.Sub(t.at); !passed && took < turnMax {
		t.took += (took - t.took) / 8
	}
	if t.nodes == nil {
		t.nodes = make(map[[8]byte]twoPlaces)
	}
	t.nodes[node] = twoPlaces{t.commits, own.last}
	t.last, t.at = sequence, now
}

// conflict notes that this node lost a place.
func (t *turns) conflict() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lost = t.commits + 1
}

// wait returns for how long the next place is for other nodes than this one; not positive: it is for this one.
func (t *turns) wait(node [8]byte) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lost == 0 || t.commits-t.lost+1 >= courtesy {
		return 0
	}
	own, before := t.nodes[node], 0
	for _, p := range t.nodes {
		if p.isBusy() && p.last < own.last {
			before++
		}
	}
	return time.Duration(before)*min(t.took*3/2, turnMax) - time.Since(t.at)
}

// Turn implements store.Sequencer.
func (s *Sequencer) Turn() time.Duration { return max(0, s.turns.wait(s.node)) }
