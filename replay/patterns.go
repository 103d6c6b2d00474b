package replay

import (
	"slices"
	"strings"

	"tidings/store"
)

// patterns finds the feeds of patterns: a trie of their segments, "*" and ">" among them.
type patterns struct {
	children map[string]*patterns
	feeds    []*feed // whose pattern ends here
}

func (p *patterns) add(pattern string, f *feed) {
	for segment := range strings.SplitSeq(pattern, ".") {
		child := p.children[segment]
		if child == nil {
			child = &patterns{}
			if p.children == nil {
				p.children = make(map[string]*patterns)
			}
			p.children[segment] = child
		}
		p = child
	}
	p.feeds = append(p.feeds, f)
}

// remove undoes add, and reports whether nothing is left of p.
func (p *patterns) remove(pattern string, f *feed) bool {
	if pattern == "" {
		for i := range p.feeds {
			if p.feeds[i] == f {
				p.feeds = append(p.feeds[:i], p.feeds[i+1:]...)
				break
			}
		}
	} else {
		segment, rest, _ := strings.Cut(pattern, ".")
		if p.children[segment].remove(rest, f) {
			delete(p.children, segment)
		}
	}
	return len(p.feeds) == 0 && len(p.children) == 0
}

// match calls visit for each feed of each pattern that matches the topic: more than once for a feed
// of which several do. It returns how many nodes and feeds it has visited.
func (p *patterns) match(topic string, visit func(*feed)) (visited int) {
	segment, rest, more := strings.Cut(topic, ".")
	keys := []string{"*", segment}
	if store.IsReserved(topic) { // no wildcard stands for it
		keys = keys[1:]
	} else if end := p.children[">"]; end != nil {
		visited += end.visit(visit)
	}
	for _, key := range keys {
		child := p.children[key]
		switch {
		case child == nil:
		case more:
			visited += child.match(rest, visit)
		default:
			visited += child.visit(visit)
		}
	}
	return visited + 1
}

func (p *patterns) visit(visit func(*feed)) (visited int) {
	for _, f := range p.feeds {
		visit(f)
	}
	return len(p.feeds)
}

const (
	// costlyMatch is from how many visits on the feeds of a topic are kept: patterns may overlap so
	// much that thousands match a topic, of few feeds.
	costlyMatch = 64

	// keepMatches bounds the feeds that are kept, over all topics.
	keepMatches = 64 << 10
)

// matches finds the feeds that want a topic, each once, and remembers those that it was costly to
// find until a feed comes or goes.
type matches struct {
	patterns patterns
	known    map[string][]*feed
	kept     int    // feeds and topics in known
	searches uint64 // the last one that a feed was found in is its seen
	found    []*feed
}

func (m *matches) add(f *feed) {
	m.forget()
	for _, p := range f.filter.Patterns() {
		m.patterns.add(p, f)
	}
}

func (m *matches) remove(f *feed) {
	m.forget()
	for _, p := range f.filter.Patterns() {
		m.patterns.remove(p, f)
	}
}

func (m *matches) forget() {
	m.known, m.kept, m.found = nil, 0, nil
}

// of returns the feeds that want the topic. They are valid until the next call.
func (m *matches) of(topic string) []*feed {
	if feeds, ok := m.known[topic]; ok {
		return feeds
	}
	m.searches++
	m.found = m.found[:0]
	visited := m.patterns.match(topic, func(f *feed) {
		if f.seen != m.searches {
			f.seen = m.searches
			m.found = append(m.found, f)
		}
	})
	if visited >= costlyMatch {
		m.keep(topic)
	}
	return m.found
}

func (m *matches) keep(topic string) {
	if m.kept += len(m.found) + 1; m.known == nil || m.kept > keepMatches {
		m.known, m.kept = make(map[string][]*feed), len(m.found)+1
	}
	m.known[topic] = slices.Clone(m.found)
}
