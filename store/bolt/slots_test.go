package bolt_test

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"tidings/store"
	"tidings/store/bolt"
)

// TestSlotBytes: a slot has the bytes that docs/FORMAT.md draws. A damaged one is named, and no condition on
// it holds: otherwise two could claim the same.
func TestSlotBytes(t *testing.T) {
	dir := t.TempDir()
	log := openAt(t, dir, bolt.Options{})
	draft := store.Draft{Topic: "$alerts.a", Type: "t", Attributes: []store.Attribute{{Name: "subject", Value: `"s"`}}}
	appendN(t, log, 1, "a")
	ids, err := store.Append(t.Context(), log, []store.Draft{draft})
	if err != nil {
		t.Fatal(err)
	}
	closeLog(t, log)
	if report := verify(t, dir); !report.Intact() || report.Slots != 1 {
		t.Errorf("report %+v, want one slot", report)
	}
	key := append(binary.BigEndian.AppendUint32(nil, 1), `"s"`...)
	alter(t, dir, func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("slots"))
		want := slices.Concat(key, ids[0][:])
		sum := crc32.Checksum(want, crc32.MakeTable(crc32.Castagnoli))
		value := slices.Concat(binary.BigEndian.AppendUint32(nil, sum), ids[0][:])
		if got := b.Get(key); !slices.Equal(got, value) {
			t.Errorf("the slot is %x, want %x", got, value)
		}
		value[10] ^= 1
		return b.Put(key, value)
	})
	if report := verify(t, dir); len(report.Problems) != 1 || !strings.Contains(report.Problems[0], "slot") {
		t.Errorf("report %+v, want the damaged slot", report)
	}
	log = openAt(t, dir, bolt.Options{})
	for _, newest := range []store.ID{{}, ids[0]} {
		_, err := log.AppendOnce(t.Context(), []store.Group{{Drafts: []store.Draft{draft}, Newest: &newest,
			Slot: true}})
		if !errors.Is(err, store.ErrCondition) {
			t.Errorf("on the condition that %s is in the damaged slot: %v", newest, err)
		}
	}
	if _, err := store.Append(t.Context(), log, []store.Draft{draft}); err != nil {
		t.Error(err)
	}
	closeLog(t, log)
	if report := verify(t, dir); !report.Intact() {
		t.Errorf("report %+v after another event went into the slot", report)
	}
}
