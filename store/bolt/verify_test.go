package bolt_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"tidings/store"
	"tidings/store/bolt"
)

// fullLog returns the directory of a closed log with everything that a log can hold, and its
// events.
func fullLog(t testing.TB) (dir string, events []store.Event) {
	t.Helper()
	dir = t.TempDir()
	log := openAt(t, dir, bolt.Options{})
	appendN(t, log, 3000, "a.x", "a.y", "b")
	for _, group := range []store.Group{
		{Key: "once", Drafts: []store.Draft{{Topic: "b", Type: "order.created",
			ContentType: "application/json", Data: []byte(`{"order": 1.50}`)}}},
		{Drafts: []store.Draft{{Topic: "over", Type: store.TypeEnd,
			Data: []byte(`{"topic":"over"}`)}}},
	} {
		if _, err := log.AppendOnce(context.Background(), []store.Group{group}); err != nil {
			t.Fatal(err)
		}
	}
	head := log.Head()
	all, _ := drain(t, log, store.All(), store.ID{}, 500)
	for pattern, before := range map[string]store.ID{"b": all[1000].ID, "over": store.MaxID} {
		if _, err := log.Trim(context.Background(), filterOf(t, pattern), before); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := log.SetMark(context.Background(), "subject", "inbox",
		store.Mark{ID: head, Topics: filterOf(t, "b")}); err != nil {
		t.Fatal(err)
	}
	events, _ = drain(t, log, store.All(), store.ID{}, 500)
	closeLog(t, log)
	return crash(t, dir), events
}

func verify(t testing.TB, dir string) bolt.Report {
	t.Helper()
	report, err := bolt.Verify(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestVerifyIntact(t *testing.T) {
	dir, events := fullLog(t)
	var calls, last uint64
	report, err := bolt.Verify(t.Context(), dir, func(done, total uint64) { calls, last = calls+1, total-done })
	if err != nil || !report.Intact() {
		t.Fatalf("error %v, report %+v", err, report)
	}
	if report.Events != uint64(len(events)) || report.First != events[0].ID ||
		report.Last != events[len(events)-1].ID ||
		report.Topics != 4 || report.Keys != 1 || report.Marks != 1 || report.Format != 1 ||
		report.Head.Before(report.Last) {
		t.Errorf("report %+v of %d events from %s", report, len(events), events[0].ID)
	}
	if calls == 0 || last != 0 {
		t.Errorf("progress was told %d times and ended %d short", calls, last)
	}
}

// TestVerifyUncounted: events above the checkpoint are no damage, even after a trim there.
func TestVerifyUncounted(t *testing.T) {
	dir := t.TempDir()
	log := openAt(t, dir, bolt.Options{})
	events := appendN(t, log, 1000, "a", "b")
	if _, err := log.Trim(context.Background(), filterOf(t, "a"), events[300].ID); err != nil {
		t.Fatal(err)
	}
	appendN(t, log, 300, "b", "c")
	if report := verify(t, crash(t, dir)); !report.Intact() || report.Events != 1150 {
		t.Errorf("report %+v", report)
	}
}

// TestVerifyDamaged: each damaged record is named, and nothing else.
func TestVerifyDamaged(t *testing.T) {
	whole, events := fullLog(t)
	of := func(topic string) []store.Event {
		return matching(events, filterOf(t, topic), store.ID{})
	}
	for name, damaged := range map[string][]store.Event{
		"amid a chain": {of("a.x")[7]}, "with a sparse key": {of("a.x")[127]},
		"side by side": of("a.y")[30:33],
		"first":        {of("b")[0]}, "newest": {of("a.y")[999]}, "several topics": events[40:60],
	} {
		t.Run(name, func(t *testing.T) {
			dir := crash(t, whole)
			damage(t, dir, 3, damaged...)
			report := verify(t, dir)
			var want []store.ID
			for _, e := range damaged {
				want = append(want, e.ID)
			}
			if !slices.Equal(report.Damaged, want) || len(report.Problems) > 0 || report.Intact() {
				t.Errorf("damaged %s, problems %q; want %s", report.Damaged, report.Problems, want)
			}
		})
	}
}

// TestVerifyProblems: an entry that does not agree with the rest of the file is reported although every
// checksum holds.
func TestVerifyProblems(t *testing.T) {
	whole, events := fullLog(t)
	bucket := func(tx *bbolt.Tx, name string) *bbolt.Bucket { return tx.Bucket([]byte(name)) }
	reseal := func(tx *bbolt.Tx, name string, key []byte, change func(payload []byte)) error {
		payload := bytes.Clone(bucket(tx, name).Get(key)[4:])
		change(payload)
		return bucket(tx, name).Put(key, sealed(key, payload))
	}
	topic := func(i uint32) []byte { return binary.BigEndian.AppendUint32(nil, i) }
	id := events[500].ID
	for name, c := range map[string]struct {
		change func(*bbolt.Tx) error
		want   string
	}{
		"an event is missing": {func(tx *bbolt.Tx) error {
			return bucket(tx, "log").Delete(id[:])
		}, "but names " + id.String()},
		"a wrong chain": {func(tx *bbolt.Tx) error {
			return reseal(tx, "log", id[:], func(p []byte) { copy(p[6:22], events[0].ID[:]) })
		}, id.String()},
		"a count": {func(tx *bbolt.Tx) error {
			return reseal(tx, "topics", topic(0), func(p []byte) { p[8]++ })
		}, "topic a.x counts"},
		"bytes": {func(tx *bbolt.Tx) error {
			return reseal(tx, "topics", topic(0), func(p []byte) { p[16]++ })
		}, "topic a.x"},
		"an end": {func(tx *bbolt.Tx) error {
			return reseal(tx, "topics", topic(1), func(p []byte) { copy(p[65:81], id[:]) })
		}, "topic a.y"},
		"a sparse key is missing": {func(tx *bbolt.Tx) error {
			k, _ := bucket(tx, "sparse").Cursor().First()
			return bucket(tx, "sparse").Delete(k)
		}, "no key in the sparse index"},
		"a sparse key too many": {func(tx *bbolt.Tx) error {
			return bucket(tx, "sparse").Put(append(topic(0), events[0].ID[:]...), nil)
		}, "the sparse index points to event " + events[0].ID.String()},
		"an idempotency key": {func(tx *bbolt.Tx) error {
			k, v := bucket(tx, "keys").Cursor().First()
			return bucket(tx, "keys").Put(k, append(bytes.Clone(v), 0))
		}, "idempotency key"},
		"a read mark": {func(tx *bbolt.Tx) error {
			return bucket(tx, "marks").Put([]byte("subject\x00inbox"), []byte("damaged"))
		}, `read mark "inbox" of "subject"`},
		"a head":   {setMeta("head", make([]byte, 16)), "is below the checkpoint"},
		"suspects": {setMeta("suspects", make([]byte, 15)), "suspects"},
		"a secret": {setMeta("secret", make([]byte, 31)), "secret"},
		"no log bucket": {func(tx *bbolt.Tx) error {
			return tx.DeleteBucket([]byte("log"))
		}, `bucket "log"`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := crash(t, whole)
			alter(t, dir, c.change)
			report := verify(t, dir)
			if len(report.Problems) == 0 || len(report.Damaged) > 0 ||
				!strings.Contains(strings.Join(report.Problems, "\n"), c.want) {
				t.Errorf("problems %q, damaged %s; want %q", report.Problems,
					report.Damaged, c.want)
			}
		})
	}
}

// TestVerifyPages: whatever a page has become, verify ends, reports it, and changes nothing.
func TestVerifyPages(t *testing.T) {
	whole, _ := fullLog(t)
	pages := int(usedBytes(t, whole) / 4096)
	told := 0
	for i := 0; i < pages; i += 1 + pages/40 {
		for name, damage := range map[string]func([]byte){
			"zeroed":      func(page []byte) { clear(page) },
			"overwritten": func(page []byte) { copy(page, strings.Repeat("garbage ", 512)) },
			"a bit":       func(page []byte) { page[30] ^= 1 },
		} {
			dir := crash(t, whole)
			edit(t, dir, func(file []byte) { damage(file[i*4096:][:4096]) })
			before, err := os.ReadFile(logFile(dir))
			if err != nil {
				t.Fatal(err)
			}
			if report := verify(t, dir); !report.Intact() {
				told++
			}
			if after, err := os.ReadFile(logFile(dir)); err != nil || !bytes.Equal(before, after) {
				t.Errorf("page %d %s: the file was changed; error %v", i, name, err)
			}
		}
	}
	if told == 0 {
		t.Errorf("none of %d pages mattered", pages)
	}
}

// TestFlipsAnywhere: whatever bits of the file flip, no wrong byte is ever read: an event is as it was, or is
// named by the log and by verify, or the log is refused.
func TestFlipsAnywhere(t *testing.T) {
	rounds := 30
	if os.Getenv("TIDINGS_FULL") != "" {
		rounds = 2000
	}
	whole, events := fullLog(t)
	closeLog(t, openAt(t, whole, bolt.Options{}))
	content, err := os.ReadFile(logFile(whole))
	if err != nil {
		t.Fatal(err)
	}
	content = content[:usedBytes(t, whole)]
	byID := make(map[store.ID]store.Event)
	for _, e := range events {
		byID[e.ID] = e
	}
	for seed := range uint64(rounds) {
		random := rand.New(rand.NewPCG(seed, 0))
		flipped := bytes.Clone(content)
		for range []int{1, 8, 64}[seed%3] {
			flipped[random.IntN(len(flipped))] ^= 1 << random.IntN(8)
		}
		dir := t.TempDir()
		if err := os.WriteFile(logFile(dir), flipped, 0o600); err != nil {
			t.Fatal(err)
		}
		if seed%2 == 0 {
			copyFile(t, noteFile(whole), noteFile(dir))
		}
		report, err := bolt.Verify(t.Context(), dir, nil)
		if err != nil && !errors.Is(err, bolt.ErrNewerFormat) {
			t.Fatalf("seed %d: verify: %v", seed, err)
		}
		log, err := bolt.Open(dir, bolt.Options{})
		if err != nil {
			if !errors.Is(err, bolt.ErrDamaged) || report.Intact() {
				t.Fatalf("seed %d: open: %v, verify: %+v", seed, err, report)
			}
			continue
		}
		if checked(log) != nil {
			if report.Intact() {
				t.Fatalf("seed %d: %v, verify: %+v", seed, log.Ready(), report)
			}
			closeLog(t, log)
			continue
		}
		found, named, refused := 0, 0, false
		for r := log.NewReader(store.All(), store.ID{}); ; {
			page, err := r.Next(500)
			if err != nil && !errors.Is(err, store.ErrFailed) {
				t.Fatalf("seed %d: read: %v", seed, err)
			}
			for _, e := range page.Events {
				if diff := cmp.Diff(byID[e.ID], e); diff != "" {
					t.Fatalf("seed %d: event %s reads differently: %s", seed, e.ID, diff)
				}
			}
			found += len(page.Events)
			if !page.Corrupt.IsZero() {
				named++
			}
			refused = err != nil
			if refused || page.Corrupt.IsZero() && !page.Through.Before(log.Head()) {
				break
			}
		}
		if found+named < len(events) && !refused || found < len(events) && report.Intact() {
			t.Fatalf("seed %d: of %d events %d were read and %d named; verify: %+v",
				seed, len(events), found, named, report)
		}
		closeLog(t, log)
	}
}

func TestVerifyRefuses(t *testing.T) {
	held := t.TempDir()
	openAt(t, held, bolt.Options{})
	if _, err := bolt.Verify(t.Context(), held, nil); !errors.Is(err, bolt.ErrLocked) {
		t.Errorf("of an open log: %v, want %v", err, bolt.ErrLocked)
	}
	if _, err := bolt.Verify(t.Context(), t.TempDir(), nil); !errors.Is(err, bolt.ErrNoLog) {
		t.Errorf("of nothing: %v, want %v", err, bolt.ErrNoLog)
	}
	newer, _ := fullLog(t)
	alter(t, newer, setMeta("format", binary.BigEndian.AppendUint32(nil, 4)))
	if _, err := bolt.Verify(t.Context(), newer, nil); !errors.Is(err, bolt.ErrNewerFormat) {
		t.Errorf("of a newer format: %v, want %v", err, bolt.ErrNewerFormat)
	}
}
