package store

import "strings"

// level is what the patterns of a Filter have at one segment. A pattern is one bit of a set.
type level struct {
	literal  map[string]set
	literals []string // the keys of literal
	star     set
	reserved set // anyReserved
	rest     set // ">"
	end      set // patterns whose last segment is this one and is not ">"
}

// set is a set of the patterns of one Filter; nil is the empty one.
type set []uint64

func (s set) add(i, of int) set {
	if s == nil {
		s = make(set, (of+63)/64)
	}
	s[i/64] |= 1 << (i % 64)
	return s
}

func (s set) meets(other set) bool {
	for i := range other {
		if s[i]&other[i] != 0 {
			return true
		}
	}
	return false
}

// step sets s to the patterns of from that continue with the segment, and reports whether there are
// any. s has the length of from, and may be from itself.
func (s set) step(from set, l *level, segment string) bool {
	literal, any := l.literal[segment], uint64(0)
	wild := l.star
	if IsReserved(segment) {
		wild = l.reserved
	}
	for i := range s {
		var goOn uint64
		if literal != nil {
			goOn = literal[i]
		}
		if wild != nil {
			goOn |= wild[i]
		}
		s[i] = from[i] & goOn
		any |= s[i]
	}
	return any != 0
}

// compile returns the levels of the patterns.
func compile(patterns [][]string) []level {
	var levels []level
	for i, pattern := range patterns {
		for depth, segment := range pattern {
			if depth == len(levels) {
				levels = append(levels, level{})
			}
			l := &levels[depth]
			switch segment {
			case ">":
				l.rest = l.rest.add(i, len(patterns))
				continue
			case "*":
				l.star = l.star.add(i, len(patterns))
			case anyReserved:
				l.reserved = l.reserved.add(i, len(patterns))
			default:
				if l.literal == nil {
					l.literal = make(map[string]set)
				}
				if l.literal[segment] == nil {
					l.literals = append(l.literals, segment)
				}
				l.literal[segment] = l.literal[segment].add(i, len(patterns))
			}
			if depth == len(pattern)-1 {
				l.end = l.end.add(i, len(patterns))
			}
		}
	}
	return levels
}

// every returns the set of all n patterns, in room if it is large enough.
func every(room set, n int) set {
	for ; n >= 64; n -= 64 {
		room = append(room, ^uint64(0))
	}
	if n > 0 {
		room = append(room, 1<<n-1)
	}
	return room
}

// Match reports whether the topic matches. The cost hardly depends on the number of patterns.
func (f Filter) Match(topic string) bool {
	var room [2]uint64
	alive := every(room[:0], len(f.patterns))
	for i := range f.levels {
		l := &f.levels[i]
		if alive.meets(l.rest) && !IsReserved(topic) {
			return true // at least one segment is left
		}
		segment, rest, more := strings.Cut(topic, ".")
		if !alive.step(alive, l, segment) {
			return false
		}
		if !more {
			return alive.meets(l.end)
		}
		topic = rest
	}
	return false
}

// Walker walks a tree of topic segments once and matches all patterns of a Filter at the same time. It
// belongs to one goroutine.
type Walker struct {
	levels []level
	depth  int
	alive  [MaxSegments + 1]set // by depth: the patterns that match the segments so far
}

// Walk returns a Walker at the root.
func (f Filter) Walk() *Walker {
	w := &Walker{levels: f.levels}
	w.alive[0] = every(nil, len(f.patterns))
	return w
}

// Depth is the number of segments walked so far.
func (w *Walker) Depth() int { return w.depth }

// Down goes to a child; it stays and reports false if nothing at or below the child can match.
func (w *Walker) Down(segment string) bool {
	if w.depth == len(w.levels) {
		return false
	}
	from := w.alive[w.depth]
	if w.alive[w.depth+1] == nil {
		w.alive[w.depth+1] = make(set, len(from))
	}
	if !w.alive[w.depth+1].step(from, &w.levels[w.depth], segment) {
		return false
	}
	w.depth++
	return true
}

// Up goes back to the parent.
func (w *Walker) Up() { w.depth-- }

// Matches reports whether the topic of the segments so far matches a pattern of the same length.
func (w *Walker) Matches() bool {
	return w.depth > 0 && w.alive[w.depth].meets(w.levels[w.depth-1].end)
}

// MatchesBelow reports whether all topics below match; at the root, all but the reserved ones, which
// still take Down.
func (w *Walker) MatchesBelow() bool {
	return w.depth < len(w.levels) && w.alive[w.depth].meets(w.levels[w.depth].rest)
}

// Star reports whether every child has to be tried.
func (w *Walker) Star() bool {
	if w.depth == len(w.levels) {
		return false
	}
	l := &w.levels[w.depth]
	return w.alive[w.depth].meets(l.star) || w.alive[w.depth].meets(l.reserved)
}

// Literals returns the segments to try if Star is false, and perhaps some more. The Filter owns the
// slice.
func (w *Walker) Literals() []string {
	if w.depth == len(w.levels) {
		return nil
	}
	return w.levels[w.depth].literals
}
