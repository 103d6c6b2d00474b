package bolt_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/storetest"
)

// journaled reports the format of the closed log in dir, and how many values its journal has, -1
// without one.
func journaled(t testing.TB, dir string) (format uint32, values int) {
	t.Helper()
	alter(t, dir, func(tx *bbolt.Tx) error {
		if values = -1; tx.Bucket([]byte("journal")) != nil {
			values = tx.Bucket([]byte("journal")).Stats().KeyN
		}
		return nil
	})
	return binary.BigEndian.Uint32(meta(t, dir, "format")), values
}

// expectEdges opens what a crash leaves of the log and expects the log's counters, and, from just below and
// at some of the events that ever existed, what the model reads and reports as trimmed.
func expectEdges(t *testing.T, dir string, log store.Log, model *storetest.Model,
	ever []store.Event) {
	t.Helper()
	left := crash(t, dir)
	if report := verify(t, left); !report.Intact() {
		t.Fatalf("verify after a crash: %+v", report)
	}
	crashed := openAt(t, left, bolt.Options{})
	defer closeLog(t, crashed)
	if diff := cmp.Diff(infos(log), infos(crashed)); diff != "" ||
		log.Trimmed() != crashed.Trimmed() {
		t.Fatalf("trimmed up to %s, want %s; topics: %s", crashed.Trimmed(), log.Trimmed(), diff)
	}
	cursors := []store.ID{{}}
	for range 20 {
		id := ever[rand.IntN(len(ever))].ID
		cursors = append(cursors, id.Prev(), id)
	}
	for _, pattern := range []string{">", "t.*", "t.1", "t.2", "t.39"} {
		for _, cursor := range cursors {
			f := filterOf(t, pattern)
			want, err := model.NewReader(f, cursor).Next(1)
			if err != nil {
				t.Fatal(err)
			}
			got, err := crashed.NewReader(f, cursor).Next(1)
			if err != nil || got.Trimmed != want.Trimmed {
				t.Fatalf("%s after %s: lost up to %s (%v), want %s", pattern, cursor, got.Trimmed,
					err, want.Trimmed)
			}
			events, _ := drain(t, model, f, cursor, 500)
			expect(t, crashed, f, cursor, events)
		}
	}
	storetest.Check(t, crashed)
}

// TestJournal: at whatever point the process dies, the next one knows for each topic what was trimmed and
// what is left while the topics' records lag: with a journal, after a checkpoint, with another journal.
func TestJournal(t *testing.T) {
	topics := make([]string, 40)
	for i := range topics {
		topics[i] = fmt.Sprintf("t.%d", i)
	}
	dir := t.TempDir()
	log, model := openAt(t, dir, bolt.Options{}), storetest.NewModel(storetest.Options{})
	var ever []store.Event
	add := func(n int) {
		events := appendN(t, log, n, topics...)
		ever = append(ever, events...)
		model.Adopt(events...)
	}
	expectJournal := func(want bool) {
		t.Helper()
		format, values := journaled(t, crash(t, dir))
		if (values > 0) != want || (format == 2) != want || values == 0 {
			t.Fatalf("%d values in the journal, format %d; want a journal: %t",
				values, format, want)
		}
	}
	add(2000)
	expectJournal(false)
	for i, step := range []struct {
		trim   string
		before int // of ever
		add    int
	}{
		{"t.1", 100, 0}, {"t.*", 50, 7}, {">", 200, 41}, {"t.2", 1900, 1}, {">", 1950, 0},
		{"t.1", 3000, 0}, {">", 3000, 100},
	} {
		f, before := filterOf(t, step.trim), store.MaxID
		if step.before < len(ever) {
			before = ever[step.before].ID
		}
		want, _ := model.Trim(t.Context(), f, before)
		if n, err := log.Trim(t.Context(), f, before); err != nil || n != want {
			t.Fatalf("trim of %s: %d, %v, want %d", step.trim, n, err, want)
		}
		expectJournal(true)
		expectEdges(t, dir, log, model, ever)
		if add(step.add); step.add > 0 {
			expectEdges(t, dir, log, model, ever)
		}
		switch i {
		case 2, 5: // a restart after a crash continues with the journal
			dir = crash(t, dir)
			log = openAt(t, dir, bolt.Options{})
			expectJournal(true)
		}
		switch i {
		case 3, 4, 5: // a clean close makes a checkpoint
			closeLog(t, log)
			expectJournal(false)
			log = openAt(t, dir, bolt.Options{})
			expectEdges(t, dir, log, model, ever)
		}
	}
	add(17_000) // a checkpoint is due
	expectJournal(false)
	expectEdges(t, dir, log, model, ever)
}

