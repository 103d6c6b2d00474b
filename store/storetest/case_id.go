package storetest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"tidings/store"
)

func idCases() []Case {
	cases := []Case{
		{"id/concurrent appends are ordered and unique", idConcurrent},
		{"id/above what was trimmed before a reopen", idAfterTrimAndReopen},
	}
	rows := []struct {
		name  string
		steps []time.Duration // clock changes between two appends
	}{
		{"clock runs", []time.Duration{time.Millisecond, time.Second, time.Hour}},
		{"clock stands still", []time.Duration{0, 0, 0, 0}},
		{"clock steps back an hour", []time.Duration{time.Second, -time.Hour, 0, time.Second,
			2 * time.Hour}},
		{"clock creeps back", []time.Duration{-time.Millisecond, -time.Millisecond,
			time.Millisecond, time.Millisecond, time.Millisecond}},
		{"clock was far ahead", []time.Duration{200 * 365 * 24 * time.Hour,
			-200 * 365 * 24 * time.Hour, time.Second}},
		{"clock falls back to 1970", []time.Duration{time.Second,
			-noon.Sub(time.UnixMilli(0)), time.Hour}},
	}
	for _, row := range rows {
		cases = append(cases,
			Case{"id/" + row.name, func(t testing.TB, open Factory) {
				idClock(t, open, row.steps, false)
			}},
			Case{"id/" + row.name + ", reopened", func(t testing.TB, open Factory) {
				idClock(t, open, row.steps, true)
			}})
	}
	return append(cases, Case{"id/clock starts at 1970", func(t testing.TB, open Factory) {
		f := start(t, open, Options{Now: newClock(time.UnixMilli(0)).now})
		f.expect(store.All(), store.ID{}, f.append(drafts(3, "orders")...))
	}})
}

// idClock appends after every clock change: IDs still rise, and their time is the clock's or, while the
// clock is behind, the previous event's. After a reopen it may be the millisecond after that, so that no
// lost ID is minted again.
func idClock(t testing.TB, open Factory, steps []time.Duration, reopen bool) {
	c := newClock(noon)
	f := start(t, open, Options{Now: c.now})
	want := f.append(drafts(3, "orders")...)
	at := noon
	for i, step := range steps {
		c.advance(step)
		if at.Before(c.now()) {
			at = c.now()
		}
		if reopen {
			f.reopen()
		}
		batch := f.append(drafts(3, "orders", "tickets")...) // compares with the head
		if next := at.Add(time.Millisecond); reopen && batch[0].Time().Equal(next) &&
			c.now().Before(next) {
			at = next
		}
		for _, e := range batch {
			if !e.Time().Equal(at) {
				t.Fatalf("step %d: the clock is at %s, the event %s at %s, want %s",
					i, c.now().UTC(), e.ID, e.Time(), at.UTC())
			}
		}
		want = append(want, batch...)
	}
	f.expect(store.All(), store.ID{}, want)
}

func idConcurrent(t testing.TB, open Factory) {
	const writers, batches = 8, 10
	f := start(t, open, Options{Now: newClock(noon).now})
	var mu sync.Mutex
	var all [][]store.ID
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			var last store.ID
			for i := range batches {
				ids, err := store.Append(context.Background(), f, drafts(1+i%3, "orders"))
				if err != nil {
					t.Errorf("append: %v", err)
					return
				}
				if !last.Before(ids[0]) {
					t.Errorf("IDs do not increase: %s after %s of the same writer", ids[0], last)
				}
				last = ids[len(ids)-1]
				mu.Lock()
				all = append(all, ids)
				mu.Unlock()
			}
		})
	}
	wg.Wait()

	slices.SortFunc(all, func(a, b []store.ID) int { return a[0].Compare(b[0]) })
	given := slices.Concat(all...)
	for i := 1; i < len(given); i++ {
		if !given[i-1].Before(given[i]) {
			t.Fatalf("two appends share the ID %s, or one batch lies inside another", given[i])
		}
	}
	stored := idsOf(read(t, f, store.All(), store.ID{}).drain(pageSize))
	if !slices.Equal(stored, given) {
		t.Fatalf("the log holds %d events, appends returned %d IDs, or they differ",
			len(stored), len(given))
	}
}

// idAfterTrimAndReopen removes the records from which a careless log would read its last ID.
func idAfterTrimAndReopen(t testing.TB, open Factory) {
	c := newClock(noon)
	f := start(t, open, Options{Now: c.now})
	old := f.append(drafts(5, "orders", "tickets")...)
	f.trim(store.All(), store.MaxID, len(old))
	c.advance(-time.Hour)
	f.reopen()
	ids, err := store.Append(t.Context(), f, drafts(2, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	if last := old[len(old)-1].ID; !last.Before(ids[0]) {
		t.Fatalf("IDs went backwards over a reopen: %s is not above %s, which was given before",
			ids[0], last)
	}
}
