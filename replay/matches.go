package replay

import (
	"slices"

	"tidings/internal/patterns"
)

const (
	// costlyMatch is the number of visits from which the feeds of a topic are remembered: patterns may
	// overlap so much that thousands, of few feeds, match a topic.
	costlyMatch = 64

	// keepMatches bounds the remembered feeds, over all topics.
	keepMatches = 64 << 10
)

// matches finds the feeds that want a topic, each once, and remembers those that were costly to find
// until a feed is added or removed.
type matches struct {
	patterns patterns.Trie[*feed]
	known    map[string][]*feed
	kept     int    // feeds and topics in known
	searches uint64 // a feed's seen is the last search that found it
	found    []*feed
}

func (m *matches) add(f *feed) {
	m.forget()
	for _, p := range f.filter.Patterns() {
		m.patterns.Add(p, f)
	}
}

func (m *matches) remove(f *feed) {
	m.forget()
	for _, p := range f.filter.Patterns() {
		m.patterns.Remove(p, f)
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
	visited := m.patterns.Match(topic, func(at *patterns.Trie[*feed]) {
		for _, f := range at.Values {
			if f.seen != m.searches {
				f.seen = m.searches
				m.found = append(m.found, f)
			}
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
