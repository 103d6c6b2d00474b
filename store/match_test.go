package store_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tidings/store"
)

// matches is the meaning of a pattern, one segment at a time.
func matches(pattern, topic []string) bool {
	if len(pattern) == 0 || len(topic) == 0 {
		return len(pattern) == len(topic)
	}
	named := strings.HasPrefix(topic[0], "$")
	return pattern[0] == ">" && !named ||
		(pattern[0] == "*" && !named || pattern[0] == topic[0]) && matches(pattern[1:], topic[1:])
}

// randomPatterns returns n patterns of the segments a and b that overlap a lot.
func randomPatterns(random *rand.Rand, n int) []string {
	patterns := make([]string, n)
	for i := range patterns {
		segments := make([]string, 1+random.IntN(5))
		for j := range segments {
			segments[j] = []string{"a", "b", "*"}[random.IntN(3)]
		}
		if random.IntN(4) == 0 {
			segments[len(segments)-1] = ">"
		}
		if len(segments) > 1 && random.IntN(4) == 0 {
			segments[0] = "$a"
		}
		patterns[i] = strings.Join(segments, ".")
	}
	return patterns
}

// topicsOf returns all topics of these segments, up to the length.
func topicsOf(segments []string, length int) []string {
	topics := slices.Clone(segments)
	for range length - 1 {
		for _, topic := range slices.Clone(topics) {
			for _, segment := range segments {
				topics = append(topics, topic+"."+segment)
			}
		}
		slices.Sort(topics)
		topics = slices.Compact(topics)
	}
	return topics
}

// TestMatchesAnyPattern compares Match and a Walker with the patterns one by one: a few patterns, and
// more than fit into a word.
func TestMatchesAnyPattern(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	topics := topicsOf([]string{"a", "b", "c"}, 5)
	for _, topic := range topicsOf([]string{"a", "b"}, 4) {
		topics = append(topics, "$a."+topic, "$b."+topic)
	}
	for _, n := range []int{0, 1, 2, 3, 7, 63, 64, 65, 200} {
		for range 5 {
			patterns := randomPatterns(random, n)
			f := mustFilter(t, patterns...)
			for _, topic := range topics {
				want := slices.ContainsFunc(patterns, func(p string) bool {
					return matches(strings.Split(p, "."), strings.Split(topic, "."))
				})
				if got := f.Match(topic); got != want {
					t.Fatalf("%v matches %s: %t, want %t", patterns, topic, got, want)
				}
				if got := walkTo(f.Walk(), topic); got != want {
					t.Fatalf("%v walked to %s: %t, want %t", patterns, topic, got, want)
				}
			}
		}
	}
}

// walkTo walks down to the topic, with detours, and reports whether it matches.
func walkTo(w *store.Walker, topic string) (matches bool) {
	below := false
	for i, segment := range strings.Split(topic, ".") {
		below = below || w.MatchesBelow() && !strings.HasPrefix(segment, "$")
		if w.Down("none") {
			w.Up()
		}
		known := w.Star() || below || slices.Contains(w.Literals(), segment)
		if !w.Down(segment) {
			return below
		}
		if w.Depth() != i+1 || !known {
			panic(fmt.Sprintf("%s: depth %d, known %t", topic, w.Depth(), known))
		}
	}
	return below || w.Matches()
}
