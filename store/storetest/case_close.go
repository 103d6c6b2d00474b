package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"

	"tidings/store"
)

func closeCases() []Case {
	return []Case{
		{"close/only the first does something", closeTwice},
		{"close/append is refused after it", closeAppend},
		{"close/reads after it return errors", closeReads},
		{"close/appends under way are stored or refused", closeQueued},
	}
}

func closeTwice(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	want := f.append(drafts(3, "orders")...)
	log := f.Log
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := log.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
	within(t, "close by several", wg.Wait)
	f.reopen() // closes once more
	f.expect(store.All(), store.ID{}, want)
	if err := log.Close(); err != nil {
		t.Fatalf("close of a log that was opened again since: %v", err)
	}
	f.append(drafts(1, "orders")...)
}

func closeAppend(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	want := f.append(drafts(3, "orders")...)
	f.close()
	within(t, "append after close", func() {
		if ids, err := store.Append(context.Background(), f, drafts(1, "orders")); !errors.Is(err,
			store.ErrClosed) || len(ids) > 0 {
			t.Errorf("append after close returned %v, %v; want ErrClosed", ids, err)
		}
		if n, err := f.Trim(context.Background(), store.All(), store.MaxID); !errors.Is(err,
			store.ErrClosed) || n > 0 {
			t.Errorf("trim after close returned %d, %v; want ErrClosed", n, err)
		}
	})
	f.reopen()
	f.expect(store.All(), store.ID{}, want)
}

// closeReads: a closed log gives no answer, which is not the same as "not found" or "nothing there yet".
func closeReads(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	events := f.append(drafts(3, "orders")...)
	r := f.NewReader(store.All(), store.ID{})
	if _, err := r.Next(1); err != nil {
		t.Fatal(err)
	}
	atHead := read(t, f, store.All(), store.ID{})
	atHead.expect(pageSize, events)
	f.close()
	calls := map[string]func() error{
		"next of an old reader": func() error { _, err := r.Next(1); return err },
		"next at the head":      func() error { _, err := atHead.reader.Next(1); return err },
		"next of a new reader": func() error {
			_, err := f.NewReader(store.All(), store.ID{}).Next(
				1)
			return err
		},
		"get": func() error { _, err := f.Get(events[0].ID); return err },
		"newest": func() error {
			_, err := f.Newest(store.All(), store.MaxID, 1, math.MaxInt)
			return err
		},
		"floor":   func() error { _, err := f.Floor(store.MaxID); return err },
		"resolve": func() error { _, _, err := f.Resolve(store.MaxID); return err },
		"info":    func() error { _, err := f.Info(); return err },
	}
	within(t, "a call after close", func() {
		for name, call := range calls {
			if err := call(); err == nil || errors.Is(err, store.ErrNotFound) ||
				errors.Is(err, store.ErrCorrupt) {
				t.Errorf("%s after close returned %v; want an error that says why", name, err)
			}
		}
		f.Head()
		f.Trimmed()
		for range f.Topics(store.All()) {
			break
		}
	})
}

// closeQueued closes while writers append. The next open finds exactly what was reported as stored.
func closeQueued(t testing.TB, open Factory) {
	const writers, before = 8, 40
	f := start(t, open, Options{})
	var mu sync.Mutex
	stored := make(map[string]store.ID) // by the data of the events that Append returned IDs for
	var closed atomic.Bool
	acknowledged := make(chan struct{}, before)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := 0; ; i++ {
				after := closed.Load()
				batch := []store.Draft{
					{Topic: "orders", Data: fmt.Appendf(nil, "%d/%d/first", w, i)},
					{Topic: "tickets", Data: fmt.Appendf(nil, "%d/%d/second", w, i)},
				}
				ids, err := store.Append(context.Background(), f, batch)
				if err != nil {
					if !errors.Is(err, store.ErrClosed) {
						t.Errorf("append to a log that is closing: %v; want ErrClosed", err)
					}
					return
				}
				if after {
					t.Errorf("append after close returned %v and no error", ids)
					return
				}
				mu.Lock()
				for k, id := range ids {
					stored[string(batch[k].Data)] = id
				}
				mu.Unlock()
				select {
				case acknowledged <- struct{}{}:
				default:
				}
			}
		})
	}
	within(t, "append by many", func() {
		for range before {
			<-acknowledged
		}
	})
	f.close()
	closed.Store(true)
	within(t, "append to a log that is closing", wg.Wait)

	f.reopen()
	for _, e := range read(t, f, store.All(), store.ID{}).drain(pageSize) {
		if id, ok := stored[string(e.Data)]; !ok || id != e.ID {
			t.Fatalf("event %s (%s) is in the log, but its append was refused or returned %s",
				e.ID, e.Data, id)
		}
		delete(stored, string(e.Data))
	}
	for data, id := range stored {
		t.Fatalf("event %s (%s) lost: append returned its ID, the log does not have it", id, data)
	}
}
