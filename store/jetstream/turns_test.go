package jetstream

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestTurns: nodes that compete take turns, which each finds out from the commits that it has seen.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen turns // by node 1
		sequence := uint64(0)
		commit := func(nodes ...byte) {
			for _, node := range nodes {
				time.Sleep(10 * time.Millisecond)
				sequence += 2
				seen.saw(sequence, [8]byte{node})
				seen.saw(sequence, [8]byte{node}) // acknowledged, and then delivered
			}
		}
		rounds := func(n int, nodes ...byte) {
			for range n {
				commit(nodes...)
			}
		}
		want := func(when string, node byte, turns int) {
			t.Helper()
			got := seen.wait([8]byte{node}).Round(100 * time.Microsecond)
			if want := time.Duration(turns) * 15 * time.Millisecond; got != want {
				t.Errorf("%s: node %d waits for %v, want %v", when, node, got, want)
			}
		}
		rounds(30, 1, 2, 3)
		want("without a conflict", 1, 0)
		seen.conflict()
		want("its last commit is the oldest", 1, 0)
		want("after node 1", 2, 1)
		want("after both", 3, 2)
		want("never heard of", 4, 0)
		time.Sleep(5 * time.Millisecond)
		if got := seen.wait([8]byte{2}); got > 10*time.Millisecond {
			t.Errorf("5 ms later node 2 still waits for %v", got)
		}

		commit(2)
		want("node 1 has let its turn pass", 3, 0)
		want("node 1 has let its turn pass", 2, 1)
		want("it is heard of no more", 1, 0)
		commit(1, 3)
		want("one commit does not make it busy", 3, 1)
		commit(2, 1, 3)
		want("two do", 3, 2)

		commit(5, 5)
		want("a new node passes nobody over", 3, 2)

		rounds(20, 1)
		want("nobody else is busy", 1, 0)
		rounds(40, 1, 2)
		want("a conflict long ago", 2, 0)
	})
}