// TestJournalFormat reads a journal as docs/FORMAT.md draws it.
func TestJournalFormat(t *testing.T) {
	dir := t.TempDir()
	log := openAt(t, dir, bolt.Options{})
	topics := make([]string, 20)
	for i := range topics {
		topics[i] = fmt.Sprintf("t.%02d", i)
	}
	events := appendN(t, log, 60, topics...)
	for _, before := range []store.ID{events[20].ID, events[5].ID, events[37].ID} {
		if _, err := log.Trim(t.Context(), store.All(), before); err != nil {
			t.Fatal(err)
		}
	}
	got := make(map[uint32]store.TopicInfo) // the newest of each topic
	next := uint64(1)
	alter(t, crash(t, dir), func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("journal")).ForEach(func(k, v []byte) error {
			if n := binary.BigEndian.Uint64(k); n != next {
				t.Errorf("key %x, want %016x", k, next)
			}
			next++
			for p := unsealed(t, "journal", k, v); len(p.rest) > 0; {
				topic, unindexed := p.uint32(), p.byte()
				if unindexed != 3 {
					t.Errorf("%d of 3 events without a sparse key", unindexed)
				}
				got[topic] = store.TopicInfo{Topic: topics[topic], Count: p.uint64(),
					Bytes: p.uint64(), First: p.id(), Last: p.id(),
					Trimmed: p.id(), Ended: p.id()}
			}
			return nil
		})
	})
	for i, want := range infos(log) {
		entry := got[uint32(i)]
		entry.First = want.First // stale
		if diff := cmp.Diff(want, entry); diff != "" {
			t.Errorf("topic %d: %s", i, diff)
		}
	}
	if next-1 != 2+2 { // values, of 20 topics and of 17
		t.Errorf("%d values", next-1)
	}
}

// TestJournalEnds: a log that is only trimmed makes a checkpoint in time, too, and that checkpoint
// has the records of the topics that its own commit trims for the first time.
func TestJournalEnds(t *testing.T) {
	topics := make([]string, 500)
	for i := range topics {
		topics[i] = fmt.Sprintf("t.%d", i)
	}
	dir := t.TempDir()
	log := openAt(t, dir, bolt.Options{})
	// Entries are counted, 128 to a commit: the commit with the 16,384th event makes the
	// checkpoint.
	events := slices.Concat(appendN(t, log, 16_300, topics...), appendN(t, log, 1, "x"),
		appendN(t, log, 23_000, topics...))
	events = append(events, appendN(t, log, 1, "x")...)
	closeLog(t, log)
	log = openAt(t, dir, bolt.Options{})
	most := 0
	for _, n := range []int{5000, 10_000, 16_256, 16_384, 20_000, 25_000, 30_000, 35_000} {
		if _, err := log.Trim(t.Context(), store.All(), events[n].ID); err != nil {
			t.Fatal(err)
		}
		left := crash(t, dir)
		if report := verify(t, left); !report.Intact() {
			t.Fatalf("verify after a crash: %+v", report)
		}
		format, values := journaled(t, left)
		if most = max(most, values); (values >= 0) != (format == 2) {
			t.Errorf("format %d with %d values in a journal", format, values)
		}
		if n == 16_384 && values >= 0 {
			t.Errorf("%d values in the journal after %d entries", values, n)
		}
	}
	// roughly an entry for each event, 16 to a value
	if limit := 16<<10/16 + 128; most > limit || most < limit/4 {
		t.Errorf("the journal had up to %d values, want some, and at most %d", most, limit)
	}
	storetest.Check(t, log)
}

// TestDamagedJournal: without the journal the state of a topic cannot be known.
func TestDamagedJournal(t *testing.T) {
	dir := t.TempDir()
	log := openAt(t, dir, bolt.Options{})
	events := appendN(t, log, 100, "a", "b")
	if _, err := log.Trim(t.Context(), store.All(), events[10].ID); err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func(b *bbolt.Bucket, k, v []byte) error{
		"a bit": func(b *bbolt.Bucket,
			k, v []byte) error {
			v[len(v)-1] ^= 1
			return b.Put(k, v)
		},
		"its end": func(b *bbolt.Bucket, k, v []byte) error { return b.Put(k, v[:len(v)-1]) },
		"its key": func(b *bbolt.Bucket, k, v []byte) error { return b.Put([]byte("12345678"), v) },
	} {
		left := crash(t, dir)
		alter(t, left, func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte("journal"))
			k, v := b.Cursor().First()
			return damage(b, slices.Clone(k), slices.Clone(v))
		})
		if _, err := bolt.Open(left, bolt.Options{}); !errors.Is(err, bolt.ErrDamaged) {
			t.Errorf("%s: open: %v, want %v", name, err, bolt.ErrDamaged)
		}
		if report := verify(t, left); report.Intact() {
			t.Errorf("%s: verify finds nothing", name)
		}
	}
	left := crash(t, dir)
	alter(t, left, setMeta("format", binary.BigEndian.AppendUint32(nil, 1)))
	if report := verify(t, left); report.Intact() {
		t.Error("verify finds nothing in a journal that an older release would not see")
	}
}
