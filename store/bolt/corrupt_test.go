package bolt_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"go.etcd.io/bbolt"

	"tidings/store"
	"tidings/store/bolt"
)

// header is the distance from the start of a record to its data, without type, content type and attributes.
// docs/FORMAT.md draws it.
const header = 29

// damage flips a bit in the record of each event, at an offset from the first byte of its data.
func damage(t testing.TB, dir string, offset int, events ...store.Event) {
	t.Helper()
	edit(t, dir, func(file []byte) {
		for _, e := range events {
			found := false
			for at := 0; ; found = true {
				i := bytes.Index(file[at:], e.Data)
				if i < 0 {
					break
				}
				file[at+i+offset] ^= 4 // also in copies on pages that are free by now
				at += i + 1
			}
			if !found {
				t.Fatalf("no record with the data %q", e.Data)
			}
		}
	})
}

// TestTrimmedComeBack: a damaged page number can lead to a page no longer in use, whose records are intact.
// Trimmed events stay hidden all the same, from every reader, and verify reports it.
func TestTrimmedComeBack(t *testing.T) {
	dir := t.TempDir()
	log := openAt(t, dir, bolt.Options{})
	events := appendN(t, log, 300, "a.x", "a.y")
	gone := matching(events[:200], filterOf(t, "a.x"), store.ID{})
	closeLog(t, log)
	old := make(map[store.ID][]byte)
	alter(t, dir, func(tx *bbolt.Tx) error {
		for _, e := range gone {
			old[e.ID] = bytes.Clone(tx.Bucket([]byte("log")).Get(e.ID[:]))
		}
		return nil
	})
	log = openAt(t, dir, bolt.Options{})
	if n, err := log.Trim(t.Context(), filterOf(t, "a.x"), events[200].ID); err != nil ||
		n != len(gone) {
		t.Fatalf("trimmed %d, error %v", n, err)
	}
	closeLog(t, log)
	alter(t, dir, func(tx *bbolt.Tx) error {
		for id, record := range old {
			if err := tx.Bucket([]byte("log")).Put(id[:], record); err != nil {
				return err
			}
		}
		return nil
	})
	const want = "topic a.x counts 50 events, 150 were found"
	if report := verify(t, dir); !slices.Contains(report.Problems, want) {
		t.Errorf("problems %q, want %q", report.Problems, want)
	}
	log, last := openAt(t, dir, bolt.Options{}), gone[len(gone)-1].ID
	kept := slices.DeleteFunc(slices.Clone(events), func(e store.Event) bool {
		return old[e.ID] != nil
	})
	for _, pattern := range []string{">", "a.*", "a.x", "a.y"} {
		for _, after := range []store.ID{{}, events[0].ID, events[100].ID, last} {
			expect(t, log, filterOf(t, pattern), after, kept)
		}
	}
	for _, e := range gone {
		if got, err := log.Get(e.ID); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("get of trimmed %s: %q, error %v", e.ID, got.Data, err)
		}
	}
	if page, err := log.NewReader(filterOf(t, "a.*"), events[0].ID).Next(1000); err != nil ||
		page.Trimmed != last {
		t.Errorf("a page names %s as trimmed, error %v; want %s", page.Trimmed, err, last)
	}
}

// expectCorrupt checks that the log withholds exactly the damaged events, reports them to every reader that
// could have asked for them, and has all the others.
func expectCorrupt(t testing.TB, log *bolt.Log, events []store.Event, damaged ...store.Event) {
	t.Helper()
	bad := make(map[store.ID]bool)
	for _, e := range damaged {
		bad[e.ID] = true
		if got, err := log.Get(e.ID); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("get of damaged %s: %q, error %v; want %v", e.ID, got.Data, err,
				store.ErrCorrupt)
		}
	}
	intact := slices.DeleteFunc(slices.Clone(events), func(e store.Event) bool { return bad[e.ID] })
	for _, e := range intact {
		if got, err := log.Get(e.ID); err != nil || !bytes.Equal(got.Data, e.Data) {
			t.Errorf("get of intact %s: %q, error %v; want %q", e.ID, got.Data, err, e.Data)
		}
	}
	filters := []store.Filter{store.All(), filterOf(t, "a.*")}
	topics := make(map[string]bool)
	for _, e := range damaged {
		if !topics[e.Topic] {
			topics[e.Topic] = true
			filters = append(filters, filterOf(t, e.Topic),
				filterOf(t, "*."+e.Topic[len("a."):], "a.none"))
		}
	}
	positions := []store.ID{{}, damaged[0].ID.Prev(), damaged[0].ID,
		damaged[len(damaged)-1].ID.Prev(), damaged[len(damaged)-1].ID}
	for _, f := range filters {
		for _, after := range positions {
			for _, max := range []int{7, 500} {
				what := fmt.Sprintf("reader of %q after %s, %d at a time", f, after, max)
				got, corrupt := drain(t, log, f, after, max)
				same(t, what, got, matching(intact, f, after))
				for _, e := range matching(damaged, f, after) {
					if !slices.Contains(corrupt, e.ID) {
						t.Errorf("%s: a silent hole at %s", what, e.ID)
					}
				}
				for i, id := range corrupt {
					if !bad[id] || !after.Before(id) || slices.Contains(corrupt[:i], id) {
						t.Errorf("%s: reports %s", what, id)
					}
				}
			}
		}
		expectNewest(t, log, f, intact, 3)
	}
}

