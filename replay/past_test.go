package replay_test

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidings/replay"
	"tidings/store"
	"tidings/store/storetest"
)

// spaced returns a log with n events of one topic, step apart, and their IDs.
func spaced(t *testing.T, n int, step time.Duration) (*storetest.Model, []store.ID) {
	now := time.Now()
	log := storetest.NewModel(storetest.Options{Now: func() time.Time { return now }})
	var ids []store.ID
	for range n {
		now = now.Add(step)
		ids = append(ids, publish(t, log, "a")...)
	}
	return log, ids
}

// TestPastIsShared: of many subscriptions that catch up from cursors a few events apart, each gets what
// follows its own, and the log is read as often as for one of them: with or without time between the
// events, and whether they run concurrently or one after the other.
func TestPastIsShared(t *testing.T) {
	for name, step := range map[string]time.Duration{"spaced": time.Millisecond, "at once": 0} {
		for _, first := range []int{0, 300} {
			for _, together := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s from %d together=%t", name, first, together),
					func(t *testing.T) { pastIsShared(t, step, first, together) })
			}
		}
	}
}

func pastIsShared(t *testing.T, step time.Duration, first int, together bool) {
	const n, subscriptions, page = 1000, 20, 256
	log, ids := spaced(t, n, step)
	tail := replay.NewTail(log, replay.TailOptions{})
	defer tail.Close()
	subs := make([]*replay.Subscription, subscriptions)
	start := func(i int) int { return first + i*7%subscriptions }
	for i := range subs {
		subs[i] = subscribe(t, tail, filter(t, "a"), replay.After(ids[start(i)].String()))
	}
	var reading sync.WaitGroup
	for i, sub := range subs {
		read := func() {
			if got, want := events(drain(t, log, sub)), ids[start(i)+1:]; !slices.Equal(got, want) {
				t.Errorf("number %d got %d events, which are not the %d that follow", i, len(got),
					len(want))
			}
		}
		if together {
			reading.Go(read)
		} else {
			read()
		}
	}
	reading.Wait()
	if reads, most := tail.Stats().LogReads, uint64((n-first)/page+5); reads > most {
		t.Errorf("%d reads of the log, want at most %d", reads, most)
	}
}

// TestPastOfAlone: a subscription that has its feed alone leaves the in-memory tail to others.
func TestPastOfAlone(t *testing.T) {
	log, ids := spaced(t, 1000, 0)
	tail := replay.NewTail(log, replay.TailOptions{})
	defer tail.Close()
	subscribe(t, tail, filter(t, "b"), replay.Earliest())
	if got := events(drain(t, log, subscribe(t, tail, filter(t, "a"), replay.Earliest()))); !slices.Equal(got, ids) {
		t.Errorf("got %d events, want %d", len(got), len(ids))
	}
	if bytes := tail.Stats().Bytes; bytes != 0 {
		t.Errorf("%d bytes in memory, want 0", bytes)
	}
}

// TestPastTrimmed: memory does not serve a subscription that asks for events trimmed since, whether below what
// memory has or within it; it still serves one that asks for none of them.
func TestPastTrimmed(t *testing.T) {
	log, ids := spaced(t, 1000, time.Millisecond)
	tail := replay.NewTail(log, replay.TailOptions{})
	defer tail.Close()
	after := func(i int) *replay.Subscription {
		return subscribe(t, tail, filter(t, "a"), replay.After(ids[i].String()))
	}
	below, above := after(10), after(400)
	drain(t, log, after(10))
	if _, err := log.Trim(t.Context(), store.All(), ids[300]); err != nil {
		t.Fatal(err)
	}
	got := drain(t, log, below)
	if g := got[0].gap; g == nil || g.Through != ids[299] || !slices.Equal(events(got), ids[300:]) {
		t.Errorf("got %d events after %+v, want those from %v on after a gap", len(got)-1, g, ids[300])
	}
	before := tail.Stats().LogReads
	if got := events(drain(t, log, above)); !slices.Equal(got, ids[401:]) {
		t.Errorf("above: got %d events, want %d", len(got), len(ids[401:]))
	}
	if reads := tail.Stats().LogReads - before; reads != 0 {
		t.Errorf("%d reads of the log by who is above what was trimmed, want 0", reads)
	}
}

// gatedLog is a log whose readers' reads wait or fail as gate says.
type gatedLog struct {
	store.Log
	gate func() error
}

func (l *gatedLog) NewReader(f store.Filter, after store.ID) store.Reader {
	return &gatedReader{l.Log.NewReader(f, after), l.gate}
}

type gatedReader struct {
	store.Reader
	gate func() error
}

func (r *gatedReader) Next(max int) (store.Page, error) {
	if err := r.gate(); err != nil {
		return store.Page{}, err
	}
	return r.Reader.Next(max)
}

