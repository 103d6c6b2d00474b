package commit_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"tidings/store"
	"tidings/store/internal/commit"
)

// TestCrowd compares whose keys are forgotten with a recount for each key, whatever is added and removed.
func TestCrowd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var shares commit.Shares
		var keys []commit.Key // remembered, oldest first
		last := 0
		for range rapid.IntRange(1, 20).Draw(t, "commits") {
			var added []commit.Key
			for range rapid.IntRange(1, 6).Draw(t, "added") {
				last++
				k := commit.Key{First: store.ID{14: byte(last >> 8), 15: byte(last)}}
				k.Hash[0] = byte(rapid.IntRange(0, 3).Draw(t, "owner"))
				added = append(added, k)
			}
			gone := keys[:rapid.IntRange(0, min(2, len(keys))).Draw(t, "gone")]
			n := rapid.IntRange(0, 8).Draw(t, "n")
			got := shares.Crowd(added, gone, n)

			left := slices.Concat(keys[len(gone):], added)
			var want []store.ID
			for ; n > 0 && len(left) > 0; n-- {
				held := make(map[commit.Owner]int)
				for _, k := range left {
					held[k.Hash.Owner()]++
				}
				most := slices.MaxFunc(left, func(a, b commit.Key) int { // the first of equals
					return held[a.Hash.Owner()] - held[b.Hash.Owner()]
				})
				want = append(want, most.First)
				left = slices.DeleteFunc(left, func(k commit.Key) bool { return k.First == most.First })
			}
			if !slices.Equal(got, want) {
				t.Fatalf("forgets %v, want %v", got, want)
			}
			for _, k := range added {
				shares.AddKey(k.Hash.Owner(), k.First)
			}
			for _, k := range slices.Concat(keys, added) {
				if !slices.ContainsFunc(left, func(l commit.Key) bool { return l.First == k.First }) {
					shares.RemoveKey(k.Hash.Owner(), k.First)
				}
			}
			keys = left
		}
	})
}
