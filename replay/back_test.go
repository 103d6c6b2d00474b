package replay_test

import (
	"fmt"
	"testing"

	"tidings/replay"
	"tidings/store"
)

// trimmedMeanwhile is a log that trims a filter after the first look for the newest events.
type trimmedMeanwhile struct {
	store.Log
	t      *testing.T
	filter store.Filter
	done   bool
}

func (l *trimmedMeanwhile) Newest(f store.Filter, before store.ID, n,
	maxBytes int) (store.ID, error) {
	position, err := l.Log.Newest(f, before, n, maxBytes)
	if !l.done {
		l.done = true
		if _, err := l.Trim(l.t.Context(), l.filter, store.MaxID); err != nil {
			l.t.Error(err)
		}
	}
	return position, err
}

// TestBackPastTrim: events trimmed during the read do not hide older ones that are retained.
func TestBackPastTrim(t *testing.T) {
	eachTail(t, func(t *testing.T, log store.Log, _ *replay.Tail) {
		var want []store.ID
		for range 20 {
			want = append(want, publish(t, log, "old")...)
		}
		for range 20 {
			publish(t, log, "new")
		}
		page, err := replay.Back(&trimmedMeanwhile{Log: log, t: t, filter: filter(t, "new")},
			filter(t, "old", "new"), store.MaxID, 100, 1<<20)
		if err != nil || len(page.Events) != len(want) || page.Events[0].ID != want[0] ||
			!page.Older.IsZero() {
			t.Errorf("%d events, older %s, gap %v (%v), want the %d that are left",
				len(page.Events), page.Older, page.Gap, err, len(want))
		}
	})
}

// countingLog counts the looks for the newest events.
type countingLog struct {
	store.Log
	looks int
}

func (l *countingLog) Newest(f store.Filter, before store.ID, n, maxBytes int) (store.ID, error) {
	l.looks++
	return l.Log.Newest(f, before, n, maxBytes)
}

// TestBackLooksOnce: a page of the newest events is found in one go, whether its number or its bytes
// limit it.
func TestBackLooksOnce(t *testing.T) {
	const events, size = 1500, 1000
	log := &countingLog{Log: newLog(t)}
	drafts := make([]store.Draft, events)
	for i := range drafts {
		drafts[i] = store.Draft{Topic: fmt.Sprintf("u.%d", i%300), Data: make([]byte, size)}
	}
	ids, err := store.Append(t.Context(), log, drafts)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ n, maxBytes, most int }{{1000, 1 << 30, 1}, {1000, 300 * size, 4}} {
		log.looks = 0
		page, err := replay.Back(log, filter(t, "u.*"), store.MaxID, c.n, c.maxBytes)
		got := len(page.Events)
		if err != nil || got == 0 || got > c.n || got > c.maxBytes/size ||
			got < min(c.n, c.maxBytes/size*9/10) ||
			page.Events[got-1].ID != ids[events-1] || page.Older != ids[events-got] {
			t.Fatalf("the newest %d in %d bytes: %d, older %s (%v)", c.n, c.maxBytes, got, page.Older, err)
		}
		if log.looks > c.most {
			t.Errorf("the newest %d in %d bytes took %d looks, want at most %d", c.n, c.maxBytes, log.looks,
				c.most)
		}
	}
}
