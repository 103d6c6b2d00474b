package storetest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"tidings/store"
)

// fixture is the log of one case. Its methods end the test on failures that are not the subject of the
// case. At the end of the case the log is checked and closed.
type fixture struct {
	store.Log
	t      testing.TB
	open   Factory
	dir    string
	opts   Options
	closed bool
}

func start(t testing.TB, open Factory, opts Options) *fixture {
	t.Helper()
	f := &fixture{t: t, open: open, dir: t.TempDir(), opts: opts}
	f.Log = open(t, f.dir, opts)
	t.Cleanup(f.close)
	t.Cleanup(func() {
		if !f.closed && !t.Failed() {
			Check(t, f.Log)
		}
	})
	return f
}

func (f *fixture) close() {
	f.t.Helper()
	if f.closed {
		return
	}
	f.closed = true
	if err := f.Log.Close(); err != nil {
		f.t.Errorf("close: %v", err)
	}
}

// reopen closes the log and opens it again.
func (f *fixture) reopen() {
	f.t.Helper()
	f.close()
	f.Log, f.closed = f.open(f.t, f.dir, f.opts), false
}

// append commits the drafts in one batch and returns the events that the log must then have.
func (f *fixture) append(drafts ...store.Draft) []store.Event {
	f.t.Helper()
	before := f.Head()
	ids, err := store.Append(context.Background(), f, drafts)
	if err != nil {
		f.t.Fatalf("append of %d drafts: %v", len(drafts), err)
	}
	if len(ids) != len(drafts) {
		f.t.Fatalf("append of %d drafts returned %d IDs", len(drafts), len(ids))
	}
	events := make([]store.Event, len(ids))
	for i, id := range ids {
		if !before.Before(id) {
			f.t.Fatalf("IDs do not increase: %s is not above %s", id, before)
		}
		before, events[i] = id, committed(id, drafts[i])
	}
	if head := f.Head(); head != before {
		f.t.Fatalf("head is %s after append returned %s", head, before)
	}
	return events
}

// trim trims and checks how many events were deleted.
func (f *fixture) trim(filter store.Filter, before store.ID, want int) {
	f.t.Helper()
	n, err := f.Trim(context.Background(), filter, before)
	if err != nil {
		f.t.Fatalf("trim of %q before %s: %v", filter, before, err)
	}
	if n != want {
		f.t.Fatalf("trim of %q before %s deleted %d events, want %d", filter, before, n, want)
	}
}

// expect compares what a new reader returns with want, reading in small and in large pages.
func (f *fixture) expect(filter store.Filter, after store.ID, want []store.Event) {
	f.t.Helper()
	for _, limit := range []int{3, pageSize} {
		read(f.t, f.Log, filter, after).expect(limit, want)
	}
}

// topic returns the bookkeeping of one topic.
func (f *fixture) topic(name string) store.TopicInfo {
	f.t.Helper()
	for info := range f.Topics(filter(f.t, name)) {
		return info
	}
	f.t.Fatalf("topic %q is not listed", name)
	return store.TopicInfo{}
}

func filter(t TB, patterns ...string) store.Filter {
	t.Helper()
	f, err := store.NewFilter(patterns...)
	if err != nil {
		t.Fatalf("filter: %v", err)
	}
	return f
}

// drafts returns n drafts for the topics in turn.
func drafts(n int, topics ...string) []store.Draft {
	out := make([]store.Draft, n)
	for i := range out {
		out[i] = store.Draft{Topic: topics[i%len(topics)], Data: fmt.Appendf(nil, "event %d", i)}
	}
	return out
}

// positions returns every place at which something can go wrong: the ends, each event and the IDs next to
// it.
func positions(events []store.Event) []store.ID {
	out := []store.ID{{}, store.MaxID.Prev(), store.MaxID}
	for _, e := range events {
		next, _ := e.ID.Next()
		out = append(out, e.ID.Prev(), e.ID, next)
	}
	return out
}

// clock is a clock that a case moves by hand.
type clock struct{ ms atomic.Int64 }

func newClock(t time.Time) *clock {
	c := new(clock)
	c.set(t)
	return c
}

func (c *clock) set(t time.Time)         { c.ms.Store(t.UnixMilli()) }
func (c *clock) advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }
func (c *clock) now() time.Time          { return time.UnixMilli(c.ms.Load()) }

// noon is where the hand-moved clocks start.
var noon = time.Date(2030, time.June, 1, 12, 0, 0, 0, time.UTC)

// patience is how long a case waits for something that a correct Log does at once before it counts as
// hanging. No verdict on a correct Log depends on it.
const patience = 30 * time.Second

// within fails the test if f, which must not end the test itself, does not return.
func within(t testing.TB, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s hangs", what)
	}
}
