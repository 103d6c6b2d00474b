package bolt_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"testing"

	"go.etcd.io/bbolt"

	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/storetest"
)

// resolve expects that an ID is, or is not, a known position, and returns the position before it.
func resolve(t *testing.T, log *bolt.Log, id store.ID, want bool) store.ID {
	t.Helper()
	floor, known, err := log.Resolve(id)
	if err != nil || known != want {
		t.Errorf("%s is known: %t (%v), want %t", id, known, err, want)
	}
	return floor
}

// TestResolveWhileTrimming: during the trim's last fsync, the mark and the absence of the records are of the
// same moment, for those who resume and for those who read.
func TestResolveWhileTrimming(t *testing.T) {
	committed, proceed := make(chan struct{}), make(chan struct{})
	log := openAt(t, t.TempDir(), bolt.Committed(bolt.Options{}, func() {
		committed <- struct{}{}
		<-proceed
	}))
	step := func(during func(), do func() error) {
		t.Helper()
		done := make(chan error, 1)
		go func() { done <- do() }()
		<-committed
		during()
		proceed <- struct{}{}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	nothing := func() {}
	var events []store.Event
	for _, topic := range []string{"w", "x", "x", "x", "y"} {
		step(nothing, func() error {
			events = append(events, appendAll(t, log, store.Draft{Topic: topic})...)
			return nil
		})
	}
	last, end := events[3].ID, events[4].ID
	check := func() {
		if floor := resolve(t, log, last, true); floor != events[0].ID && floor != last {
			t.Errorf("%s goes on after %s", last, floor)
		}
		resolve(t, log, events[2].ID, true)
		for _, f := range []store.Filter{filterOf(t, "x", "w"), filterOf(t, "x"), store.All()} {
			page, err := log.NewReader(f, last).Next(10)
			if err != nil || !page.Trimmed.IsZero() {
				t.Errorf("%s after %s: trimmed %s (%v), want none", f, last, page.Trimmed, err)
			}
			if page, err = log.NewReader(f, events[2].ID).Next(10); err != nil ||
				page.Trimmed != last {
				t.Errorf("%s after %s: trimmed %s (%v), want %s", f, events[2].ID, page.Trimmed,
					err, last)
			}
			if n, err := log.Count(f, last, 10); err != nil || f.Match("y") != (n == 1) {
				t.Errorf("%s after %s: %d events (%v)", f, last, n, err)
			}
		}
	}
	step(check, func() error {
		_, err := log.Trim(context.Background(), filterOf(t, "x"), end)
		return err
	})
	check()
	go func() { // what Close commits
		for range committed {
			proceed <- struct{}{}
		}
	}()
	closeLog(t, log)
	close(committed)
}

// TestEpochs: each open that stores something has an epoch, of which the newest are kept. IDs minted before
// them are known as long as they are retained.
func TestEpochs(t *testing.T) {
	dir := t.TempDir()
	var events []store.Event
	for range 5 {
		log := openAt(t, dir, bolt.Options{})
		events = append(events, appendN(t, log, 3, "a")...)
		closeLog(t, log)
		closeLog(t, openAt(t, dir, bolt.Options{})) // which stores nothing
	}
	if n := countEpochs(t, dir); n != 5 {
		t.Errorf("%d epochs, want 5", n)
	}
	log := openAt(t, dir, bolt.Options{})
	if _, err := log.Trim(context.Background(), store.All(), events[14].ID); err != nil {
		t.Fatal(err)
	}
	for i, e := range events {
		resolve(t, log, e.ID, true)
		next, _ := e.ID.Next()
		resolve(t, log, next, i%3 < 2) // no ID of an epoch follows its last one
	}
	closeLog(t, log)

	fillEpochs(t, dir, events[8].ID) // up to the newest of the first three
	log = openAt(t, dir, bolt.Options{})
	events = append(events, appendN(t, log, 1, "a")...)
	if floor := resolve(t, log, events[4].ID, false); !floor.IsZero() && !floor.Before(events[4].ID) {
		t.Errorf("goes on after %s", floor)
	}
	for _, e := range events[9:] {
		resolve(t, log, e.ID, true)
	}
	storetest.Check(t, log)
	closeLog(t, log)
	if n := countEpochs(t, dir); n != 4096 {
		t.Errorf("%d epochs, want 4096", n)
	}
	if report := verify(t, dir); !report.Intact() {
		t.Errorf("report %+v", report)
	}
}

// TestEpochDamaged: a damaged epoch confirms no ID, and verify reports it.
func TestEpochDamaged(t *testing.T) {
	dir := t.TempDir()
	log := openAt(t, dir, bolt.Options{})
	events := appendN(t, log, 3, "a")
	closeLog(t, log)
	editEpochs(t, dir, func(b *bbolt.Bucket) error {
		k, v := b.Cursor().First()
		return b.Put(k, append([]byte{v[0] ^ 1}, v[1:]...))
	})
	if report := verify(t, dir); report.Intact() {
		t.Error("verify finds nothing wrong")
	}
	log = openAt(t, dir, bolt.Options{})
	defer closeLog(t, log)
	if _, err := log.Trim(context.Background(), store.All(), events[2].ID); err != nil {
		t.Fatal(err)
	}
	resolve(t, log, events[0].ID, false)
	resolve(t, log, events[1].ID, true) // the newest trimmed ID
	resolve(t, log, events[2].ID, true)
}

// TestEpochOfOlderRelease: an ID among those minted before there were epochs is a position, as it was then;
// IDs minted now are distinguished from lost ones.
func TestEpochOfOlderRelease(t *testing.T) {
	dir := t.TempDir()
	unpackFixture(t, 1, dir)
	log := openAt(t, dir, bolt.Options{Now: fixtureTime})
	defer func() { closeLog(t, log) }()
	below := log.Trimmed().Prev()
	check := func() { t.Helper(); resolve(t, log, below, true) }
	check()
	closeLog(t, log)
	file, err := os.ReadFile(logFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	log = openAt(t, dir, bolt.Options{Now: fixtureTime})
	lost := appendN(t, log, 3, "a")
	check()
	closeLog(t, log)
	if err := os.WriteFile(logFile(dir), file, 0o600); err != nil {
		t.Fatal(err)
	}
	log = openAt(t, dir, bolt.Options{})
	check()
	events := appendN(t, log, 3, "a")
	if _, err := log.Trim(context.Background(), filterOf(t, "a"), events[2].ID); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		resolve(t, log, lost[i].ID, false)
		resolve(t, log, events[i].ID, true)
	}
}

func countEpochs(t *testing.T, dir string) (n int) {
	t.Helper()
	editEpochs(t, dir, func(b *bbolt.Bucket) error {
		return b.ForEach(func(k, v []byte) error { n++; return nil })
	})
	return n
}

// fillEpochs adds the maximum number of epochs, at and below the ID.
func fillEpochs(t *testing.T, dir string, id store.ID) {
	t.Helper()
	editEpochs(t, dir, func(b *bbolt.Bucket) error {
		for i := range uint32(4096) {
			key := id
			binary.BigEndian.PutUint32(key[12:], binary.BigEndian.Uint32(id[12:])-i)
			if b.Get(key[:]) != nil {
				continue
			}
			if err := b.Put(key[:], sealed(key[:], fmt.Appendf(nil, "%04d", i%10000))); err != nil {
				return err
			}
		}
		return nil
	})
}

func editEpochs(t *testing.T, dir string, edit func(*bbolt.Bucket) error) {
	t.Helper()
	db, err := bbolt.Open(logFile(dir), 0o600, &bbolt.Options{NoFreelistSync: true,
		FreelistType: bbolt.FreelistMapType})
	if err == nil {
		err = db.Update(func(tx *bbolt.Tx) error { return edit(tx.Bucket([]byte("epochs"))) })
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
