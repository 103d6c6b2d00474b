package replay_test

import (
	"testing"

	"tidings/replay"
	"tidings/store"
)

// trimmedMeanwhile is a log of which a filter is trimmed after the first look for the newest
// events.
type trimmedMeanwhile struct {
	store.Log
	t      *testing.T
	filter store.Filter
	done   bool
}

func (l *trimmedMeanwhile) Newest(f store.Filter, before store.ID, n int) (store.ID, error) {
	position, err := l.Log.Newest(f, before, n)
	if !l.done {
		l.done = true
		if _, err := l.Trim(l.t.Context(), l.filter, store.MaxID); err != nil {
			l.t.Error(err)
		}
	}
	return position, err
}

// TestBackPastTrim: what is trimmed while it is read does not hide what is older and still there.
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
