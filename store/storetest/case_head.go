package storetest

import (
	"testing"

	"tidings/store"
)

func headCases() []Case {
	return []Case{
		{"head/zero while nothing was appended", headEmpty},
		{"head/the last ID", headLast},
		{"head/survives the trimming of its event", headTrimmed},
	}
}

func headEmpty(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	for range 2 {
		if head := f.Head(); !head.IsZero() {
			t.Fatalf("head of an empty log is %s", head)
		}
		if trimmed := f.Trimmed(); !trimmed.IsZero() {
			t.Fatalf("an empty log was trimmed up to %s", trimmed)
		}
		f.trim(store.All(), store.MaxID, 0)
		f.expect(store.All(), store.ID{}, nil)
		f.expect(store.All(), store.MaxID, nil)
		f.reopen()
	}
}

func headLast(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	for i := range 5 {
		batch := f.append(drafts(1+i, "orders", "tickets")...)
		f.expectHead("after an append", batch[i].ID)
		f.reopen()
		f.expectHead("after a reopen", batch[i].ID)
	}
}

func headTrimmed(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	events := f.append(drafts(6, "orders", "tickets")...)
	head := events[5].ID
	f.trim(filter(t, "tickets"), store.MaxID, 3)
	f.expectHead("after its event was trimmed", head)
	f.trim(store.All(), store.MaxID, 3)
	f.expectHead("after everything was trimmed", head)
	f.reopen()
	f.expectHead("after everything was trimmed and the log reopened", head)
	f.expect(store.All(), store.ID{}, nil)
}

func (f *fixture) expectHead(when string, want store.ID) {
	f.t.Helper()
	if got := f.Head(); got != want {
		f.t.Fatalf("head lost %s: %s, want %s", when, got, want)
	}
}
