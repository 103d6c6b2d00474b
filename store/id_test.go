package store_test

import (
	"testing"
	"time"

	"tidings/store"
)

// TestIDOfTime: no time gives an ID above MaxID, although a ULID has room for them.
func TestIDOfTime(t *testing.T) {
	last := store.MaxID.Time()
	for _, c := range []struct {
		at        time.Time
		first     store.ID // unless in
		mints, in bool     // in: an ID can have this time
	}{
		{at: time.Unix(-1, 0), mints: true},
		{at: time.Unix(0, 0), mints: true, in: true},
		{at: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), mints: true, in: true},
		{at: last, mints: true, in: true},
		{at: last.Add(time.Millisecond), first: store.MaxID},
		{at: time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC), first: store.MaxID},
		{at: time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC), first: store.MaxID},
	} {
		first := store.FirstIDAt(c.at)
		if store.MaxID.Before(first) || !c.in && first != c.first || c.in && !first.Time().Equal(c.at) {
			t.Errorf("%v: the first ID is %s of %v", c.at, first, first.Time())
		}
		minted, err := store.NewID(c.at)
		if (err == nil) != c.mints || store.MaxID.Before(minted) || c.mints && minted.Before(first) {
			t.Errorf("%v: minted %s (%v)", c.at, minted, err)
		}
	}
}
