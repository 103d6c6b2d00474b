package store

import (
	"fmt"
	"slices"
	"strings"
)

// MaxSegments is the most dot-separated segments that a topic or a pattern may have.
const MaxSegments = 16

// ValidateTopic returns an ErrInvalid that states the rule if name is not a topic: 1 to 16 segments of
// ASCII letters, digits, "_" and "-", separated by dots, 255 bytes at most. A reserved topic has "$" and
// a segment before them, which count. Topics are case-sensitive.
func ValidateTopic(name string) error {
	if err := checkSegments(name, "topic"); err != nil {
		return err
	}
	for s := range strings.SplitSeq(bare(name), ".") {
		if !plain(s) {
			return fmt.Errorf(
				"%w topic %q: segments are one or more of A-Z a-z 0-9 _ -, separated by dots",
				ErrInvalid, name)
		}
	}
	return nil
}

// IsReserved reports whether a topic or a pattern is reserved: its first segment begins with "$". It is
// about the topic of the other segments, as "$alerts.orders.eu" is about "orders.eu", and only the server
// itself writes to it.
func IsReserved(name string) bool { return strings.HasPrefix(name, "$") }

// About returns the topic that a reserved topic is about, and any other topic unchanged.
func About(topic string) string {
	if _, rest, ok := strings.Cut(topic, "."); ok && IsReserved(topic) {
		return rest
	}
	return topic
}

// bare returns a name without the "$" of a reserved one, which has more than one segment.
func bare(name string) string {
	if strings.Contains(name, ".") {
		return strings.TrimPrefix(name, "$")
	}
	return name
}

// checkSegments bounds the name of a topic or a pattern, and the number of its segments.
func checkSegments(name, what string) error {
	if len(name) == 0 || len(name) > MaxNameBytes {
		return fmt.Errorf("%w %s: 1 to %d bytes, got %d", ErrInvalid, what, MaxNameBytes, len(name))
	}
	if n := strings.Count(name, ".") + 1; n > MaxSegments {
		return fmt.Errorf("%w %s %q: at most %d segments, got %d", ErrInvalid, what, name,
			MaxSegments, n)
	}
	return nil
}

func plain(segment string) bool {
	for i := range len(segment) {
		c := segment[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
			c == '_' || c == '-') {
			return false
		}
	}
	return segment != ""
}

// Filter is a set of topic patterns; it matches a topic that any of them matches. A pattern is a topic
// in which "*" stands for one segment and a last ">" for one or more (the wildcards of NATS subjects).
// Neither matches the first segment of a reserved topic, which must be named. The zero Filter matches
// nothing. A Filter is immutable and safe for concurrent use.
type Filter struct {
	patterns [][]string // sorted, each once
	levels   []level
	names    []string // the topics, when no pattern has a wildcard
}

// All matches every topic that is not reserved.
func All() Filter { return newFilter([][]string{{">"}}) }

// anyReserved is the first segment of any reserved topic. No pattern of NewFilter has it.
const anyReserved = "$*"

// Everything matches every topic, the reserved ones too: for readers of the log itself.
func Everything() Filter { return All().WithReserved() }

// WithReserved returns the Filter of the topics that f matches and the reserved topics about them.
func (f Filter) WithReserved() Filter {
	patterns := slices.Clone(f.patterns)
	for _, p := range f.patterns {
		if !IsReserved(p[0]) {
			patterns = append(patterns, append([]string{anyReserved}, p...))
		}
	}
	slices.SortFunc(patterns, slices.Compare)
	return newFilter(patterns)
}

func newFilter(patterns [][]string) Filter {
	f := Filter{patterns: patterns, levels: compile(patterns)}
	for _, p := range patterns {
		if p[0] == anyReserved || slices.Contains(p, "*") || p[len(p)-1] == ">" {
			return f
		}
	}
	f.names = f.Patterns()
	return f
}

