package bolt_test

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/storetest"
)

// fakeDisk is a disk whose free space the test sets.
type fakeDisk struct {
	free atomic.Uint64
	err  error
}

func (d *fakeDisk) space(string) (free, total uint64, err error) {
	return d.free.Load(), 1000, d.err
}

// floored opens a log with a floor of a tenth of the disk.
func floored(t *testing.T, d *fakeDisk) *bolt.Log {
	log := openAt(t, t.TempDir(), bolt.Options{
		MinFree: func(total uint64) uint64 { return total / 10 },
		Disk:    d.space,
	})
	t.Cleanup(func() {
		storetest.Check(t, log)
		closeLog(t, log)
	})
	return log
}

func publish(log store.Log, key string) error {
	_, err := log.AppendOnce(context.Background(),
		[]store.Group{{Drafts: []store.Draft{{Topic: "a", Data: make([]byte, 100)}}, Key: key}})
	return err
}

// TestFloor: below the floor nothing is stored and everything else continues; once there is room, publishing
// works again.
func TestFloor(t *testing.T) {
	d := &fakeDisk{}
	d.free.Store(100)
	log := floored(t, d)
	for range 10 {
		if err := publish(log, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := publish(log, "key"); err != nil {
		t.Fatal(err)
	}
	if err := log.Ready(); err != nil {
		t.Errorf("ready at the floor: %v", err)
	}
	d.free.Store(99)
	head := log.Head()
	if err := log.Ready(); !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("ready below the floor, before anything is published: %v, want %v", err,
			store.ErrNoSpace)
	}
	for range 3 {
		if err := publish(log, ""); !errors.Is(err, store.ErrNoSpace) || log.Head() != head {
			t.Fatalf("publish below the floor: %v, head %s, want %v and %s", err, log.Head(),
				store.ErrNoSpace, head)
		}
	}
	if err := publish(log, "key"); err != nil {
		t.Errorf("replay of what is stored, below the floor: %v", err)
	}
	if _, err := log.SetMark(context.Background(), "me", "inbox",
		store.Mark{ID: head, Topics: store.All()}); err != nil {
		t.Errorf("read mark below the floor: %v", err)
	}
	if page, err := log.NewReader(store.All(), store.ID{}).Next(100); err != nil ||
		len(page.Events) != 11 {
		t.Errorf("read below the floor: %d events, %v", len(page.Events), err)
	}
	if errors.Is(log.Ready(), store.ErrFailed) {
		t.Errorf("the log has failed: %v", log.Ready())
	}
	d.free.Store(100)
	if err := cmp.Or(log.Ready(), publish(log, "")); err != nil {
		t.Errorf("publish with room again: %v", err)
	}
}

// TestFloorAfterTrim: trimming makes room for as much as was trimmed, because the file keeps its pages, and
// no more.
func TestFloorAfterTrim(t *testing.T) {
	d := &fakeDisk{}
	d.free.Store(100)
	log := floored(t, d)
	for range 20 {
		if err := publish(log, ""); err != nil {
			t.Fatal(err)
		}
	}
	d.free.Store(0)
	for _, n := range []uint64{5, 1, 12} {
		if deleted, err := log.Retain(context.Background(),
			store.Retention{Whole: store.Limits{Events: 20 - n}}); err != nil || deleted != int(n) {
			t.Fatalf("trim below the floor: %d, %v, want %d", deleted, err, n)
		}
		for i := range n {
			if err := cmp.Or(log.Ready(), publish(log, "")); err != nil {
				t.Fatalf("publish %d after %d were trimmed: %v", i+1, n, err)
			}
		}
		if err := publish(log, ""); !errors.Is(err, store.ErrNoSpace) {
			t.Fatalf("one more than were trimmed: %v, want %v", err, store.ErrNoSpace)
		}
		if err := log.Ready(); !errors.Is(err, store.ErrNoSpace) {
			t.Fatalf("ready for one more than were trimmed: %v, want %v", err, store.ErrNoSpace)
		}
	}
}

// TestFloorIsForTrims: below the floor an append uses pages that trims have freed, and no more of the disk
// where they are too few, or in pieces too small for it.
func TestFloorIsForTrims(t *testing.T) {
	d, dir := &fakeDisk{}, t.TempDir()
	d.free.Store(100)
	log := openAt(t, dir, bolt.Options{MinFree: func(total uint64) uint64 { return total / 10 }, Disk: d.space})
	defer closeLog(t, log)
	publish := func(topic string, size int) error {
		_, err := store.Append(t.Context(), log, []store.Draft{{Topic: topic, Data: make([]byte, size)}})
		return err
	}
	for i := range 60 {
		if err := publish([]string{"a", "b", "c"}[i%3], 16<<10); err != nil {
			t.Fatal(err)
		}
	}
	d.free.Store(0)
	if n, err := log.Retain(t.Context(), store.Retention{Whole: store.Limits{Events: 40}}); n != 20 || err != nil {
		t.Fatalf("trim: %d, %v", n, err)
	}
	blocks := func() int64 {
		info, err := os.Stat(logFile(dir))
		if err != nil {
			t.Fatal(err)
		}
		return info.Sys().(*syscall.Stat_t).Blocks
	}
	before := blocks()
	if err := publish("a", 16<<10); err != nil {
		t.Errorf("what there is room for: %v", err)
	}
	if err := publish("a", 600<<10); !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("more than what was trimmed: %v, want %v", err, store.ErrNoSpace)
	}
	if after := blocks(); after != before {
		t.Errorf("the log took %d blocks, and %d after publishes below the floor", before, after)
	}
	storetest.Check(t, log)
}

