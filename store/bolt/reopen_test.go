package bolt_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/storetest"
)

// infos returns what the log reports about its topics, in the order of their names.
func infos(log store.Log) []store.TopicInfo {
	list := slices.Collect(log.Topics(store.All()))
	slices.SortFunc(list, func(a, b store.TopicInfo) int {
		if a.Topic < b.Topic {
			return -1
		}
		return 1
	})
	return list
}

// meta returns a payload of the metadata of a closed log.
func meta(t testing.TB, dir, key string) (payload []byte) {
	t.Helper()
	alter(t, dir, func(tx *bbolt.Tx) error {
		payload = slices.Clone(tx.Bucket([]byte("meta")).Get([]byte(key))[4:])
		return nil
	})
	return payload
}

// TestCrash: a log whose process died continues where it was, wherever the last checkpoint was and whatever
// was trimmed since: counters, chains, sparse index, bounds and what was trimmed.
func TestCrash(t *testing.T) {
	topics := []string{"a.x", "a.y", "a.z", "b"}
	for _, n := range []int{1, 128, 1000, 20_000} {
		for _, trimmed := range []int{0, n / 3, n} {
			t.Run(fmt.Sprintf("%d events, %d trimmed", n, trimmed), func(t *testing.T) {
				dir := t.TempDir()
				log := openAt(t, dir, bolt.Options{})
				events := appendN(t, log, n, topics...)
				cut := log.Head()
				if trimmed < n {
					cut = events[trimmed].ID.Prev()
				}
				trim := func(log store.Log, f store.Filter) {
					next, _ := cut.Next()
					if _, err := log.Trim(context.Background(), f, next); err != nil {
						t.Fatal(err)
					}
					events = slices.DeleteFunc(events, func(e store.Event) bool {
						return f.Match(e.Topic) && !cut.Before(e.ID)
					})
				}
				trim(log, filterOf(t, "a.x", "b"))
				events = append(events, appendN(t, log, 500, topics[:3]...)...)
				want, head, floor := infos(log), log.Head(), log.Trimmed()

				dir = crash(t, dir)
				log = openAt(t, dir, bolt.Options{})
				if diff := cmp.Diff(want, infos(log)); diff != "" || log.Head() != head ||
					log.Trimmed() != floor {
					t.Fatalf("head %s, want %s; trimmed up to %s, want %s; topics:\n%s", log.Head(),
						head, log.Trimmed(), floor, diff)
				}
				events = append(events, appendN(t, log, 700, topics...)...)
				trim(log, filterOf(t, "a.y"))
				storetest.Check(t, log)
				for _, f := range []store.Filter{store.All(), filterOf(t, "a.x"),
					filterOf(t, "a.*"), filterOf(t, "a.y", "b")} {
					expect(t, log, f, store.ID{}, events)
					expect(t, log, f, events[len(events)/2].ID, events)
					expectNewest(t, log, f, events, 300)
				}
				dir = crash(t, dir)
				log = openAt(t, dir, bolt.Options{})
				expect(t, log, filterOf(t, "a.>"), store.ID{}, events)
				storetest.Check(t, log)
			})
		}
	}
}

// TestSparseIndexGoesOn: across crashes and restarts a topic keeps one sparse key per 128 events.
func TestSparseIndexGoesOn(t *testing.T) {
	dir := t.TempDir()
	for i := range 40 {
		log := openAt(t, dir, bolt.Options{})
		appendN(t, log, 2*33, "a", "b")
		if i%2 == 0 {
			dir = crash(t, dir)
		} else {
			closeLog(t, log)
		}
	}
	keys := make(map[string]int)
	alter(t, dir, func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("sparse")).ForEach(func(k,
			_ []byte) error {
			keys[string(k[:4])]++
			return nil
		})
	})
	want := map[string]int{"\x00\x00\x00\x00": 40 * 33 / 128, "\x00\x00\x00\x01": 40 * 33 / 128}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Errorf("sparse keys by topic: %s", diff)
	}
}

// TestCheckpointDespiteCrashes: a process that keeps dying before it has appended enough for a checkpoint
// writes one all the same, so that the recount at Open stays bounded.
func TestCheckpointDespiteCrashes(t *testing.T) {
	dir := t.TempDir()
	for range 9 {
		log := openAt(t, dir, bolt.Options{})
		appendN(t, log, 2000, "a")
		dir = crash(t, dir)
	}
	if got := store.ID(meta(t, dir, "checkpoint")); got.IsZero() {
		t.Errorf("no checkpoint after 18,000 events")
	}
}

func TestCloseWritesCheckpoint(t *testing.T) {
	dir := t.TempDir()
	log := openAt(t, dir, bolt.Options{})
	appendN(t, log, 10, "a")
	head := log.Head()
	if got := store.ID(meta(t, crash(t, dir), "checkpoint")); !got.IsZero() {
		t.Errorf("checkpoint %s while running", got)
	}
	closeLog(t, log)
	if got := store.ID(meta(t, dir, "checkpoint")); got != head {
		t.Errorf("checkpoint %s after close, want %s", got, head)
	}
}
