package bolt

import (
	"strings"
	"sync"
	"sync/atomic"

	"tidings/store"
)

// index is what memory holds about every topic. It answers which topics of a filter have something after a
// position, at a cost that depends on those topics alone: topics form a trie of segments, and the children of
// a node are kept in the order of their newest event.
//
// Only the committer writes. It shows a commit here after the transaction and before it moves the head, so
// whoever loads the head first finds every topic that has an event up to it.
type index struct {
	mu     sync.RWMutex
	byID   []*topic // append-only: a copy of the slice header stays valid
	byName map[string]*topic
	root   node
	events uint64 // retained, of all topics
	bytes  uint64

	kept kept

	reserved atomic.Bool // there is, or was, a reserved topic

	trim *trimming // the last step; without marks while no trim is being committed
}

// kept counts what the log keeps besides its topics.
type kept struct {
	keys      int // idempotency keys
	oldestKey store.ID
	marks     int // read marks
	bare      int // topics without events
}

// trimming is a step: a trim that is about to become visible or, without marks, the end of one. Steps are
// linked, so that a reader that holds one sees all that follow, however long it takes.
type trimming struct {
	marks map[*topic]store.ID // set by its transaction; immutable from here on
	next  *trimming
}

// topic is one topic. visible is what readers see, guarded by index.mu; next is the committer's copy, ahead
// of it while a commit is in progress.
type topic struct {
	id            uint32
	name          string
	leaf          *node
	visible, next topicState
	oldest        store.ID // no event is older, as Retain found; guarded by Log.trims
	changing      bool     // committer: the commit being applied has changed next
	dirty         bool     // committer: changed since its record was last written
}

// topicState is the bookkeeping of a topic. Trimming removes a prefix of a topic's events, so the
// retained ones are those above trimmed.
type topicState struct {
	count uint64
	bytes uint64
	// oldest retained event; stale, and looked up again, once it is not above trimmed
	first     store.ID
	last      store.ID // newest event ever appended
	trimmed   store.ID // newest event trimmed
	ended     store.ID // the event that ended the topic
	unindexed uint8    // events since the newest one with a sparse key
}

// node is a segment of topic names. Siblings form a list, the one with the newest event first.
type node struct {
	parent     *node
	segment    string
	newest     store.ID // of all topics at and below this node
	topic      *topic
	children   map[string]*node
	first, end *node // of the children
	next, prev *node
}

func newIndex() *index { return &index{byName: make(map[string]*topic), trim: new(trimming)} }

// add makes a topic known, behind all its siblings until touch gives it an event. byID is left to the caller,
// who holds mu or is alone.
func (x *index) add(t *topic) {
	n := &x.root
	for segment := range strings.SplitSeq(t.name, ".") {
		child := n.children[segment]
		if child == nil {
			child = &node{parent: n, segment: segment}
			if n.children == nil {
				n.children = make(map[string]*node)
			}
			n.children[segment] = child
			child.linkLast()
		}
		n = child
	}
	if store.IsReserved(t.name) {
		x.reserved.Store(true)
	}
	n.topic, t.leaf = t, n
	x.byName[t.name] = t
}

// show makes the next state of a topic visible. The caller holds mu, or is alone.
func (x *index) show(t *topic) {
	x.events += t.next.count - t.visible.count // unsigned: a decrease wraps around and back
	x.bytes += t.next.bytes - t.visible.bytes
	t.visible = t.next
}

// touch records that last is now the newest event of the whole log and belongs to t. The caller
// holds mu, or is alone.
func (x *index) touch(t *topic, last store.ID) {
	for n := t.leaf; n != nil; n = n.parent {
		n.newest = last
		n.moveFirst()
	}
}

func (n *node) linkLast() {
	n.prev, n.parent.end = n.parent.end, n
	if n.prev == nil {
		n.parent.first = n
		return
	}
	n.prev.next = n
}

func (n *node) moveFirst() {
	if n.prev == nil { // first already, or the root
		return
	}
	n.prev.next = n.next
	if n.next != nil {
		n.next.prev = n.prev
	} else {
		n.parent.end = n.prev
	}
	old := n.parent.first
	n.prev, n.next, old.prev = nil, old, n
	n.parent.first = n
}

// selection is which topics are read: those that the filter matches, or those in only if that is set.
type selection struct {
	filter store.Filter
	only   map[*topic]*excess
}

func (s selection) has(t *topic) bool {
	if s.only != nil {
		return s.only[t] != nil
	}
	return s.filter.Match(t.name)
}
