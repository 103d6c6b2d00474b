package store

import (
	"strings"
	"sync"
)

// index is what is known in memory of every topic. It answers which topics of a filter have
// something after a position at a cost that depends on those topics alone: topics form a trie of
// segments, and the children of a node are kept in the order of their newest event.
//
// Only the committer writes. It publishes a commit here after the transaction and before it moves
// the head, so whoever loads the head first finds every topic that has an event up to it.
type index struct {
	mu     sync.RWMutex
	byID   []*topic // append-only: a copy of the slice header stays valid
	byName map[string]*topic
	root   node
	events uint64 // retained, of all topics
	bytes  uint64

	keys      int // idempotency keys remembered
	oldestKey ID

	// trims counts the steps of trimming: one when a trim is about to become visible, one when its
	// marks are published. While a trim commits, trimming holds the marks that its transaction sets.
	trims    uint64
	trimming map[*topic]ID
}

// topic is one topic. state is what readers see, guarded by index.mu; work is the committer's
// copy, ahead of state while a commit is under way.
type topic struct {
	id          uint32
	name        string
	leaf        *node
	state, work topicState
	oldest      ID   // no event is older, as Retain found; guarded by Bolt.trims
	dirty       bool // committer: changed since its record was last written
}

// topicState is the bookkeeping of a topic. Trimming removes a prefix of a topic's events, so the
// retained ones are those above trimmed.
type topicState struct {
	count     uint64
	bytes     uint64
	first     ID    // oldest retained event; stale, and looked up again, once it is not above trimmed
	tip       ID    // newest event ever appended
	trimmed   ID    // newest event trimmed
	ended     ID    // the event that ended the topic
	unindexed uint8 // events since the newest with a sparse key
}

// trimmedOf returns the ID up to which t is trimmed, zero if id is above everything ever trimmed. A trimmed record can
// still be met: in a transaction from before the trim, or because a damaged page number leads to a
// page that is not in use any more.
func (l *Bolt) trimmedOf(t *topic, id ID) ID {
	if l.Trimmed().Before(id) {
		return ID{}
	}
	l.index.mu.RLock()
	defer l.index.mu.RUnlock()
	return t.state.trimmed
}

// node is a segment of topic names. Siblings form a list, the one with the newest event first.
type node struct {
	parent     *node
	segment    string
	newest     ID // of all topics at and below this node
	topic      *topic
	children   map[string]*node
	first      *node
	next, prev *node
}

func newIndex() *index { return &index{byName: make(map[string]*topic)} }

// add makes a topic known; touch must follow, as it puts the new nodes' list in order, and byID is
// the caller's, who holds mu or is alone.
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
			child.linkFirst()
		}
		n = child
	}
	n.topic, t.leaf = t, n
	x.byName[t.name] = t
}

// show publishes the work state of a topic. The caller holds mu, or is alone.
func (x *index) show(t *topic) {
	x.events += t.work.count - t.state.count // unsigned: a decrease wraps around and back
	x.bytes += t.work.bytes - t.state.bytes
	t.state = t.work
}

// touch records that tip is now the newest event of the whole log and belongs to t. The caller holds
// mu, or is alone.
func (x *index) touch(t *topic, tip ID) {
	for n := t.leaf; n != nil; n = n.parent {
		n.newest = tip
		n.moveFirst()
	}
}

func (n *node) linkFirst() {
	n.next = n.parent.first
	if n.next != nil {
		n.next.prev = n
	}
	n.parent.first = n
}

func (n *node) moveFirst() {
	if n.prev == nil { // first already, or the root
		return
	}
	n.prev.next = n.next
	if n.next != nil {
		n.next.prev = n.prev
	}
	old := n.parent.first
	n.prev, n.next, old.prev = nil, old, n
	n.parent.first = n
}

// selection is which topics are read: those that the filter matches, or those of only when that is set.
type selection struct {
	filter Filter
	only   map[*topic]*surplus
}

func (s selection) has(t *topic) bool {
	if s.only != nil {
		return s.only[t] != nil
	}
	return s.filter.Match(t.name)
}

// list calls yield for each topic that s has and that has, or had, an event above after; once for each. The
// caller holds mu.
func (x *index) list(s selection, after ID, yield func(*topic)) {
	if s.only == nil {
		x.match(s.filter, after, yield)
	}
	for t := range s.only {
		if after.Before(t.state.tip) {
			yield(t)
		}
	}
}

// match calls yield for each topic that f matches and that has, or had, an event above after; once
// for each. The caller holds mu.
func (x *index) match(f Filter, after ID, yield func(*topic)) {
	for i, pattern := range f.patterns {
		x.root.match(pattern, after, func(t *topic) {
			for _, earlier := range f.patterns[:i] {
				if matchPattern(earlier, t.name) {
					return
				}
			}
			yield(t)
		})
	}
}

func (n *node) match(pattern []string, after ID, yield func(*topic)) {
	switch {
	case len(pattern) == 0:
		if n.topic != nil && after.Before(n.topic.state.tip) {
			yield(n.topic)
		}
	case pattern[0] == ">":
		n.each(after, func(child *node) {
			child.match(nil, after, yield)
			child.match(pattern, after, yield)
		})
	case pattern[0] == "*":
		n.each(after, func(child *node) { child.match(pattern[1:], after, yield) })
	default:
		if child := n.children[pattern[0]]; child != nil && after.Before(child.newest) {
			child.match(pattern[1:], after, yield)
		}
	}
}

// each visits the children with something above after, which the list's order puts first.
func (n *node) each(after ID, visit func(*node)) {
	for child := n.first; child != nil && after.Before(child.newest); child = child.next {
		visit(child)
	}
}
