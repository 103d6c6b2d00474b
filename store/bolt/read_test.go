package bolt_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/storetest"
)

// uneven appends stretches in which the events of many topics m.N are frequent, rare and absent among those
// of x, so that a reader of "m.*" does best by scanning here and planning there.
func uneven(t testing.TB, log store.Log, topics int, stretches ...int) (events []store.Event) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	for i, every := range stretches {
		var drafts []store.Draft
		for n := range 3000 {
			d := store.Draft{Topic: "x", Data: fmt.Appendf(nil, "%d.%d", i, n)}
			if every > 0 && random.IntN(every) == 0 {
				d.Topic = fmt.Sprintf("m.%d", random.IntN(topics))
			}
			drafts = append(drafts, d)
		}
		events = append(events, appendAll(t, log, drafts...)...)
	}
	return events
}

// TestManyTopics compares readers of many topics with a slice: from many positions, in small and
// large pages, over dense and sparse stretches, before and after parts were trimmed and the log was
// reopened.
func TestManyTopics(t *testing.T) {
	dir := t.TempDir()
	log := openAt(t, dir, bolt.Options{})
	events := uneven(t, log, 400, 1, 3, 300, 0, 0, 1, 1500, 50, 0, 2, 1000, 1000)
	filters := []store.Filter{filterOf(t, "m.*"), filterOf(t, "m.>", "none"),
		filterOf(t, "m.1", "m.2", "m.399"), filterOf(t, "*.7", "x")}
	check := func(log store.Log) {
		t.Helper()
		for _, f := range filters {
			for i := 0; i < len(events); i += len(events)/9 - 1 {
				for _, max := range []int{61, 1000} {
					got, _ := drain(t, log, f, events[i].ID, max)
					same(t, fmt.Sprintf("reader of %q after event %d, %d at a time", f, i, max),
						got, matching(events, f, events[i].ID))
				}
			}
			expect(t, log, f, store.ID{}, events)
			expectNewest(t, log, f, events, 500)
		}
	}
	check(log)
	before := events[7000].ID
	if _, err := log.Trim(context.Background(), filters[0], before); err != nil {
		t.Fatal(err)
	}
	kept := events[:0]
	for _, e := range events {
		if !e.ID.Before(before) || !filters[0].Match(e.Topic) {
			kept = append(kept, e)
		}
	}
	events = append(kept, uneven(t, log, 500, 2, 700)...)
	check(log)
	closeLog(t, log)
	check(openAt(t, dir, bolt.Options{}))
}

// TestReadWhileTrimming: whatever is appended and trimmed meanwhile, readers of many topics miss nothing
// except what a page had named as trimmed before they passed it.
func TestReadWhileTrimming(t *testing.T) {
	log := openAt(t, t.TempDir(), bolt.Options{})
	f := filterOf(t, "m.*")
	events := uneven(t, log, 320, 2, 400, 0, 1)
	stop := make(chan struct{})
	var readers, writers sync.WaitGroup
	results := make([]*history, 6)
	for i := range results {
		h := &history{after: events[i*len(events)/6].ID}
		results[i] = h
		readers.Go(func() { h.read(log, f, 1+i*97, stop) })
	}
	writers.Go(func() {
		for i := range 12 {
			before := events[(i+1)*len(events)/14].ID
			if _, err := log.Trim(context.Background(), f, before); err != nil {
				t.Errorf("trim: %v", err)
			}
		}
	})
	added := uneven(t, log, 340, 100, 1, 1000, 3)
	writers.Wait()
	close(stop)
	readers.Wait()
	all := append(events, added...)
	for i, h := range results {
		if h.err != nil {
			t.Fatalf("reader %d: %v", i, h.err)
		}
		h.compare(t, matching(all, f, h.after))
	}
	storetest.Check(t, log)
}

