package bolt_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/storetest"
)

// gathering is a log on which calls can be made to wait for the committer, so that its next transaction takes
// all of them. It must run in a synctest bubble.
type gathering struct {
	*bolt.Log
	held atomic.Bool
	hold chan struct{}
	wg   sync.WaitGroup
}

// gather opens a log, and appends n events to each topic in turn.
func gather(t *testing.T, dir string, n int, topics ...string) (*gathering, []store.Event) {
	g := &gathering{hold: make(chan struct{})}
	g.Log = openAt(t, dir, bolt.Options{Now: func() time.Time {
		if g.held.Load() {
			<-g.hold
		}
		return time.Now()
	}})
	return g, appendN(t, g, n, topics...)
}

// together makes the calls while the committer is held in the transaction of another append, and returns in
// how many commits they were stored.
func (g *gathering) together(t *testing.T, calls ...func()) uint64 {
	t.Helper()
	g.held.Store(true) // the committer reads the time when it mints an ID
	first := func() { appendAll(t, g, store.Draft{Topic: "first"}) }
	for _, call := range append([]func(){first}, calls...) {
		g.wg.Go(call)
		synctest.Wait()
	}
	before := g.Stats().Commits.Count
	g.held.Store(false)
	close(g.hold)
	g.wg.Wait()
	return g.Stats().Commits.Count - before - 1
}

func (g *gathering) trim(t *testing.T, f store.Filter, before store.ID, want int) func() {
	return func() {
		if n, err := g.Trim(context.Background(), f, before); err != nil || n != want {
			t.Errorf("trim: %d, %v, want %d", n, err, want)
		}
	}
}

// TestTrimRides: a trim and what is appended meanwhile are one commit, even if several trims include the same
// events.
func TestTrimRides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		g, events := gather(t, dir, 60, "a", "b", "c")
		var fresh []store.Event
		commits := g.together(t,
			g.trim(t, filterOf(t, "a"), events[30].ID, 10),
			func() { fresh = appendAll(t, g, store.Draft{Topic: "a"}, store.Draft{Topic: "new"}) },
			g.trim(t, filterOf(t, "a", "b"), events[40].ID, 13+14-10),
			g.trim(t, filterOf(t, "c"), store.MaxID, 20),
		)
		if commits != 1 {
			t.Errorf("an append and three trims at once took %d commits, want 1", commits)
		}
		kept := slices.DeleteFunc(slices.Clone(events), func(e store.Event) bool {
			return e.Topic == "c" || e.ID.Before(events[40].ID)
		})
		for range 2 {
			page, err := g.NewReader(store.All(), store.ID{}).Next(1)
			if err != nil || page.Trimmed != events[59].ID {
				t.Fatalf("trimmed up to %s (%v), want %s", page.Trimmed, err, events[59].ID)
			}
			expect(t, g, filterOf(t, "a", "b", "new"), store.ID{}, slices.Concat(kept, fresh))
			expect(t, g, filterOf(t, "c"), store.ID{}, nil)
			storetest.Check(t, g)
			closeLog(t, g.Log)
			g.Log = openAt(t, dir, bolt.Options{})
		}
		closeLog(t, g.Log)
	})
}

// TestTrimBeside: an append for which there is no space does not make the trim in its batch fail.
func TestTrimBeside(t *testing.T) {
	disk := smallDisk(t, "tmpfs")
	synctest.Test(t, func(t *testing.T) {
		g, events := gather(t, filepath.Join(disk, "data"), 900, "a", "b")
		free, _, err := bolt.DiskSpace(disk)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(disk, "other"), make([]byte, free-1<<20),
			0o600); err != nil {
			t.Fatal(err)
		}
		g.together(t,
			// with more it would try half as many, alone
			g.trim(t, filterOf(t, "a"), events[1].ID, 1),
			func() {
				if _, err := store.Append(context.Background(), g, []store.Draft{{Topic: "a",
					Data: make([]byte, 2<<20)}}); !errors.Is(err, store.ErrNoSpace) {
					t.Errorf("append of more than there is space for: %v, want %v", err,
						store.ErrNoSpace)
				}
			},
		)
		expect(t, g, filterOf(t, "b"), store.ID{}, slices.DeleteFunc(slices.Clone(events),
			func(e store.Event) bool { return e.Topic == "a" }))
		if page, err := g.NewReader(filterOf(t, "a"), store.ID{}).Next(1); err != nil ||
			page.Trimmed != events[0].ID || page.Events[0].ID != events[2].ID {
			t.Errorf("after the trim: %+v, %v", page, err)
		}
		storetest.Check(t, g)
		closeLog(t, g.Log)
	})
}
