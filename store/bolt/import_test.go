package bolt_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"testing"

	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/storetest"
)

func listed(events []store.Event) iter.Seq2[store.Event, error] {
	return func(yield func(store.Event, error) bool) {
		for _, e := range events {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// TestImport: the events are those of the other log, and new events come after them.
func TestImport(t *testing.T) {
	from := openAt(t, t.TempDir(), bolt.Options{})
	events := appendN(t, from, 2500, "a", "b")
	events = append(events, appendAll(t, from, store.Draft{Topic: "b", Type: store.TypeEnd})...)
	events[2500].Type = store.TypeEnd
	events = append(events, appendN(t, from, 500, "a")...)
	dir := t.TempDir()
	log := openAt(t, dir, bolt.Options{})
	if n, err := log.Import(context.Background(), listed(events)); err != nil || n != len(events) ||
		log.Head() != from.Head() {
		t.Fatalf("%d events up to %s, error %v; want %d up to %s", n, log.Head(),
			err, len(events), from.Head())
	}
	if _, ended := log.Ended(filterOf(t, "b")); !ended {
		t.Error("b has not ended")
	}
	expect(t, log, filterOf(t, "b"), events[100].ID, events)
	events = append(events, appendN(t, log, 300, "a", "c")...)
	expect(t, log, store.All(), store.ID{}, events)
	storetest.Check(t, log)
	closeLog(t, log)
	if report := verify(t, dir); !report.Intact() {
		t.Errorf("report %+v", report)
	}
}

func TestImportRefuses(t *testing.T) {
	log := openAt(t, t.TempDir(), bolt.Options{})
	events := appendN(t, log, 3, "a")
	if _, err := log.Import(context.Background(), listed(events)); !errors.Is(err, bolt.ErrExists) {
		t.Errorf("into a log with events: %v, want %v", err, bolt.ErrExists)
	}
	slices.Reverse(events[1:])
	empty := openAt(t, t.TempDir(), bolt.Options{})
	if n, err := empty.Import(context.Background(), listed(events)); !errors.Is(err,
		store.ErrInvalid) || n != 2 {
		t.Errorf("out of order: %d, %v; want 2, %v", n, err, store.ErrInvalid)
	}
	expect(t, empty, store.All(), store.ID{}, events[:2])
}