// NewFilter returns the Filter of the patterns, or an ErrInvalid that names the first bad one.
// Order and duplicates do not matter.
func NewFilter(patterns ...string) (Filter, error) {
	split := make([][]string, 0, len(patterns))
	for _, p := range patterns {
		if err := checkSegments(p, "pattern"); err != nil {
			return Filter{}, err
		}
		segments := strings.Split(p, ".")
		for i, s := range segments {
			if i == 0 && len(segments) > 1 && IsReserved(s) && plain(s[1:]) {
				continue
			}
			if s != "*" && (s != ">" || i != len(segments)-1) && !plain(s) {
				return Filter{},
					fmt.Errorf(
						`%w pattern %q: segments are one or more of A-Z a-z 0-9 _ -, or "*", or `+
							`a last ">"`,
						ErrInvalid, p)
			}
		}
		split = append(split, segments)
	}
	slices.SortFunc(split, slices.Compare)
	return newFilter(slices.CompactFunc(split, slices.Equal)), nil
}

// Patterns returns the patterns, sorted. The caller owns the slice.
func (f Filter) Patterns() []string {
	out := make([]string, len(f.patterns))
	for i, p := range f.patterns {
		out[i] = strings.Join(p, ".")
	}
	return out
}

// String is the patterns, separated by spaces, which no pattern can contain: two Filters with the
// same text match the same topics.
func (f Filter) String() string { return strings.Join(f.Patterns(), " ") }

// IsAll reports whether one of the patterns is ">", so that every topic that is not reserved matches.
func (f Filter) IsAll() bool {
	return slices.ContainsFunc(f.patterns, func(p []string) bool { return p[0] == ">" })
}

// IsEverything reports whether every topic matches, the reserved ones too.
func (f Filter) IsEverything() bool {
	return f.IsAll() && slices.ContainsFunc(f.patterns, func(p []string) bool { return p[0] == anyReserved })
}

// HasReserved reports whether a pattern matches reserved topics.
func (f Filter) HasReserved() bool {
	return slices.ContainsFunc(f.patterns, func(p []string) bool { return IsReserved(p[0]) })
}

// About returns the Filter of the topics that those matched by f are about.
func (f Filter) About() Filter {
	if !f.HasReserved() {
		return f
	}
	var patterns [][]string
	for _, p := range f.patterns {
		if IsReserved(p[0]) {
			p = p[1:]
		}
		patterns = append(patterns, p)
	}
	slices.SortFunc(patterns, slices.Compare)
	return newFilter(slices.CompactFunc(patterns, slices.Equal))
}

// IsZero reports whether f has no pattern, and so matches nothing.
func (f Filter) IsZero() bool { return len(f.patterns) == 0 }

// Topics returns the topics that f matches, sorted, if no pattern has a wildcard; otherwise false. The
// caller owns the slice.
func (f Filter) Topics() (names []string, exact bool) {
	if len(f.names) < len(f.patterns) {
		return nil, false
	}
	return slices.Clone(f.names), true
}

// EachTopic calls visit for each of Topics until it returns false, and reports whether no pattern has a
// wildcard. It allocates nothing.
func (f Filter) EachTopic(visit func(name string) bool) (exact bool) {
	for _, name := range f.names {
		if !visit(name) {
			break
		}
	}
	return len(f.names) == len(f.patterns)
}

// Covers reports whether each pattern of asked is covered by a single pattern of f: then f matches every
// topic that asked matches, future ones included.
func (f Filter) Covers(asked Filter) bool {
	for _, a := range asked.patterns {
		if !slices.ContainsFunc(f.patterns, func(p []string) bool { return covers(p, a) }) {
			return false
		}
	}
	return true
}

func covers(pattern, asked []string) bool {
	if IsReserved(asked[0]) && !IsReserved(pattern[0]) {
		return false
	}
	if pattern[0] == anyReserved && IsReserved(asked[0]) {
		pattern, asked = pattern[1:], asked[1:]
	}
	for i, p := range pattern {
		if i == len(asked) {
			return false
		}
		switch {
		case p == ">":
			return true
		case asked[i] == ">", p != "*" && p != asked[i]:
			return false
		}
	}
	return len(pattern) == len(asked)
}
