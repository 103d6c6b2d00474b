package api

import "sync"

// intake is the memory for what servers of one log answer each other: a share of the budget for responses that several
// goroutines use. All methods may be called concurrently.
type intake struct {
	mu    sync.Mutex
	share share
}

// newIntake returns an intake that never exceeds the budget, not even while its request is alone: n servers answer one
// question.
func (s *Server) newIntake(owner ownerHash) *intake {
	return &intake{share: share{budget: s.answers, owner: owner, spare: true}}
}

// add takes n bytes more, or gives back -n. It reports false when there is no room, and then takes nothing.
func (i *intake) add(n int) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.share.set(i.share.held + int64(n))
}

// set is share.set.
func (i *intake) set(n int) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.share.set(int64(n))
}

// free gives back everything.
func (i *intake) free() { i.set(0) }
