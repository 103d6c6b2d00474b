package bolt_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"

	"tidings/store"
	"tidings/store/bolt"
)

// manyPatterns match each of the topics u.N.inbox several times over, and also examine all of them in vain.
func manyPatterns(t testing.TB) store.Filter {
	patterns := []string{"u.*.inbox", "u.>", "*.*.inbox", "*.>", "u.*.*", "*.*.*"}
	for i := range 58 {
		patterns = append(patterns, fmt.Sprintf("*.*.none%d", i))
	}
	return filterOf(t, patterns...)
}

// TestTopicsWhileAppending: listing topics finds each existing one once, while new ones appear and others
// move to the front.
func TestTopicsWhileAppending(t *testing.T) {
	const topics = 3000
	log := openAt(t, t.TempDir(), bolt.Options{})
	names := make([]string, topics)
	for i := range names {
		names[i] = fmt.Sprintf("u.%d.inbox", i)
	}
	appendN(t, log, topics, names...)
	stop, wait := appendAlways(t, log, topics)
	for _, f := range []store.Filter{filterOf(t, "u.*.inbox"), filterOf(t, "u.>"), manyPatterns(t)} {
		for range 60 {
			seen := make(map[string]int)
			for info := range log.Topics(f) {
				seen[info.Topic]++
			}
			for _, name := range names {
				if seen[name] != 1 {
					t.Fatalf("%.40q lists %s %d times", f, name, seen[name])
				}
				delete(seen, name)
			}
			for name, times := range seen {
				if n, err := strconv.Atoi(strings.Split(name, ".")[1]); err != nil || n < topics ||
					times != 1 {
					t.Fatalf("%.40q lists %s %d times", f, name, times)
				}
			}
		}
	}
	stop()
	wait()
}

// appendAlways appends to a few hundred topics at a time, old ones and now and then new ones.
func appendAlways(t *testing.T, log store.Log, topics int) (stop, wait func()) {
	var writer sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	writer.Go(func() {
		random := rand.New(rand.NewPCG(5, 6))
		for next := topics; ctx.Err() == nil; next++ {
			drafts := []store.Draft{{Topic: fmt.Sprintf("u.%d.inbox", next)}}
			for range 300 {
				drafts = append(drafts, store.Draft{
					Topic: fmt.Sprintf("u.%d.inbox", random.IntN(topics))})
			}
			if _, err := store.Append(context.Background(), log, drafts); err != nil {
				t.Error(err)
				return
			}
		}
	})
	return cancel, writer.Wait
}
