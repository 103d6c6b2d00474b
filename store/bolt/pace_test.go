package bolt_test

import (
	"context"
	"runtime"
	"sync"
	"testing"

	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/internal/commit"
)

// Those that were just answered are in the next commit: with many who publish again at once, a commit
// holds most of them. On one processor nobody but the committer decides who runs.
func TestEventsOfACommit(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const publishers, rounds = 64, 30
	var log store.Log
	var first sync.Once
	log = openAt(t, t.TempDir(), bolt.Between(bolt.Options{},
		func(decided *commit.Commit, _ func(*commit.Commit) error) {
			first.Do(func() { // so that all are there from the second commit on
				for log.Stats().Queued < publishers-len(decided.Events) {
					runtime.Gosched()
				}
			})
		}))
	var all sync.WaitGroup
	for range publishers {
		all.Go(func() {
			for range rounds {
				if _, err := store.Append(context.Background(), log,
					[]store.Draft{{Topic: "a"}}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	batches := log.Stats().Batches
	if each := batches.Sum / float64(batches.Count); each < publishers*2/3 { // a half without turns
		t.Errorf("a commit holds %.1f events of %d publishers", each, publishers)
	}
}
