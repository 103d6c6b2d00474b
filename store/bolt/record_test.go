package bolt_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.etcd.io/bbolt"

	"tidings/store"
	"tidings/store/bolt"
)

// FuzzAppend: an event is returned byte for byte as it was published, by its ID and from a reader.
func FuzzAppend(f *testing.F) {
	f.Add("order.created", "application/json", "source", "/shop", "x", "", []byte(`{"order":1}`))
	f.Add("", "", "", "", "", "", []byte(nil))
	f.Add("message", "text/plain; charset=utf-8", "a", "", "a", "\x00\xff", []byte{0})
	f.Add(string(make([]byte, 255)), string(make([]byte, 255)), string(make([]byte, 255)),
		string(make([]byte, 70_000)), "n", "v", make([]byte, 70_000))
	f.Add(string(make([]byte, 256)), "", "", "", "", "", []byte(nil))
	log := openAt(f, f.TempDir(), bolt.Options{})
	f.Fuzz(func(t *testing.T, typ, contentType, name1, value1, name2, value2 string, data []byte) {
		want := store.Event{Topic: "a.b", Type: typ, ContentType: contentType, Data: data}
		for _, a := range []store.Attribute{{Name: name1, Value: value1},
			{Name: name2, Value: value2}} {
			if a.Name != "" {
				want.Attributes = append(want.Attributes, a)
			}
		}
		before := log.Head()
		ids, err := store.Append(t.Context(), log, []store.Draft{{Topic: want.Topic, Type: typ,
			ContentType: contentType, Attributes: want.Attributes, Data: data}})
		if len(typ) > store.MaxNameBytes || len(contentType) > store.MaxNameBytes ||
			len(name1) > store.MaxNameBytes || len(name2) > store.MaxNameBytes {
			if !errors.Is(err, store.ErrInvalid) || log.Head() != before {
				t.Fatalf("append of what is too long: %v, head %s; want %v, %s", err, log.Head(),
					store.ErrInvalid, before)
			}
			return
		}
		if typ == store.TypeEnd || errors.Is(err, store.ErrEnded) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		want.ID = ids[0]
		if typ == "" {
			want.Type = store.DefaultType
		}
		got, err := log.Get(want.ID)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("get: %v %s", err, diff)
		}
		page, err := log.NewReader(filterOf(t, "a.*"), before).Next(10)
		if diff := cmp.Diff([]store.Event{want}, page.Events,
			cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("next: %v %s", err, diff)
		}
	})
}

// FuzzStoredRecord: whatever bytes are in the place of a record, with a correct checksum or a wrong one, they
// are an event or are reported; its neighbours stay readable, and nothing panics or hangs. (A record forged
// with a correct checksum may cut its topic's chain.)
func FuzzStoredRecord(f *testing.F) {
	fixed := append([]byte{1, 0, 0, 0, 0, 0}, make([]byte, 16)...)
	f.Add(fixed, true)
	f.Add(append(bytes.Clone(fixed), 0, 0, 0, 'd'), true)
	f.Add(append(bytes.Clone(fixed), 0, 0, 0, 'd'), false)
	f.Add(append(bytes.Clone(fixed), 1, 't', 200, 'c'), true)
	f.Add(append(bytes.Clone(fixed), 0, 0, 5, 2, 'n', 'm', 9, 'v'), true)
	f.Add(append(bytes.Clone(fixed), 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 1), true)
	f.Add(append([]byte{1, 1, 0, 0, 0, 9}, bytes.Repeat([]byte{0xff}, 19)...), true)
	f.Add([]byte{}, true)
	f.Add([]byte{1}, false)
	whole := f.TempDir()
	log := openAt(f, whole, bolt.Options{})
	events := appendN(f, log, 9, "a", "b")
	closeLog(f, log)
	place := events[4]
	f.Fuzz(func(t *testing.T, payload []byte, right bool) {
		value := sealed(place.ID[:], payload)
		if !right {
			value[0] ^= 1
		}
		alter(t, whole, func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("log")).Put(place.ID[:], value)
		})
		log, err := bolt.Open(whole, bolt.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer closeLog(t, log)
		got, err := log.Get(place.ID)
		if err != nil && !errors.Is(err, store.ErrCorrupt) || err == nil && !right {
			t.Fatalf("get of a record with the bytes %x: %+v, %v", payload, got, err)
		}
		for _, f := range []store.Filter{store.All(), filterOf(t, "a"), filterOf(t, "a", "b")} {
			read, corrupt := drain(t, log, f, store.ID{}, 3)
			for _, e := range matching(events, f, store.ID{}) {
				i := 0
				for i < len(read) && read[i].ID != e.ID {
					i++
				}
				if i == len(read) && e.ID != place.ID && (err != nil || f.IsAll()) {
					t.Errorf("reader of %q: %s is lost beside a record with the bytes %x", f,
						e.ID, payload)
				}
			}
			if err != nil && (len(corrupt) != 1 || corrupt[0] != place.ID) {
				t.Errorf("reader of %q reports %s as corrupt, want %s", f, corrupt, place.ID)
			}
		}
	})
}
