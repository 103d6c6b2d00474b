package bolt_test

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"tidings/store"
	"tidings/store/bolt"
)

func shopAt(id store.ID) []store.NamedDelivery {
	return []store.NamedDelivery{{Name: "shop", Delivery: store.Delivery{ID: id, Record: []byte("{}")}}}
}

// TestDeliveryRides: progress that rides costs no commit of its own while others commit, and one after half a
// second when nobody does.
func TestDeliveryRides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := openAt(t, t.TempDir(), bolt.Options{})
		id := appendN(t, log, 1, "a")[0].ID
		before, began := log.Stats().Commits.Count, time.Now()
		stored := make(chan error, 1)
		ride := func() { stored <- log.SetDeliveries(context.Background(), shopAt(id), true) }
		go ride()
		synctest.Wait()
		appendN(t, log, 1, "a")
		if err := <-stored; err != nil || time.Since(began) > 0 {
			t.Errorf("with an append: %v after %v, want at once", err, time.Since(began))
		}
		if n := log.Stats().Commits.Count - before; n != 1 {
			t.Errorf("an append and a delivery took %d commits, want 1", n)
		}
		go ride()
		if err := <-stored; err != nil || time.Since(began) != time.Second/2 {
			t.Errorf("alone: %v after %v, want after half a second", err, time.Since(began))
		}
		if n := log.Stats().Commits.Count - before; n != 2 {
			t.Errorf("%d commits, want 2", n)
		}
		closeLog(t, log)
	})
}

// TestRowsBesideDeliveries: a row whose name continues after a zero byte is kept like a delivery, and not
// counted as one.
func TestRowsBesideDeliveries(t *testing.T) {
	dir := t.TempDir()
	log := openAt(t, dir, bolt.Options{})
	rows := shopAt(appendN(t, log, 1, "a")[0].ID)
	rows = append(rows, rows[0])
	rows[1].Name = strings.Repeat("n", 255) + "\x00" + rows[1].ID.String()
	if err := log.SetDeliveries(t.Context(), rows, false); err != nil {
		t.Fatal(err)
	}
	if list, err := log.Deliveries(); err != nil || len(list) != 2 {
		t.Errorf("%d rows (%v), want 2", len(list), err)
	}
	closeLog(t, log)
	if report := verify(t, dir); !report.Intact() || report.Deliveries != 1 {
		t.Errorf("%d deliveries %v, want 1", report.Deliveries, report.Problems)
	}
}

// TestDeliveryBytes: a delivery has the bytes that docs/FORMAT.md draws, and a damaged one is named and
// listed, and can be set again.
func TestDeliveryBytes(t *testing.T) {
	dir := t.TempDir()
	log := openAt(t, dir, bolt.Options{})
	id := appendN(t, log, 1, "a")[0].ID
	if err := log.SetDeliveries(t.Context(), shopAt(id), false); err != nil {
		t.Fatal(err)
	}
	closeLog(t, log)
	if report := verify(t, dir); !report.Intact() || report.Deliveries != 1 {
		t.Errorf("report %+v, want one delivery", report)
	}
	alter(t, dir, func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("deliveries"))
		want := slices.Concat([]byte("shop"), id[:], []byte("{}"))
		sum := crc32.Checksum(want, crc32.MakeTable(crc32.Castagnoli))
		value := slices.Concat(binary.BigEndian.AppendUint32(nil, sum), want[len("shop"):])
		if got := b.Get([]byte("shop")); !slices.Equal(got, value) {
			t.Errorf("the record is %x, want %x", got, value)
		}
		value[10] ^= 1
		return b.Put([]byte("shop"), value)
	})
	if report := verify(t, dir); len(report.Problems) != 1 || !strings.Contains(report.Problems[0], `"shop"`) {
		t.Errorf("report %+v, want the damaged delivery", report)
	}
	log = openAt(t, dir, bolt.Options{})
	defer closeLog(t, log)
	list, err := log.Deliveries()
	if err != nil || len(list) != 1 || list[0].Name != "shop" || list[0].Record != nil {
		t.Errorf("deliveries %v (%v), want a damaged one", list, err)
	}
	if err := log.SetDeliveries(t.Context(), shopAt(id), false); err != nil {
		t.Error(err)
	}
	if list, _ := log.Deliveries(); len(list) != 1 || list[0].ID != id {
		t.Errorf("set again: %v", list)
	}
}