// TestTrimBetweenPages: a reader skips what was trimmed since it made its plan, and reports it.
func TestTrimBetweenPages(t *testing.T) {
	log := openAt(t, t.TempDir(), bolt.Options{})
	f := filterOf(t, "m")
	events := matching(appendN(t, log, 3000, "m", "x.1", "x.2", "x.3", "x.4", "x.5"), f, store.ID{})
	r := log.NewReader(f, store.ID{})
	page, err := r.Next(10)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "first page", page.Events, events[:10])
	if _, err := log.Trim(context.Background(), f, events[50].ID); err != nil {
		t.Fatal(err)
	}
	if page, err = r.Next(1000); err != nil {
		t.Fatal(err)
	}
	planned := len(page.Events)
	if planned == 0 || page.Trimmed != events[49].ID || !page.Corrupt.IsZero() {
		t.Errorf("%d events after the trim, trimmed up to %s, want %s; corrupt %s", planned,
			page.Trimmed, events[49].ID, page.Corrupt)
	}
	same(t, "page after the trim", page.Events, events[50:50+planned])
	if page, err = r.Next(1000); err != nil {
		t.Fatal(err)
	}
	same(t, "next page", page.Events, events[50+planned:])
}

// TestTrimIsTold: events that a trim has just taken are named to every reader that does not find them, at any
// moment: a transaction can be seen before it is durable, and before its marks are shown.
func TestTrimIsTold(t *testing.T) {
	log := openAt(t, t.TempDir(), bolt.Options{})
	f := filterOf(t, "m.*")
	events := matching(appendN(t, log, 2000, "m.1", "x", "m.2", "x"), f, store.ID{})
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() { firsts(t, log, f, events, stop) })
	}
	for _, e := range events[1:400] {
		if _, err := log.Trim(context.Background(), f, e.ID); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	readers.Wait()
}

// firsts reads the first event repeatedly: everything that was before it must be named as trimmed.
func firsts(t *testing.T, log store.Log, f store.Filter, events []store.Event,
	stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		r := log.NewReader(f, store.ID{})
		var page store.Page
		for trimmed := (store.ID{}); len(page.Events) == 0; page.Trimmed = trimmed {
			var err error
			if page, err = r.Next(1); err != nil {
				t.Errorf("first event: %v", err)
				return
			}
			if trimmed.Before(page.Trimmed) {
				trimmed = page.Trimmed
			}
		}
		for len(events) > 1 && events[1].ID.Compare(page.Events[0].ID) <= 0 {
			if page.Trimmed.Before(events[0].ID) {
				t.Errorf(
					"a silent hole at %s: the first event is %s, trimmed is only what lies up to %s",
					events[0].ID,
					page.Events[0].ID, page.Trimmed)
				return
			}
			events = events[1:]
		}
	}
}

// history is what one reader got.
type history struct {
	after   store.ID
	events  []store.Event
	trimmed []store.ID // for each event, the newest trimmed ID known when it arrived
	last    store.ID   // the newest at the end
	err     error
}

// read continues until stop is closed and it has caught up.
func (h *history) read(log store.Log, f store.Filter, max int, stop <-chan struct{}) {
	r := log.NewReader(f, h.after)
	for {
		stopped := false
		select {
		case <-stop:
			stopped = true
		default:
		}
		page, err := r.Next(max)
		if err == nil && !page.Corrupt.IsZero() {
			err = fmt.Errorf("%s is reported as corrupt", page.Corrupt)
		}
		if h.err = err; err != nil {
			return
		}
		if h.last.Before(page.Trimmed) {
			h.last = page.Trimmed
		}
		for _, e := range page.Events {
			h.events, h.trimmed = append(h.events, e), append(h.trimmed, h.last)
		}
		if stopped && len(page.Events) == 0 && !page.Through.Before(log.Head()) {
			return
		}
	}
}

// compare walks through what could be read and what was read side by side.
func (h *history) compare(t *testing.T, want []store.Event) {
	t.Helper()
	missed := 0
	for _, e := range want {
		if len(h.events) > 0 && h.events[0].ID == e.ID {
			same(t, "reader", h.events[:1], []store.Event{e})
			h.events, h.trimmed = h.events[1:], h.trimmed[1:]
			continue
		}
		known := h.last
		if len(h.trimmed) > 0 {
			known = h.trimmed[0]
		}
		if known.Before(e.ID) {
			t.Fatalf("reader after %s: a silent hole at %s, trimmed is only what lies up to %s",
				h.after, e.ID, known)
		}
		missed++
	}
	if len(h.events) > 0 {
		t.Fatalf("reader after %s: %s came twice, or out of order", h.after, h.events[0].ID)
	}
	t.Logf("%d of %d events were trimmed before they were read", missed, len(want))
}
