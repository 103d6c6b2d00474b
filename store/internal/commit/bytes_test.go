package commit_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tidings/store"
	"tidings/store/internal/commit"
)

func id(last byte) store.ID { return store.ID{15: last} }

// example has every kind of entry.
func example(t testing.TB) *commit.Commit {
	topics, err := store.NewFilter("a.>", "b")
	if err != nil {
		t.Fatal(err)
	}
	return &commit.Commit{
		After: id(1), Last: id(3), Epoch: store.Epoch{14}, Secret: &[32]byte{15},
		Topics: []commit.Topic{{Number: 5, Owner: commit.Owner{13}, Name: "a.b"}},
		Events: []commit.Event{
			{ID: id(2), Topic: 5, Draft: &store.Draft{Type: "t", ContentType: "c",
				Attributes: []store.Attribute{{Name: "n", Value: "v"}}, Data: []byte("data")}},
			{ID: id(3), Topic: 6, Draft: &store.Draft{}},
		},
		Trims: []commit.Trim{{Topic: 7, ID: id(8)}},
		Keys: []commit.Key{{Hash: commit.Hash{9}, Fingerprint: [16]byte{10}, First: id(2),
			Count: 11}},
		Forget: []store.ID{id(4)},
		Marks: []commit.Mark{
			{Subject: "s", Name: "n", Mark: store.Mark{ID: id(12), Topics: topics}},
			{Name: "d"}},
		Deliveries: []store.NamedDelivery{
			{Name: "p", Delivery: store.Delivery{ID: id(14), Record: []byte("{}")}},
			{Name: "q"}},
		Slots:  []commit.Slot{{Topic: 5, Subject: "s", ID: id(2)}, {Topic: 6, Subject: "s"}},
		Epochs: []commit.Began{{}, {After: id(4), Epoch: []byte("abcd")}},
		State:  &commit.StatePart{Writing: [8]byte{16}, Index: 17, Part: []byte("part")},
	}
}

// TestBytes compares the layout with docs/FORMAT.md byte by byte, and reads it back.
func TestBytes(t *testing.T) {
	z := "000000000000000000000000000000"
	want := "06" + "CRC" + z + "01" + z + "03" + // version, CRC, After, Last
		"0e000000" + "20" + "0f" + z + z + "00" + // Epoch, Secret
		"01" + "00000005" + "0d0000000000" + "03" + hex.EncodeToString([]byte("a.b")) + // topics
		"02" + // events
		z + "02" + "00000005" + "0174" + "0163" + "01" + "016e" + "0176" + "0464617461" +
		z + "03" + "00000006" + "00" + "00" + "00" + "00" +
		"01" + "00000007" + z + "08" + // trims
		"01" + "09" + z + "0a" + z + z + "02" + "0000000b" + // keys
		"01" + z + "04" + // keys to forget
		"02" + "0173" + "016e" + z + "0c" + "05" + hex.EncodeToString([]byte("a.> b")) + // marks
		"00" + "0164" + z + "00" + "00" +
		"02" + "0170" + z + "0e" + "01" + "027b7d" + // deliveries
		"0171" + z + "00" + "00" +
		"02" + "00000005" + "0173" + z + "02" + "00000006" + "0173" + z + "00" + // slots
		"02" + z + "00" + "00" + z + "04" + "0461626364" + // epochs
		"1000000000000000" + "00000011" + "00" + "0470617274" // state
	c := example(t)
	encoded, err := c.AppendBinary([]byte("before"))
	if err != nil || !bytes.HasPrefix(encoded, []byte("before")) {
		t.Fatalf("encode: %v, %q", err, encoded)
	}
	encoded = encoded[len("before"):]
	got := hex.EncodeToString(encoded)
	if got = got[:2] + "CRC" + got[10:]; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	decoded, err := commit.Decode(encoded)
	if err != nil {
		t.Fatal(err)
	}
	equal := []cmp.Option{cmpopts.EquateEmpty(), cmp.Comparer(func(a, b store.Filter) bool {
		return a.String() == b.String()
	})}
	if diff := cmp.Diff(c, decoded, equal...); diff != "" {
		t.Errorf("came back changed: %s", diff)
	}
}

