package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"tidings/store"
)

func concurrentCases() []Case {
	return []Case{
		{"concurrent/readers follow writers", concurrentReaders},
		{"concurrent/readers follow while others trim", concurrentTrim},
		{"concurrent/nothing follows the end of a topic", concurrentEnd},
	}
}

// errDone is the cause of a wait that ends because nothing more will be appended.
var errDone = errors.New("all writers are done")

// followed is what a reader saw that followed the log during writes.
type followed struct {
	filter  store.Filter
	events  []store.Event
	trimmed store.ID // the highest ID reported to it as trimmed
}

// follow reads like a subscriber: it reads what is there, then waits for more, until ctx ends and
// everything is read.
func (r *followed) follow(ctx context.Context, log store.Log) error {
	reader, position := log.NewReader(r.filter, store.ID{}), store.ID{}
	for {
		last := ctx.Err() != nil // before the read: nothing more will come after it
		before := log.Head()
		page, err := reader.Next(7)
		if err != nil {
			return err
		}
		switch head := log.Head(); {
		case head.Before(page.Through):
			return fmt.Errorf("through above the head: %s, the head is %s", page.Through, head)
		case page.Through.Before(position):
			return fmt.Errorf("through went back from %s to %s", position, page.Through)
		case page.Through == position && position.Before(before):
			return fmt.Errorf("reader makes no progress: through stays at %s, the head is %s",
				position, before)
		}
		position = page.Through
		r.events, r.trimmed = append(r.events, page.Events...), store.Later(r.trimmed, page.Trimmed)
		if len(page.Events) > 0 || page.Through.Before(log.Head()) {
			continue
		}
		if last {
			return nil
		}
		if err := log.Wait(ctx, page.Through); err != nil && !errors.Is(err, errDone) {
			return err
		}
	}
}

// write appends batches as several concurrent writers and returns the events in ID order. The data names
// writer and sequence number.
func write(t TB, log store.Log, writers, batches int) []store.Event {
	var mu sync.Mutex
	var events []store.Event
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			seq := 0
			for i := range batches {
				var batch []store.Draft
				for range 1 + (w+i)%3 {
					batch = append(batch, store.Draft{Topic: fmt.Sprintf("writer.%d.%d", w, seq%2),
						Data: fmt.Appendf(nil, "%d/%d", w, seq)})
					seq++
				}
				ids, err := store.Append(context.Background(), log, batch)
				if err != nil {
					t.Errorf("writer %d: %v", w, err)
					return
				}
				mu.Lock()
				for k, id := range ids {
					events = append(events, committed(id, batch[k]))
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.SortFunc(events, func(a, b store.Event) int { return a.ID.Compare(b.ID) })
	return events
}

// followers starts a reader for each of several filters. The returned function ends them once they have
// read everything, and returns what each saw.
func followers(t testing.TB, log store.Log) (finish func() []followed) {
	ctx, cancel := context.WithCancelCause(context.Background())
	var out []followed
	for _, patterns := range [][]string{{">"}, {"writer.3.*"}, {"*.*.1"},
		{"writer.0.0", "writer.7.>"}, {"nothing"}} {
		out = append(out, followed{filter: filter(t, patterns...)})
	}
	var wg sync.WaitGroup
	for i := range out {
		wg.Go(func() {
			if err := out[i].follow(ctx, log); err != nil {
				t.Errorf("reader of %q beside writers: %v", out[i].filter, err)
			}
		})
	}
	finish = func() []followed {
		cancel(errDone)
		within(t, "a reader that follows", wg.Wait)
		return out
	}
	t.Cleanup(func() { finish() }) // also when the case ends early
	return finish
}

func concurrentReaders(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	finish := followers(t, f)
	all := write(t, f, 8, 15)
	for _, r := range finish() {
		if d := difference(r.events, matching(all, r.filter, store.ID{})); d != "" {
			t.Fatalf("reader of %q beside writers: %s", r.filter, d)
		}
	}
	next := make(map[int]int)
	for _, e := range all {
		var writer, seq int
		if _, err := fmt.Sscanf(string(e.Data), "%d/%d", &writer, &seq); err != nil {
			t.Fatalf("data of event %s: %v", e.ID, err)
		}
		if seq != next[writer] {
			t.Fatalf("writer %d: its event %d lies where event %d was due", writer,
				seq, next[writer])
		}
		next[writer]++
	}
}

// concurrentTrim: whatever is trimmed meanwhile, a reader sees an ordered part of the log with all
// retained events, and every loss is reported to it.
func concurrentTrim(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	finish := followers(t, f)
	stop := make(chan struct{})
	var trimmer sync.WaitGroup
	odd := filter(t, "*.*.1")
	trimmer.Go(func() {
		for {
			if _, err := f.Trim(context.Background(), odd, f.Head()); err != nil {
				t.Errorf("trim beside writers: %v", err)
				return
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	all := write(t, f, 8, 15)
	close(stop)
	within(t, "trim beside writers", trimmer.Wait)

	kept := make(map[store.ID]bool)
	for _, e := range read(t, f, store.All(), store.ID{}).drain(pageSize) {
		kept[e.ID] = true
	}
	for _, r := range finish() {
		seen := make(map[store.ID]bool)
		for _, e := range r.events {
			seen[e.ID] = true
		}
		var want []store.Event
		for i, e := range matching(all, r.filter, store.ID{}) {
			switch {
			case seen[e.ID]:
				want = append(want, e)
			case kept[e.ID]:
				t.Fatalf("reader of %q beside a trim: skipped event %d, which was never trimmed",
					r.filter, i+1)
			case r.trimmed.Before(e.ID):
				t.Fatalf(
					"trimmed mark lost: reader of %q missed %s and was told of nothing above %s",
					r.filter, e.ID, r.trimmed)
			}
		}
		if d := difference(r.events, want); d != "" {
			t.Fatalf("reader of %q beside a trim: %s", r.filter, d)
		}
	}
}

// concurrentEnd: of the publishes that race with the end of a topic, those that succeed come before the
// end, and the others get ErrEnded. There are many, so that some share a commit with the end.
func concurrentEnd(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	const topics, publishers = 100, 8
	for i := range topics {
		topic := fmt.Sprintf("orders.%d", i)
		f.append(drafts(1, topic)...)
		var all sync.WaitGroup
		begin := make(chan struct{})
		publish := func(d store.Draft) {
			<-begin
			_, err := store.Append(context.Background(), f, []store.Draft{d})
			if err != nil && !errors.Is(err, store.ErrEnded) {
				t.Errorf("publish of %q beside an end: %v", d.Type, err)
			}
		}
		for n := range publishers {
			d := store.Draft{Topic: topic}
			if n == publishers/2 {
				d.Type = store.TypeEnd
			}
			all.Go(func() { publish(d) })
		}
		close(begin)
		all.Wait()
		if info := f.topic(topic); info.Ended.IsZero() || info.Last != info.Ended {
			t.Fatalf("%s ended at %s, but its last event is %s", topic, info.Ended, info.Last)
		}
	}
}
