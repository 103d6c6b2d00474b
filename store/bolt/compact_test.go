package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/storetest"
)

func TestCompact(t *testing.T) {
	dir := t.TempDir()
	log := openAt(t, dir, bolt.Options{})
	var events []store.Event
	for range 20 {
		drafts := make([]store.Draft, 1000)
		for i := range drafts {
			drafts[i] = store.Draft{Topic: []string{"a.x", "a.y", "b"}[i%3],
				Data: bytes.Repeat([]byte{'x'}, 300)}
		}
		events = append(events, appendAll(t, log, drafts...)...)
	}
	if _, err := log.Trim(context.Background(), filterOf(t, "a.*"), events[18_000].ID); err != nil {
		t.Fatal(err)
	}
	kept, _ := drain(t, log, store.All(), store.ID{}, 500)
	id, topics := log.LogID(), slices.Collect(log.Topics(store.All()))
	closeLog(t, log)
	before, after, err := bolt.Compact(t.Context(), dir, nil)
	if err != nil || after*2 > before {
		t.Fatalf("from %d to %d bytes, error %v", before, after, err)
	}
	live := uint64(0)
	for _, info := range topics {
		live += info.Bytes
	}
	if ratio := float64(after) / float64(live); ratio > 1.3 {
		t.Errorf("the file is %.2f times the live data", ratio)
	}
	if report := verify(t, dir); !report.Intact() {
		t.Errorf("report %+v", report)
	}
	log = openAt(t, dir, bolt.Options{})
	if diff := cmp.Diff(topics, slices.Collect(log.Topics(store.All()))); diff != "" ||
		log.LogID() != id {
		t.Errorf("log %s, was %s; topics: %s", log.LogID(), id, diff)
	}
	expect(t, log, store.All(), store.ID{}, append(kept, appendN(t, log, 300, "a.x", "c")...))
	storetest.Check(t, log)
}

// TestCompactDamaged: damaged records are still reported; a log with worse damage is left untouched.
func TestCompactDamaged(t *testing.T) {
	dir, events := fullLog(t)
	damaged := matching(events, filterOf(t, "a.*"), store.ID{})[5:7]
	damage(t, dir, 3, damaged...)
	if _, _, err := bolt.Compact(t.Context(), dir, nil); err != nil {
		t.Fatal(err)
	}
	log := openAt(t, dir, bolt.Options{})
	expectCorrupt(t, log, events, damaged...)
	closeLog(t, log)
	alter(t, dir, func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("log")).Delete(events[9].ID[:])
	})
	before, err := os.ReadFile(logFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := bolt.Compact(t.Context(), dir, nil); !errors.Is(err, bolt.ErrDamaged) {
		t.Errorf("error %v, want %v", err, bolt.ErrDamaged)
	}
	if after, err := os.ReadFile(logFile(dir)); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed; error %v", err)
	}
}

func TestCompactRefuses(t *testing.T) {
	if _, _, err := bolt.Compact(t.Context(), t.TempDir(), nil); !errors.Is(err, bolt.ErrNoLog) {
		t.Errorf("nothing: %v, want %v", err, bolt.ErrNoLog)
	}
	dir := t.TempDir()
	openAt(t, dir, bolt.Options{})
	if _, _, err := bolt.Compact(t.Context(), dir, nil); !errors.Is(err, bolt.ErrLocked) {
		t.Errorf("an open log: %v, want %v", err, bolt.ErrLocked)
	}
}

// TestUnfinishedFile: leftovers of a compaction or a restore that crashed are removed at the next start.
func TestUnfinishedFile(t *testing.T) {
	dir, events := fullLog(t)
	if err := os.WriteFile(logFile(dir)+".new", []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, openAt(t, dir, bolt.Options{}), store.All(), store.ID{}, events)
	if _, err := os.Stat(logFile(dir) + ".new"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}
