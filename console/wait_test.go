package console_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"tidings/internal/e2e"
)

// record is a list that others wait for. It may be used concurrently.
type record[T any] struct {
	mu    sync.Mutex
	items []T
	more  chan struct{} // closed at the next add; nil while nobody waits
}

func (r *record[T]) add(item T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.items = append(r.items, item)
	if r.more != nil {
		close(r.more)
		r.more = nil
	}
}

func (r *record[T]) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.items)
}

func (r *record[T]) all() []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.items)
}

// await waits until the list is as wanted.
func (r *record[T]) await(t *testing.T, what string, wanted func([]T) bool) {
	t.Helper()
	timeout := time.After(e2e.Patience)
	for {
		r.mu.Lock()
		items := slices.Clone(r.items)
		if r.more == nil {
			r.more = make(chan struct{})
		}
		more := r.more
		r.mu.Unlock()
		if wanted(items) {
			return
		}
		select {
		case <-more:
		case <-timeout:
			t.Fatalf("after %v there is no %s", e2e.Patience, what)
		}
	}
}