// TestPastMakers: subscriptions wait for the one that reads, unless it is slow or fails.
func TestPastMakers(t *testing.T) {
	for name, c := range map[string]struct {
		fails bool
		takes time.Duration // the first read
		reads int32         // by all
	}{
		"quick": {takes: time.Millisecond, reads: 1},
		"slow":  {takes: time.Hour, reads: 2},
		"fails": {takes: time.Millisecond, fails: true, reads: 1 + subscribed}, // each for itself
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				model, ids := spaced(t, 100, time.Millisecond)
				var reads atomic.Int32
				log := &gatedLog{model, func() error {
					if reads.Add(1) > 1 {
						return nil
					}
					time.Sleep(c.takes)
					if c.fails {
						return errors.New("this time")
					}
					return nil
				}}
				if late := readAll(t, log, ids); late > 1 {
					t.Errorf("%d waited for one that is slow", late)
				}
				if n := reads.Load(); n > c.reads {
					t.Errorf("%d reads of the log, want at most %d", n, c.reads)
				}
			})
		})
	}
}

const subscribed = 10

// readAll lets subscribed subscriptions read all events but the first, and returns how many took more
// than a second.
func readAll(t *testing.T, log store.Log, ids []store.ID) int32 {
	tail := replay.NewTail(log, replay.TailOptions{})
	defer tail.Close()
	subs := make([]*replay.Subscription, subscribed)
	for i := range subs {
		subs[i] = subscribe(t, tail, filter(t, "a"), replay.After(ids[0].String()))
	}
	var reading sync.WaitGroup
	begun, late := time.Now(), atomic.Int32{}
	for _, sub := range subs {
		reading.Go(func() {
			if got := events(drain(t, log, sub)); !slices.Equal(got, ids[1:]) {
				t.Errorf("got %d events, want %d", len(got), len(ids)-1)
			}
			if time.Since(begun) > time.Second {
				late.Add(1)
			}
		})
	}
	reading.Wait()
	return late.Load()
}

// TestPastIsBounded: the past and the live blocks share the in-memory tail, and neither drives the other
// out.
func TestPastIsBounded(t *testing.T) {
	const limit = 512 << 10
	log, ids := spaced(t, 5000, time.Millisecond)
	tail := replay.NewTail(log, replay.TailOptions{Bytes: limit})
	defer tail.Close()
	live := subscribe(t, tail, filter(t, "b"), replay.Latest())
	drain(t, log, live)
	fresh := publish(t, log, slices.Repeat([]string{"b"}, limit/27)...) // more than fits
	for probe := subscribe(t, tail, filter(t, "b"), replay.Latest()); ; runtime.Gosched() {
		if _, ok := probe.TryNext(); ok {
			probe.Close()
			break // the tail has caught up
		}
	}
	subs := []*replay.Subscription{live}
	for range 3 {
		sub := subscribe(t, tail, filter(t, "a"), replay.Earliest())
		subs = append(subs, sub)
		var got []store.ID
		for len(got) < len(ids) {
			more, _ := next(t, sub)
			got = append(got, events(more)...)
			if bytes := tail.Stats().Bytes; bytes > limit {
				t.Fatalf("%d bytes in memory, the limit is %d", bytes, limit)
			}
		}
		if !slices.Equal(got, ids) {
			t.Fatalf("got %d events, want %d, the same", len(got), len(ids))
		}
	}
	sub := subscribe(t, tail, filter(t, "b"), replay.After(fresh[len(fresh)-400].String()))
	before := tail.Stats().LogReads
	if got := events(drain(t, log, sub)); !slices.Equal(got, fresh[len(fresh)-399:]) {
		t.Errorf("got %d of the newest events", len(got))
	}
	if reads := tail.Stats().LogReads - before; reads != 0 {
		t.Errorf("%d reads of the log for the newest events, want 0: the past has taken their place",
			reads)
	}
	for _, sub := range append(subs, sub) {
		sub.Close()
	}
	if stats := tail.Stats(); stats.Bytes != 0 || stats.Feeds != 0 {
		t.Errorf("after the last subscription: %+v, want nothing left", stats)
	}
}

// TestPastCounts: what a subscription got from the past counts as its own memory until its next read.
func TestPastCounts(t *testing.T) {
	log, _ := spaced(t, 1000, time.Millisecond)
	tail := replay.NewTail(log, replay.TailOptions{})
	defer tail.Close()
	drain(t, log, subscribe(t, tail, filter(t, "a"), replay.Earliest()))
	var held int64
	sub := subscribe(t, tail, filter(t, "a"), replay.Earliest())
	sub.Bound(func(bytes int64) bool { held = bytes; return true })
	for {
		chunk, err := sub.Next()
		if err != nil {
			t.Fatal(err)
		}
		size := 0
		for _, part := range chunk.Frames {
			size += len(part)
		}
		if held < int64(size) {
			t.Errorf("%d bytes are held of frames of %d", held, size)
		}
		if chunk.CaughtUp() {
			break
		}
	}
	if held != 0 {
		t.Errorf("%d bytes are held by who has caught up", held)
	}
	refused := subscribe(t, tail, filter(t, "a"), replay.Earliest())
	refused.Bound(func(bytes int64) bool { return bytes == 0 })
	if chunk, err := refused.Next(); err != nil || !chunk.NoRoom || len(chunk.Frames) > 0 {
		t.Errorf("without room: %+v, %v", chunk, err)
	}
}
