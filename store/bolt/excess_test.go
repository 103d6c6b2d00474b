package bolt_test

import (
	"context"
	"sync"
	"testing"

	"go.etcd.io/bbolt"

	"tidings/store"
	"tidings/store/bolt"
)

// TestExcessOfDamage: a damaged record stays where it is and counts; nothing sound goes in its
// place.
func TestExcessOfDamage(t *testing.T) {
	dir := t.TempDir()
	log := openAt(t, dir, bolt.Options{})
	events := appendN(t, log, 10, "a")
	closeLog(t, log)
	alter(t, dir, func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("log"))
		value := append([]byte(nil), b.Get(events[0].ID[:])...)
		value[len(value)-1] ^= 1
		return b.Put(events[0].ID[:], value)
	})
	log = openAt(t, dir, bolt.Options{})
	defer closeLog(t, log)
	info, err := log.Info()
	if err != nil || info.Events != 10 {
		t.Fatalf("%d events, %v", info.Events, err)
	}
	for _, f := range []store.Filter{store.All(), filterOf(t, "a")} {
		for _, limit := range []struct{ events, bytes uint64 }{{events: 5},
			{bytes: info.Bytes / 2}} {
			if got, err := log.Excess(f, limit.events, limit.bytes); err != nil ||
				got != events[4].ID {
				t.Errorf("excess of %v over %+v: %s, %v, want the fifth of ten, %s", f, limit, got,
					err, events[4].ID)
			}
		}
	}
}

// TestExcessBesideTrim: whatever else is trimmed meanwhile, what the limit allows is not too much.
func TestExcessBesideTrim(t *testing.T) {
	log := openAt(t, t.TempDir(), bolt.Options{})
	defer closeLog(t, log)
	events := appendN(t, log, 600, "a", "b")
	var trims sync.WaitGroup
	defer trims.Wait()
	done := make(chan struct{})
	trims.Go(func() {
		defer close(done)
		for _, e := range events[:200] {
			if _, err := log.Trim(context.Background(), store.All(), e.ID); err != nil {
				t.Error(err)
			}
		}
	})
	for {
		got, err := log.Excess(store.All(), 200, 0)
		if err != nil || got != events[399].ID {
			t.Fatalf("more than 200 events are too many up to %s, %v, want %s", got,
				err, events[399].ID)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}