// expectNewest checks that exactly the newest n intact events follow the position of Newest.
func expectNewest(t testing.TB, log store.Log, f store.Filter, intact []store.Event, n int) {
	t.Helper()
	position, err := log.Newest(f, store.MaxID, n, math.MaxInt)
	if err != nil {
		t.Fatalf("newest %d of %q: %v", n, f, err)
	}
	want := matching(intact, f, store.ID{})
	want = want[max(0, len(want)-n):]
	same(t, fmt.Sprintf("newest %d of %q", n, f), matching(intact, f, position), want)
}

func TestCorruptRecord(t *testing.T) {
	fields := []struct {
		name   string
		offset int
	}{{"data", 3}, {"checksum", -header}, {"version", -header + 4}, {"flags", -header + 5},
		{"topic", -header + 9}, {"previous event", -header + 20}, {"attributes", -1}}
	places := []struct {
		name string
		of   func(topic []store.Event) []store.Event
	}{
		{"first of its topic", func(topic []store.Event) []store.Event { return topic[:1] }},
		{"one that carries a sparse key", func(topic []store.Event) []store.Event {
			return topic[127:128]
		}},
		{"amid a long chain", func(topic []store.Event) []store.Event { return topic[200:201] }},
		{"two side by side", func(topic []store.Event) []store.Event { return topic[300:302] }},
		{"newest of its topic", func(topic []store.Event) []store.Event {
			return topic[len(topic)-1:]
		}},
		{"far apart", func(topic []store.Event) []store.Event {
			return []store.Event{topic[20], topic[255], topic[310]}
		}},
	}
	whole := t.TempDir()
	log := openAt(t, whole, bolt.Options{})
	events := appendN(t, log, 4*330, "a.x", "a.y", "b.x", "b.z")
	uncounted := crash(t, whole)
	closeLog(t, log)
	topic := matching(events, filterOf(t, "a.x"), store.ID{})
	for when, source := range map[string]string{"below the checkpoint": whole,
		"above the checkpoint": uncounted} {
		for _, place := range places {
			for _, field := range fields {
				t.Run(when+"/"+place.name+"/"+field.name, func(t *testing.T) {
					dir := crash(t, source)
					damaged := place.of(topic)
					damage(t, dir, field.offset, damaged...)
					expectCorrupt(t, openAt(t, dir, bolt.Options{}), events, damaged...)
				})
			}
		}
	}
}

// TestCorruptForEver: damage found at one start is still reported after later checkpoints, when newer events
// of its topic no longer lead to it.
func TestCorruptForEver(t *testing.T) {
	first := t.TempDir()
	log := openAt(t, first, bolt.Options{})
	events := appendN(t, log, 40, "a.x", "a.y")
	dir := crash(t, first)
	damaged := events[38:39]
	damage(t, dir, 3, damaged...)
	for range 3 {
		log := openAt(t, dir, bolt.Options{})
		expectCorrupt(t, log, events, damaged...)
		events = append(events, appendN(t, log, 10, "a.x", "a.y")...)
		expectCorrupt(t, log, events, damaged...)
		closeLog(t, log)
	}
	log = openAt(t, dir, bolt.Options{})
	events = append(events, appendN(t, log, 40_000, "b.z")...)
	expectCorrupt(t, openAt(t, crash(t, dir), bolt.Options{}), events, damaged...)
}

// TestRandomFlips: whatever bits of the records flip, an event is returned as it was or is reported.
func TestRandomFlips(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 8
	}
	if os.Getenv("TIDINGS_FULL") != "" {
		rounds = 2000
	}
	first := t.TempDir()
	log := openAt(t, first, bolt.Options{})
	events := appendN(t, log, 600, "a.x", "a.y", "a.z")
	dir := crash(t, first)
	whole, err := os.ReadFile(logFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(rounds) {
		random := rand.New(rand.NewPCG(seed, 0))
		var damaged []store.Event
		for range 1 + random.IntN(16) {
			damaged = append(damaged, events[random.IntN(len(events))])
		}
		slices.SortFunc(damaged, func(a, b store.Event) int { return a.ID.Compare(b.ID) })
		damaged = slices.CompactFunc(damaged, func(a, b store.Event) bool { return a.ID == b.ID })
		dir := t.TempDir()
		if err := os.WriteFile(logFile(dir), whole, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, e := range damaged {
			damage(t, dir, random.IntN(header+len(e.Data))-header, e)
		}
		log := openAt(t, dir, bolt.Options{})
		expectCorrupt(t, log, events, damaged...)
		closeLog(t, log)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}
