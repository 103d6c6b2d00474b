package bolt

import (
	"runtime"

	"tidings/store"
)

// walkStep is how many nodes a walk visits before it lets the committer, and other goroutines, run: some tens
// of microseconds.
const walkStep = 256

// walk lists topics. It holds the index's lock for reading, one step at a time.
type walk struct {
	x     *index
	after store.ID
	yield func(*topic)
	steps int

	matcher *store.Walker
	recents [store.MaxSegments + 1][]*node // by depth, reused
}

// list calls yield for each topic that s has and that has, or had, an event above after: once for
// each that had one when list was called, and perhaps for some that got one meanwhile. It calls
// yield with the lock held for reading; the caller must not hold it.
func (x *index) list(s selection, after store.ID, yield func(*topic)) {
	w := walk{x: x, after: after, yield: yield, matcher: s.filter.Walk()}
	x.mu.RLock()
	defer x.mu.RUnlock()
	if s.only == nil {
		w.children(&x.root)
		return
	}
	for t := range s.only {
		w.topic(t)
		w.pause()
	}
}

// pause counts a step, and reports whether it released the lock for a moment.
func (w *walk) pause() bool {
	if w.steps++; w.steps%walkStep != 0 {
		return false
	}
	w.x.mu.RUnlock()
	runtime.Gosched()
	w.x.mu.RLock()
	return true
}

func (w *walk) topic(t *topic) {
	if t != nil && w.after.Before(t.visible.last) {
		w.yield(t)
	}
}

// children visits the nodes below n, as far as they can match.
func (w *walk) children(n *node) {
	if w.matcher.MatchesBelow() {
		w.all(n, w.matcher.Depth())
		return
	}
	literals := w.matcher.Literals()
	if w.matcher.Star() || len(n.children) < len(literals) {
		for _, child := range w.recent(n, w.matcher.Depth()) {
			w.child(child)
		}
		return
	}
	for _, segment := range literals {
		if child := n.children[segment]; child != nil && w.after.Before(child.newest) {
			w.child(child)
		}
		w.pause()
	}
}

func (w *walk) child(n *node) {
	if !w.matcher.Down(n.segment) {
		return
	}
	if w.matcher.Matches() {
		w.topic(n.topic)
	}
	w.children(n)
	w.matcher.Up()
}

// all visits everything below n; reserved topics only as far as they can match.
func (w *walk) all(n *node, depth int) {
	for _, child := range w.recent(n, depth) {
		if depth == 0 && store.IsReserved(child.segment) {
			w.child(child)
			continue
		}
		w.topic(child.topic)
		w.all(child, depth+1)
	}
}

// recent returns the children of n with something above after, each once; the list's order puts them first.
// While it pauses, some may move to the front: those have something above the newest event at the start. A
// node that leaves the list must count as moved, too.
func (w *walk) recent(n *node, depth int) []*node {
	if n.first == nil {
		return nil
	}
	found, start := w.recents[depth][:0], n.first.newest
	for at := n.first; at != nil && w.after.Before(at.newest); {
		found = append(found, at)
		at = at.next
		if w.pause() {
			at = n.resume(found, start)
		}
	}
	if start != n.first.newest {
		found = n.addMoved(found, start)
	}
	w.recents[depth] = found
	return found
}

// resume returns the first of n's children that have not moved since start and are not found yet.
func (n *node) resume(found []*node, start store.ID) *node {
	for i := len(found) - 1; i >= 0; i-- {
		if !start.Before(found[i].newest) {
			return found[i].next
		}
	}
	at := n.first
	for at != nil && start.Before(at.newest) {
		at = at.next
	}
	return at
}

// addMoved adds those of n's children that have moved since start and are not found yet.
func (n *node) addMoved(found []*node, start store.ID) []*node {
	moved := make(map[*node]struct{})
	for at := n.first; at != nil && start.Before(at.newest); at = at.next {
		moved[at] = struct{}{}
	}
	for _, at := range found {
		delete(moved, at)
	}
	for at := range moved {
		found = append(found, at)
	}
	return found
}
