package bolt_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"go.etcd.io/bbolt"

	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/storetest"
)

// TestExcessOfDamage: a damaged record stays where it is and counts; no intact one is deleted in its place.
func TestExcessOfDamage(t *testing.T) {
	for name, limit := range map[string]func(store.Info) store.Limits{
		"events": func(store.Info) store.Limits { return store.Limits{Events: 5} },
		"bytes":  func(info store.Info) store.Limits { return store.Limits{Bytes: info.Bytes / 2} },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			log := openAt(t, dir, bolt.Options{})
			events := appendN(t, log, 10, "a")
			closeLog(t, log)
			alter(t, dir, func(tx *bbolt.Tx) error {
				b := tx.Bucket([]byte("log"))
				value := slices.Clone(b.Get(events[0].ID[:]))
				value[len(value)-1] ^= 1
				return b.Put(events[0].ID[:], value)
			})
			log = openAt(t, dir, bolt.Options{})
			defer closeLog(t, log)
			info, err := log.Info()
			if err != nil || info.Events != 10 {
				t.Fatalf("%d events, %v", info.Events, err)
			}
			keep := store.Retention{Whole: limit(info)}
			if n, err := log.Retain(t.Context(), keep); err != nil || n != 4 {
				t.Errorf("deleted %d events, %v, want four of the five oldest", n, err)
			}
			got, corrupt := drain(t, log, store.All(), store.ID{}, 100)
			if len(got) != 5 || got[0].ID != events[5].ID || len(corrupt) != 1 {
				t.Errorf("%d events are left and %d damaged, want five and one", len(got),
					len(corrupt))
			}
			if n, err := log.Retain(t.Context(), keep); err != nil || n != 0 {
				t.Errorf("deleted %d more, %v, want none", n, err)
			}
		})
	}
}

// TestExcessBesideTrim: whatever else is trimmed and appended meanwhile, what the limit of the whole log
// allows stays. The trims work ahead of where the excess is being counted.
func TestExcessBesideTrim(t *testing.T) {
	const kept, rounds = 300, 2
	log := openAt(t, t.TempDir(), bolt.Options{})
	for range rounds {
		appendN(t, log, 20_000, "b")
		events := appendN(t, log, 6000, "a", "b")
		var others sync.WaitGroup
		begun := make(chan struct{})
		others.Go(func() {
			for at := 0; at < 5000; at += 50 {
				if at == 100 {
					close(begun)
				}
				if _, err := log.Trim(context.Background(), filterOf(t, "a"),
					events[at].ID); err != nil {
					t.Error(err)
				}
			}
		})
		others.Go(func() { appendAll(t, log, store.Draft{Topic: "b"}) })
		<-begun
		for range 2 {
			if _, err := log.Retain(context.Background(),
				store.Retention{Whole: store.Limits{Events: kept}}); err != nil {
				t.Fatal(err)
			}
			others.Wait()
			if info, err := log.Info(); err != nil || info.Events < kept || info.Events > kept+1 {
				t.Fatalf("%d events are left, %v, want %d", info.Events, err, kept)
			}
		}
	}
	storetest.Check(t, log)
}

// TestExcessPassesOnce: events kept in spite of the limits of the whole log are examined by at most two
// passes, until some of them need not be kept any more.
func TestExcessPassesOnce(t *testing.T) {
	log := openAt(t, t.TempDir(), bolt.Options{})
	defer closeLog(t, log)
	events := appendN(t, log, 3000, "a", "b")
	asked := 0
	from := events[100].ID
	pass := func(deletes, atMost int) {
		t.Helper()
		asked = 0
		n, err := log.Retain(t.Context(), store.Retention{Whole: store.Limits{Events: 10},
			Keep: func(topic string) store.ID {
				asked++
				if topic == "a" {
					return from
				}
				return store.ID{}
			}})
		if err != nil || n != deletes || asked > atMost {
			t.Fatalf("deleted %d events, %v, and asked %d times; want %d and at most %d", n, err, asked, deletes, atMost)
		}
	}
	pass(50+1495, 3000) // all but the newest ten, and those kept of a
	pass(0, 3000)
	pass(0, 10)
	appendN(t, log, 4, "b")
	pass(2, 10) // two of b leave the newest ten, and two of a, which are kept
	from = events[200].ID
	pass(50, 3000)
	storetest.Check(t, log)
}
