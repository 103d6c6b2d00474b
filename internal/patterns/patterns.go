// Package patterns finds the values whose patterns match a topic, among many patterns.
//
//	var feeds patterns.Trie[*feed]
//	feeds.Add("orders.*", f)
//	feeds.Match("orders.eu", func(at *patterns.Trie[*feed]) { … at.Values … })
package patterns

import (
	"slices"
	"strings"

	"tidings/store"
)

// Trie holds values by pattern: a node for each segment, "*" and ">" included. The zero value is empty.
type Trie[T comparable] struct {
	Values   []T // of the pattern that ends here, unordered
	children map[string]*Trie[T]
}

// Add adds a value. The pattern that ends at this node is "".
func (t *Trie[T]) Add(pattern string, v T) {
	if pattern == "" {
		t.Values = append(t.Values, v)
		return
	}
	segment, rest, _ := strings.Cut(pattern, ".")
	child := t.children[segment]
	if child == nil {
		child = &Trie[T]{}
		if t.children == nil {
			t.children = make(map[string]*Trie[T])
		}
		t.children[segment] = child
	}
	child.Add(rest, v)
}

// Remove undoes Add, and reports whether nothing is left.
func (t *Trie[T]) Remove(pattern string, v T) (empty bool) {
	if pattern == "" {
		if i, last := slices.Index(t.Values, v), len(t.Values)-1; i >= 0 {
			t.Values[i] = t.Values[last]
			clear(t.Values[last:]) // lets the collector free it
			t.Values = t.Values[:last]
		}
	} else {
		segment, rest, _ := strings.Cut(pattern, ".")
		if t.children[segment].Remove(rest, v) {
			delete(t.children, segment)
		}
	}
	return len(t.Values) == 0 && len(t.children) == 0
}

// Match calls found with the node of each pattern that matches the topic. It returns how many nodes and values it has
// visited.
func (t *Trie[T]) Match(topic string, found func(*Trie[T])) (visited int) {
	segment, rest, more := strings.Cut(topic, ".")
	keys := []string{"*", segment}
	if store.IsReserved(topic) { // no wildcard matches its first segment
		keys = keys[1:]
	} else if end := t.children[">"]; end != nil {
		visited += len(end.Values)
		found(end)
	}
	for _, key := range keys {
		child := t.children[key]
		switch {
		case child == nil:
		case more:
			visited += child.Match(rest, found)
		case len(child.Values) > 0:
			visited += len(child.Values)
			found(child)
		}
	}
	return visited + 1
}