// TestFloorAfterRestart: events trimmed before a restart make room for nearly as much after it, and the file
// does not grow. A few more fit where the first reserve was, which had no extent for them.
func TestFloorAfterRestart(t *testing.T) {
	dir, d := t.TempDir(), &fakeDisk{}
	log := openAt(t, dir, bolt.Options{})
	events := appendAll(t, log, slices.Repeat([]store.Draft{{Topic: "a",
		Data: make([]byte, 1000)}}, 4000)...)
	if _, err := log.Trim(context.Background(), store.All(), events[2000].ID); err != nil {
		t.Fatal(err)
	}
	closeLog(t, log)
	log = openAt(t, dir, bolt.Options{MinFree: func(uint64) uint64 { return 1 }, Disk: d.space})
	before, err := log.Info()
	if err != nil {
		t.Fatal(err)
	}
	fit := len(publishUntilFull(t, log, 1000))
	after, err := log.Info()
	if err != nil || fit < 1300 || fit > 2100 || after.DiskBytes > before.DiskBytes {
		t.Errorf(
			"%d events fit where 2000 were trimmed, and the file went from %d bytes to %d (%v)",
			fit, before.DiskBytes, after.DiskBytes, err)
	}
	storetest.Check(t, log)
	closeLog(t, log)
}

// TestFloorUnknown: a disk that does not report its free space stops nothing.
func TestFloorUnknown(t *testing.T) {
	d := &fakeDisk{err: errors.New("no such call")}
	log := floored(t, d)
	if err := publish(log, ""); err != nil {
		t.Errorf("publish: %v", err)
	}
}

// TestFloorOfRealDisk: 16 publishers fill a disk down to its floor while others read. The acknowledged events
// are exactly what the log has and what the readers got; publishing resumes after a trim, and again once the
// disk has room.
func TestFloorOfRealDisk(t *testing.T) {
	for _, kind := range []string{"tmpfs", "ext4"} {
		t.Run(kind, func(t *testing.T) {
			disk := smallDisk(t, kind)
			dir, other := filepath.Join(disk, "data"), filepath.Join(disk, "other")
			if err := os.WriteFile(other, make([]byte, 2<<20), 0o600); err != nil {
				t.Fatal(err)
			}
			const floor = 1 << 20
			log := openAt(t, dir, bolt.Options{MinFree: func(uint64) uint64 { return floor }})
			readers := follow(t, log, 8)
			events := publishUntilFull(t, log, 4000)
			if len(events) < 100 {
				t.Fatalf("only %d events fit", len(events))
			}
			kept := events[len(events)*2/3:]
			if n, err := log.Trim(context.Background(), store.All(), kept[0].ID); err != nil ||
				n != len(events)-len(kept) {
				t.Fatalf("trim below the floor: %d, %v", n, err)
			}
			more := publishUntilFull(t, log, 4000)
			if len(more) < len(events)/3 {
				t.Errorf("%d events fit where %d were trimmed", len(more), len(events)-len(kept))
			}
			if free, _, err := bolt.DiskSpace(dir); err != nil || free < floor/4 {
				t.Errorf("%d bytes are free (%v), want most of the floor of %d", free, err, floor)
			}
			if err := os.Remove(other); err != nil {
				t.Fatal(err)
			}
			last := publishUntilFull(t, log, 4000)
			if len(last) < 100 {
				t.Errorf("only %d events fit into what another file took", len(last))
			}
			expect(t, log, store.All(), store.ID{}, slices.Concat(kept, more, last))
			storetest.Check(t, log)
			for _, got := range readers() {
				for _, e := range events {
					delete(got, e.ID) // or it was trimmed before the reader reached it
				}
				for _, e := range slices.Concat(more, last) {
					if !got[e.ID] {
						t.Errorf("a reader did not get %s", e.ID)
					}
					delete(got, e.ID)
				}
				if len(got) > 0 {
					t.Errorf("a reader got %d events that were not acknowledged", len(got))
				}
			}
			closeLog(t, log)
		})
	}
}

// publishUntilFull has 16 publishers append events of the given size until each gets ErrNoSpace, and returns
// the acknowledged ones in ID order.
func publishUntilFull(t *testing.T, log store.Log, size int) (acknowledged []store.Event) {
	t.Helper()
	var mu sync.Mutex
	var publishers sync.WaitGroup
	for range 16 {
		publishers.Go(func() {
			data := make([]byte, size)
			for {
				ids, err := store.Append(context.Background(), log,
					[]store.Draft{{Topic: "a", Data: data}})
				if err != nil {
					if !errors.Is(err, store.ErrNoSpace) {
						t.Errorf("append: %v", err)
					}
					return
				}
				mu.Lock()
				acknowledged = append(acknowledged,
					store.Event{ID: ids[0], Topic: "a", Type: store.DefaultType, Data: data})
				mu.Unlock()
			}
		})
	}
	publishers.Wait()
	slices.SortFunc(acknowledged, func(a, b store.Event) int { return a.ID.Compare(b.ID) })
	return acknowledged
}

// follow starts readers that wait for new events. The returned function ends them at the head, and returns
// what each of them got.
func follow(t *testing.T, log store.Log, n int) func() []map[store.ID]bool {
	t.Helper()
	got := make([]map[store.ID]bool, n)
	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for i := range got {
		got[i] = make(map[store.ID]bool)
		readers.Go(func() {
			r, position := log.NewReader(store.All(), store.ID{}), store.ID{}
			for ended := false; !ended || position.Before(log.Head()); {
				ended = log.Wait(ctx, position) != nil
				page, err := r.Next(100)
				if err != nil {
					t.Errorf("read: %v", err)
					return
				}
				for _, e := range page.Events {
					got[i][e.ID] = true
				}
				position = page.Through
			}
		})
	}
	return func() []map[store.ID]bool {
		stop()
		readers.Wait()
		return got
	}
}
