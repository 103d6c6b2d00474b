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

// TestEventsOfACommit: publishers that were just answered are in the next commit: with many that publish
// again at once, a commit holds most of them, even if half of them arrived while the disk was busy with the
// others. On one processor only the committer decides who runs.
func TestEventsOfACommit(t *testing.T) {
	const publishers = 64
	for name, late := range map[string]int{"all at once": 0, "in two halves": publishers / 2} {
		t.Run(name, func(t *testing.T) {
			if each := eventsOfACommit(t, publishers-late, late); each < publishers*2/3 { // a half without yielding
				t.Errorf("a commit holds %.1f events of %d publishers", each, publishers)
			}
		})
	}
}

// eventsOfACommit returns the events per commit, with early publishers and others that arrive during the
// second commit.
func eventsOfACommit(t *testing.T, early, late int) float64 {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var log store.Log
	var all sync.WaitGroup
	start := func(publishers int) {
		for range publishers {
			all.Go(func() {
				for range 30 {
					if _, err := store.Append(context.Background(), log,
						[]store.Draft{{Topic: "a"}}); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	commits := 0
	log = openAt(t, t.TempDir(), bolt.Between(bolt.Options{},
		func(decided *commit.Commit, _ func(*commit.Commit) error) {
			queued := 0
			switch commits++; commits {
			case 1:
				queued = early - len(decided.Events)
			case 2:
				start(late)
				queued = late
			}
			for log.Stats().Queued < queued {
				runtime.Gosched()
			}
		}))
	start(early)
	all.Wait()
	batches := log.Stats().Batches
	return batches.Sum / float64(batches.Count)
}
