package storetest

import (
	"context"
	"errors"
	"testing"

	"tidings/store"
)

func waitCases() []Case {
	return []Case{
		{"wait/returns at once when the head is above", waitAbove},
		{"wait/returns whenever the head moves", waitMoves},
		{"wait/wakes everybody", waitEverybody},
		{"wait/does not return for a head that is not above", waitNotAbove},
		{"wait/ends with the cause of its context", waitCause},
		{"wait/ends on close", waitClose},
	}
}

func waitAbove(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	events := f.append(drafts(3, "orders")...)
	for _, after := range []store.ID{{}, events[0].ID, events[1].ID, events[2].ID.Prev()} {
		var err error
		within(t, "wait for a head that is there", func() {
			err = f.Wait(context.Background(), after)
		})
		if err != nil {
			t.Fatalf("wait after %s below the head: %v", after, err)
		}
	}
}

// waitMoves appends as soon as the waiter has seen the previous append, so that appends meet every stage of
// a Wait; a lost wake-up leaves the waiter hanging.
func waitMoves(t testing.TB, open Factory) {
	const rounds = 50
	f := start(t, open, Options{})
	seen := make(chan error, 1)
	go func() {
		defer close(seen)
		for range rounds {
			head := f.Head()
			seen <- nil // ready for the next append
			if err := f.Wait(context.Background(), head); err != nil {
				seen <- err
				return
			}
			if !head.Before(f.Head()) {
				seen <- errors.New("wait returned, but the head is where it was")
				return
			}
		}
	}()
	within(t, "wait for an append", func() {
		for err := range seen {
			if err != nil {
				t.Errorf("wait: %v", err)
				continue
			}
			if _, err := store.Append(context.Background(), f, drafts(1, "orders")); err != nil {
				t.Errorf("append: %v", err)
			}
		}
	})
}

func waitEverybody(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	head := f.append(drafts(1, "orders")...)[0].ID
	const waiters = 32
	results := make(chan error, waiters)
	for range waiters {
		go func() { results <- f.Wait(context.Background(), head) }()
	}
	f.append(drafts(1, "orders")...)
	within(t, "wait of many for one append", func() {
		for range waiters {
			if err := <-results; err != nil {
				t.Errorf("wait: %v", err)
			}
		}
	})
}

func waitNotAbove(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	cause := errors.New("enough waited")
	ctx, cancel := context.WithCancelCause(t.Context())
	result := make(chan error, 1)
	go func() { result <- f.Wait(ctx, store.MaxID) }()
	for range 5 {
		f.append(drafts(1, "orders")...)
	}
	cancel(cause)
	within(t, "wait with an ended context", func() {
		if err := <-result; !errors.Is(err, cause) {
			t.Errorf("wait for a head above the highest ID returned %v; want the cause %q", err,
				cause)
		}
	})
}

func waitCause(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	cause := errors.New("client went away")
	for _, when := range []string{"before", "during"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		result := make(chan error, 1)
		if when == "before" {
			cancel(cause)
		}
		go func() { result <- f.Wait(ctx, f.Head()) }()
		cancel(cause)
		within(t, "wait with a context ended "+when, func() {
			if err := <-result; !errors.Is(err, cause) {
				t.Errorf("wait with a context ended %s it returned %v; want the cause %q",
					when, err, cause)
			}
		})
	}
}

func waitClose(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	head := f.append(drafts(1, "orders")...)[0].ID
	const waiters = 8
	results := make(chan error, waiters)
	for range waiters {
		go func() { results <- f.Wait(context.Background(), head) }()
	}
	f.close()
	within(t, "wait on a closed log", func() {
		for range waiters {
			if err := <-results; !errors.Is(err, store.ErrClosed) {
				t.Errorf("wait on a log that is closed returned %v; want ErrClosed", err)
			}
		}
		if err := f.Wait(context.Background(), head); !errors.Is(err, store.ErrClosed) {
			t.Errorf("wait after close returned %v; want ErrClosed", err)
		}
	})
}
