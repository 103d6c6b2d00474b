package jetstream

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestTurns: nodes that have something to commit take turns, which each finds out from the commits it has seen and from
// who says that it waits.
func TestTurns(t *testing.T) {
	for name, play := range map[string]func(t *testing.T, s *stage){
		"nobody waits": func(t *testing.T, s *stage) {
			s.lose(4)
			s.commit(4, 4) // heard, and then its place
			s.want(1, 0)
			s.want(3, 0)
		},
		"nobody has lost a place": func(t *testing.T, s *stage) {
			s.waits(1, 2, 3)
			s.want(3, 0)
		},
		"the oldest first": func(t *testing.T, s *stage) {
			s.waits(1, 2)
			s.lose(3)
			s.want(1, 0)
			s.want(2, 1)
			s.want(3, 2)
			time.Sleep(20 * time.Millisecond)
			if d, _ := s.turns.wait([8]byte{3}); d > 10*time.Millisecond {
				t.Errorf("20 ms later node 3 waits for %v more", d)
			}
		},
		"in a ring": func(t *testing.T, s *stage) {
			s.waits(1, 2)
			s.lose(3)
			s.commit(1, 2, 3, 1)
			s.want(1, 2)
			s.want(2, 0)
			s.want(3, 1)
			_, known := s.turns.wait([8]byte{3})
			_, fresh := s.turns.wait([8]byte{4})
			if known || !fresh {
				t.Errorf("who waits already has to say so: %v; who does not: %v", known, fresh)
			}
		},
		"a turn that was let pass": func(t *testing.T, s *stage) {
			s.waits(1, 2)
			s.lose(3)
			s.commit(1, 2, 3, 2) // without 1
			s.want(2, 1)
			s.want(3, 0)
			s.waits(1)
			s.want(3, 1)
		},
		"a commit that was on its way": func(t *testing.T, s *stage) {
			s.commit(3)
			s.lose(1)
			s.commit(3)
			s.want(3, 1)
		},
		"too slow for its turn": func(t *testing.T, s *stage) {
			s.commit(3)
			s.lose(1)
			s.commit(3, 3)
			s.want(3, 0)
			s.lose(1)
			s.want(3, 2) // it gets twice the time
		},
		"said before its commit, and heard after it": func(t *testing.T, s *stage) {
			s.commit(1)
			s.turns.waits([8]byte{1}, s.sequence-2, true)
			s.commit(2)
			s.want(2, 0)
		},
		"a conflict long ago": func(t *testing.T, s *stage) {
			s.waits(1, 2)
			s.lose(3)
			for range 30 {
				s.commit(1, 2, 3)
			}
			s.want(3, 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &stage{t: t}
				for range 20 {
					s.commit(1, 2, 3)
				}
				play(t, s)
			})
		})
	}
}

// stage is what one node sees: a commit each 10 ms.
type stage struct {
	t        *testing.T
	turns    turns
	sequence uint64
}

func (s *stage) commit(nodes ...byte) {
	for _, node := range nodes {
		time.Sleep(10 * time.Millisecond)
		s.sequence++
		s.turns.saw(s.sequence, [8]byte{node})
		s.turns.saw(s.sequence, [8]byte{node}) // acknowledged, and then delivered
	}
}

func (s *stage) waits(nodes ...byte) {
	for _, node := range nodes {
		s.turns.waits([8]byte{node}, s.sequence, false)
	}
}

func (s *stage) lose(node byte) { s.turns.waits([8]byte{node}, s.sequence, true) }

// want: a node lets this many turns of 15 ms pass.
func (s *stage) want(node byte, turns int) {
	s.t.Helper()
	got, _ := s.turns.wait([8]byte{node})
	if want := time.Duration(turns) * 15 * time.Millisecond; got.Round(time.Millisecond) != want {
		s.t.Errorf("node %d waits for %v, want %v", node, got, want)
	}
}
