package patterns_test

import (
	"testing"

	"pgregory.net/rapid"

	"tidings/internal/patterns"
	"tidings/store"
)

// TestTrie: a value is found once for each of its patterns that match, as by a filter of that pattern, until it is
// removed; then nothing is left.
func TestTrie(t *testing.T) {
	all := []string{">", "*", "a", "a.>", "a.*", "*.b", "a.b", "a.*.c", "*.*.>", "$r.>", "$r.*", "$r.a", "$r.*.b"}
	topics := []string{"a", "b", "a.b", "b.b", "a.b.c", "a.a.c", "$r.a", "$r.b", "$r.a.b", "$s.a"}
	rapid.Check(t, func(t *rapid.T) {
		var trie patterns.Trie[int]
		added := rapid.SliceOf(rapid.SampledFrom(all)).Draw(t, "patterns")
		for i, p := range added {
			trie.Add(p, i)
		}
		for removed := range added {
			for _, topic := range topics {
				check(t, &trie, topic, added, removed)
			}
			if empty := trie.Remove(added[removed], removed); empty != (removed == len(added)-1) {
				t.Fatalf("without %v: empty %v", added[:removed+1], empty)
			}
		}
	})
}

// check compares what is found for a topic with what was added, except for the first ones, which were removed.
func check(t *rapid.T, trie *patterns.Trie[int], topic string, added []string, removed int) {
	found := make(map[int]int)
	trie.Match(topic, func(at *patterns.Trie[int]) {
		for _, i := range at.Values {
			found[i]++
		}
	})
	for i, p := range added {
		f, err := store.NewFilter(p)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int{true: 1}[i >= removed && f.Match(topic)]; found[i] != want {
			t.Fatalf("%s is found %d times for %s, want %d", p, found[i], topic, want)
		}
	}
}
