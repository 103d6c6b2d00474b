package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/storetest"
)

// smallDisk mounts a file system of a few MiB, or skips the test.
func smallDisk(t *testing.T, kind string) string {
	t.Helper()
	return storetest.SmallDisk(t, kind, map[string]int64{"tmpfs": 8 << 20, "ext4": 12 << 20}[kind])
}

// fillDisk appends until there is no space for even a small event, and returns the acknowledged ones.
func fillDisk(t *testing.T, log store.Log) (events []store.Event) {
	t.Helper()
	for _, n := range []int{500, 50, 2} {
		for {
			drafts := make([]store.Draft, n)
			for i := range drafts {
				drafts[i] = store.Draft{Topic: []string{"a", "b"}[i%2],
					Data: bytes.Repeat([]byte{byte(i)}, 1000)}
			}
			ids, err := store.Append(context.Background(), log, drafts)
			if errors.Is(err, store.ErrNoSpace) {
				break
			}
			if err != nil {
				t.Fatalf("append to a disk that is getting full: %v, want %v", err,
					store.ErrNoSpace)
			}
			for i, id := range ids {
				events = append(events, store.Event{ID: id, Topic: drafts[i].Topic,
					Type: store.DefaultType, Data: drafts[i].Data})
			}
			if len(events) > 64<<10 {
				t.Fatal("the disk does not get full")
			}
		}
	}
	return events
}

// TestDiskFull: a full disk is reported and stores nothing, reading continues, also in the next process, and
// nothing acknowledged is lost. Once there is a little room, trimming makes more, and appending works again.
func TestDiskFull(t *testing.T) {
	for _, kind := range []string{"tmpfs", "ext4"} {
		t.Run(kind, func(t *testing.T) {
			disk := smallDisk(t, kind)
			dir, other := filepath.Join(disk, "data"), filepath.Join(disk, "other")
			var ahead atomic.Int64 // of the log's clock
			log := openAt(t, dir, bolt.Options{Now: func() time.Time {
				return time.Now().Add(time.Duration(ahead.Load()))
			}})
			if err := os.WriteFile(other, make([]byte, 32<<10), 0o600); err != nil {
				t.Fatal(err)
			}
			events := fillDisk(t, log)
			expect(t, log, store.All(), store.ID{}, events)
			storetest.Check(t, log) // it has not failed
			if err := log.Ready(); !errors.Is(err, store.ErrNoSpace) {
				t.Errorf("ready on a full disk: %v, want %v", err, store.ErrNoSpace)
			}
			// A caller that appends only while Ready gets to try again.
			if ahead.Store(int64(time.Minute)); log.Ready() != nil {
				t.Errorf("ready a minute after the disk was found full: %v", log.Ready())
			}
			closeLog(t, log)
			log = openAt(t, dir, bolt.Options{})
			expect(t, log, store.All(), store.ID{}, events)

			// Trimming needs pages itself. Without any it may end early, but what it reports is exact.
			events, _ = trimTo(t, log, filterOf(t, "a"), events[len(events)/4].ID, events)
			if err := os.Remove(other); err != nil {
				t.Fatal(err)
			}
			before := len(events)
			events, some := trimTo(t, log, filterOf(t, "a"), events[len(events)-1].ID, events)
			events, most := trimTo(t, log, store.All(), events[len(events)*3/4].ID, events)
			if some != nil || most != nil || len(events) > before/4 {
				t.Fatalf("trims with a little room: %v, %v; %d of %d events are left", some, most,
					len(events), before)
			}
			if err := log.Ready(); err != nil {
				t.Errorf("ready once something is trimmed: %v", err)
			}
			for range 8 { // more than the other file took
				events = append(events, appendAll(t, log,
					store.Draft{Topic: "a", Data: make([]byte, 64<<10)})...)
			}
			expect(t, log, store.All(), store.ID{}, events)
			closeLog(t, log)
			log = openAt(t, dir, bolt.Options{})
			expect(t, log, store.All(), store.ID{}, events)
			storetest.Check(t, log)
			closeLog(t, log)
		})
	}
}

// trimTo trims, checks that exactly as many events were deleted as Trim reports, and returns the others. The
// caller judges an ErrNoSpace.
func trimTo(t *testing.T, log store.Log, f store.Filter, before store.ID,
	events []store.Event) ([]store.Event, error) {
	t.Helper()
	deleted, err := log.Trim(context.Background(), f, before)
	if err != nil && !errors.Is(err, store.ErrNoSpace) {
		t.Fatalf("trim: %v", err)
	}
	left := deleted
	kept := slices.DeleteFunc(slices.Clone(events), func(e store.Event) bool {
		if left == 0 || !f.Match(e.Topic) {
			return false
		}
		left--
		return true
	})
	expect(t, log, store.All(), store.ID{}, kept)
	storetest.Check(t, log)
	return kept, err
}