// TestBytesOfClosing is TestBytes for the entry that ends a state.
func TestBytesOfClosing(t *testing.T) {
	z := "000000000000000000000000000000"
	c := &commit.Commit{State: &commit.StatePart{Index: 2, Closing: &commit.Closing{
		From: store.Place{Number: 3, Chain: [16]byte{15: 4}}, Floor: store.Place{Number: 5, Chain: [16]byte{15: 6}},
		Head: id(7)}}}
	encoded, _ := c.AppendBinary(nil)
	want := "0000000000000000" + "00000002" + "01" + "0000000000000003" + z + "04" + "0000000000000005" + z + "06" +
		z + "07"
	if got := hex.EncodeToString(encoded); !strings.HasSuffix(got, want) || encoded[0] != 6 {
		t.Errorf("got  %s\nwant 06 … %s", got, want)
	}
	decoded, err := commit.Decode(encoded)
	if diff := cmp.Diff(c, decoded, cmpopts.EquateEmpty()); diff != "" || err != nil {
		t.Errorf("came back changed: %s, error %v", diff, err)
	}
}

// TestBytesOfOlder: releases without state, epochs or slots read commits that have none.
func TestBytesOfOlder(t *testing.T) {
	c := example(t)
	with, _ := c.AppendBinary(nil)
	for _, older := range []struct {
		version byte
		drop    func()
	}{{5, func() { c.State = nil }}, {4, func() { c.Epochs = nil }}, {3, func() { c.Slots = nil }}} {
		older.drop()
		without, _ := c.AppendBinary(nil)
		if without[0] != older.version || !bytes.HasPrefix(with[5:], without[5:]) {
			t.Errorf("version %d, want %d: %x, with all %x", without[0], older.version, without, with)
		}
		got, err := commit.Decode(without)
		if err != nil || len(got.Epochs) != len(c.Epochs) || len(got.Slots) != len(c.Slots) || got.State != nil {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

// TestDecodeRefuses: a changed, missing or extra byte is refused.
func TestDecodeRefuses(t *testing.T) {
	encoded, _ := example(t).AppendBinary(nil)
	for i := range encoded {
		flipped := bytes.Clone(encoded)
		flipped[i] ^= 1
		if _, err := commit.Decode(flipped); !errors.Is(err, commit.ErrFormat) {
			t.Errorf("a bit of byte %d flipped: %v, want ErrFormat", i, err)
		}
		if _, err := commit.Decode(encoded[:i]); !errors.Is(err, commit.ErrFormat) {
			t.Errorf("%d bytes of %d: %v, want ErrFormat", i, len(encoded), err)
		}
	}
	if _, err := commit.Decode(append(encoded, 0)); !errors.Is(err, commit.ErrFormat) {
		t.Errorf("a byte too many: %v, want ErrFormat", err)
	}
}

// FuzzDecode: bytes with a valid checksum are decoded or refused, and what was decoded survives another
// round trip unchanged.
func FuzzDecode(f *testing.F) {
	encoded, _ := example(f).AppendBinary(nil)
	f.Add(encoded[5:])
	empty, _ := new(commit.Commit).AppendBinary(nil)
	f.Add(empty[5:])
	f.Fuzz(func(t *testing.T, rest []byte) {
		c, err := commit.Decode(commit.Seal(rest))
		if err != nil {
			return
		}
		once, _ := c.AppendBinary(nil)
		again, err := commit.Decode(once)
		if err != nil {
			t.Fatalf("decode what was encoded: %v", err)
		}
		if twice, _ := again.AppendBinary(nil); !bytes.Equal(once, twice) {
			t.Fatalf("%x became %x", once, twice)
		}
	})
}
