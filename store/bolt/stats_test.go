package bolt_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidings/store"
	"tidings/store/bolt"
)

// TestStats: durable appends and trims are counted once, refused appends not at all.
func TestStats(t *testing.T) {
	log := openAt(t, t.TempDir(), bolt.Options{MaxTopics: 1})
	three := []store.Draft{{Topic: "a"}, {Topic: "a"}, {Topic: "a"}}
	if _, err := store.Append(t.Context(), log, three); err != nil {
		t.Fatal(err)
	}
	ids, err := store.Append(t.Context(), log, three[:1])
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.Append(t.Context(), log, []store.Draft{{Topic: "one.too.many"}})
	if !errors.Is(err, store.ErrTopicLimit) {
		t.Fatal(err)
	}
	if _, err := log.Trim(t.Context(), store.All(), ids[0]); err != nil {
		t.Fatal(err)
	}
	got := log.Stats()
	if got.Trimmed != 3 || got.Queued != 0 || got.QueuedBytes != 0 {
		t.Errorf("got %+v, want 3 trimmed and nothing queued", got)
	}
	if b := got.Batches; b.Count != 2 || b.Sum != 4 || b.Buckets[1] != 1 || b.Buckets[2] != 1 ||
		b.Buckets[4] != 2 {
		t.Errorf("batches are %+v, want one of 1 and one of 3", b)
	}
	if w := got.Writes; w.Count != 3 || w.Sum <= 0 || w.Sum > got.Commits.Sum {
		t.Errorf("writes %+v, want those of 3 commits that took %v s", w, got.Commits.Sum)
	}
	if c := got.Commits; c.Count != 3 || c.Sum <= 0 || c.Buckets[10] != 3 {
		t.Errorf("commits are %+v, want 2 appends and a trim", c)
	}
}

// TestStatsReading: a backup reads the log while it copies it, and not while its copy is read.
func TestStatsReading(t *testing.T) {
	log := openAt(t, t.TempDir(), bolt.Options{})
	during := 0
	if _, err := log.Backup(t.Context(),
		writer(func([]byte) error { during = log.Stats().Reading; return nil })); err != nil {
		t.Fatal(err)
	}
	b, err := log.OpenBackup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if after := log.Stats().Reading; during != 1 || after != 0 {
		t.Errorf("%d read transactions during the copy, %d after it, want 1 and 0", during, after)
	}
}

// TestStatsQueue: a request counts in the memory until it is answered, and in the depth until it is taken.
func TestStatsQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		var held atomic.Bool
		log := openAt(t, t.TempDir(), bolt.Options{Now: func() time.Time {
			if held.Load() {
				<-hold
			}
			return time.Now()
		}})
		held.Store(true)
		errs := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := store.Append(t.Context(), log,
					[]store.Draft{{Topic: "a", Data: make([]byte, 1000)}})
				errs <- err
			}()
			synctest.Wait()
		}
		if got := log.Stats(); got.Queued != 1 || got.QueuedBytes < 2000 || got.QueuedBytes > 4000 {
			t.Errorf("with one under way and one behind it: %+v", got)
		}
		close(hold)
		for range 2 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if got := log.Stats(); got.Queued != 0 || got.QueuedBytes != 0 {
			t.Errorf("afterwards: %+v", got)
		}
	})
}
