package retention_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tidings/internal/retention"
	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/storetest"
)

var (
	topics   = []string{"a", "a.b", "a.c", "a.b.c", "a.b.c.d", "d.b"}
	patterns = []string{"", "*", ">", "a.>", "*.b", "a.*", "a.b", "a.*.c", "d.>",
		"*.b.>", "a.*.*.*"}
)

// specific lists the patterns for each topic in the order of the package comment, written by hand.
var specific = map[string][]string{
	"a":     {"*", ">"},
	"a.b":   {"a.b", "*.b", "a.*", "a.>", ">"},
	"a.c":   {"a.*", "a.>", ">"},
	"a.b.c": {"a.*.c", "*.b.>", "a.>", ">"},
	"d.b":   {"*.b", "d.>", ">"},

	"a.b.c.d": {"a.*.*.*", "*.b.>", "a.>", ">"},
}

// kept is an event in the test's own records.
type kept struct {
	id    store.ID
	topic string
	bytes uint64
}

func matching(pattern string, limits map[string]uint64, topic string) uint64 {
	if pattern == "" {
		return limits[""]
	}
	for _, p := range specific[topic] {
		if limits[p] > 0 {
			return limits[p]
		}
	}
	return 0
}

// retain computes in the slowest way what stays: topic by topic, with the general age if there is no other, then for
// the whole log.
func retain(events []kept, now time.Time, age, count, bytes map[string]uint64) []kept {
	for _, group := range append(slices.Clone(topics), "") {
		pattern := group
		var stays []kept
		var n, size uint64
		for _, e := range slices.Backward(events) {
			if group != "" && e.topic != group {
				stays = append(stays, e)
				continue
			}
			n, size = n+1, size+e.bytes
			maxAge, maxCount, maxBytes := matching(">", age, e.topic),
				matching(pattern, count, e.topic), matching(pattern, bytes, e.topic)
			if maxAge == 0 {
				maxAge = age[""]
			}
			old := maxAge > 0 && e.id.Time().UnixMilli() < now.UnixMilli()-int64(maxAge)
			if !old && (maxCount == 0 || n <= maxCount) && (maxBytes == 0 || size <= maxBytes) {
				stays = append(stays, e)
			}
		}
		slices.Reverse(stays)
		events = stays
	}
	return events
}

// TestAgePattern: an age with a pattern replaces the one without, whether longer or shorter.
func TestAgePattern(t *testing.T) {
	now := time.Now()
	log := storetest.NewModel(storetest.Options{Now: func() time.Time { return now }})
	for _, topic := range []string{"orders", "tickets.1", "sessions"} {
		appendOne(t, log, topic, 1)
	}
	trimmer, err := retention.New(log, retention.Policy{Age: []retention.Limit[time.Duration]{
		{Max: 30 * time.Hour}, {Pattern: "tickets.>", Max: 365 * time.Hour},
		{Pattern: "sessions", Max: time.Hour},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		age  time.Duration
		left []string
	}{
		{time.Hour, []string{"orders", "sessions", "tickets.1"}},
		{2 * time.Hour, []string{"orders", "tickets.1"}},
		{31 * time.Hour, []string{"tickets.1"}}, {365 * time.Hour, []string{"tickets.1"}},
		{366 * time.Hour, nil},
	} {
		if _, err := trimmer.Trim(t.Context(), now.Add(step.age)); err != nil {
			t.Fatal(err)
		}
		var left []string
		for info := range log.Topics(store.All()) {
			if info.Count > 0 {
				left = append(left, info.Topic)
			}
		}
		if slices.Sort(left); !slices.Equal(left, step.left) {
			t.Errorf("after %v: %q are left, want %q", step.age, left, step.left)
		}
	}
}

// TestModel: whatever the policy, the topics and the times, exactly what must stay stays, and a cursor at any place
// reports a loss exactly when an event that it asks for was deleted.
func TestModel(t *testing.T) {
	engines := map[string]func(testing.TB, func() time.Time) store.Log{
		"model": func(_ testing.TB, now func() time.Time) store.Log {
			return storetest.NewModel(storetest.Options{Now: now})
		},
		"bbolt": func(t testing.TB, now func() time.Time) store.Log {
			log, err := bolt.Open(t.TempDir(), bolt.Options{Now: now})
			if err != nil {
				t.Fatal(err)
			}
			return log
		},
	}
	for name, open := range engines {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) { check(t, r, open) })
		})
	}
}

func check(t *testing.T, r *rapid.T, open func(testing.TB, func() time.Time) store.Log) {
	now := time.Unix(1_800_000_000, 0)
	log := open(t, func() time.Time { return now })
	defer log.Close()
	draw := func(label string, top uint64) map[string]uint64 {
		return rapid.MapOfN(rapid.SampledFrom(patterns), rapid.Uint64Range(1, top),
			0, 4).Draw(r, label)
	}
	age, count, bytes := draw("age", 5000), draw("events", 8), draw("bytes", 600)
	var p retention.Policy
	for pattern, max := range age {
		p.Age = append(p.Age, retention.Limit[time.Duration]{Pattern: pattern,
			Max: time.Duration(max) * time.Millisecond})
	}
	for pattern, max := range count {
		p.Events = append(p.Events, retention.Limit[uint64]{Pattern: pattern, Max: max})
	}
	for pattern, max := range bytes {
		p.Bytes = append(p.Bytes, retention.Limit[uint64]{Pattern: pattern, Max: max})
	}
	var ever, left []kept
	for range rapid.IntRange(1, 4).Draw(r, "passes") {
		for range rapid.IntRange(0, 20).Draw(r, "appends") {
			now = now.Add(time.Duration(rapid.Int64Range(-200, 800).Draw(r,
				"step")) * time.Millisecond)
			e := appendOne(r, log, rapid.SampledFrom(topics).Draw(r, "topic"),
				rapid.IntRange(0, 100).Draw(r, "size"))
			ever, left = append(ever, e), append(left, e)
		}
		before := len(left)
		left = retain(left, now, age, count, bytes)
		for _, want := range []int{before - len(left), 0} {
			trimmer, err := retention.New(log, p) // the same one would leave a second pass so soon to later
			if err != nil {
				r.Fatal(err)
			}
			if deleted, err := trimmer.Trim(context.Background(), now); err != nil ||
				deleted != want {
				r.Fatalf("trimmed %d events (%v), want %d", deleted, err, want)
			}
		}
		storetest.Check(r, log)
		for _, pattern := range patterns[1:] {
			expectEdges(r, log, pattern, ever, left)
		}
	}
}

func appendOne(t storetest.TB, log store.Log, topic string, size int) kept {
	t.Helper()
	total := func() uint64 {
		info, err := log.Info()
		if err != nil {
			t.Fatalf("%v", err)
		}
		return info.Bytes
	}
	before := total()
	ids, err := store.Append(context.Background(), log,
		[]store.Draft{{Topic: topic, Data: make([]byte, size)}})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return kept{ids[0], topic, total() - before}
}

// expectEdges reads from before the log, and from just below and at each event there ever was.
func expectEdges(t storetest.TB, log store.Log, pattern string, ever, left []kept) {
	t.Helper()
	f, err := store.NewFilter(pattern)
	if err != nil {
		t.Fatalf("%v", err)
	}
	cursors := []store.ID{{}}
	for _, e := range ever {
		cursors = append(cursors, e.id.Prev(), e.id)
	}
	for _, cursor := range cursors {
		var wantGap store.ID
		var want []store.ID
		for _, e := range ever {
			switch {
			case !cursor.Before(e.id) || !f.Match(e.topic):
			case slices.Contains(left, e):
				want = append(want, e.id)
			default:
				wantGap = e.id
			}
		}
		page, err := log.NewReader(f, cursor).Next(len(ever) + 1)
		if err != nil {
			t.Fatalf("%v", err)
		}
		var got []store.ID
		for _, e := range page.Events {
			got = append(got, e.ID)
		}
		if diff := cmp.Diff(want, got); diff != "" || page.Trimmed != wantGap {
			t.Fatalf("%s after %s: lost up to %s, want %s; events (-want +got):\n%s", pattern,
				cursor, page.Trimmed, wantGap, diff)
		}
	}
}

// TestAgeOfReserved: events about a topic stay as long as the topic's do, whatever the limits on numbers.
func TestAgeOfReserved(t *testing.T) {
	now := time.Now()
	log := storetest.NewModel(storetest.Options{Now: func() time.Time { return now }})
	for range 2 {
		for _, topic := range []string{"orders", "$alerts.orders", "$alerts.sessions", "$named.orders"} {
			appendOne(t, log, topic, 1)
		}
	}
	trimmer, err := retention.New(log, retention.Policy{
		Age: []retention.Limit[time.Duration]{{Pattern: "orders", Max: 30 * time.Hour}, {Max: 10 * time.Hour}},
		Events: []retention.Limit[uint64]{{Pattern: ">", Max: 1},
			{Pattern: "$named.>", Max: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		age  time.Duration
		left map[string]uint64
	}{
		{time.Hour, map[string]uint64{"orders": 1, "$alerts.orders": 2, "$alerts.sessions": 2, "$named.orders": 1}},
		{11 * time.Hour, map[string]uint64{"orders": 1, "$alerts.orders": 2, "$named.orders": 1}},
		{31 * time.Hour, map[string]uint64{}},
	} {
		if _, err := trimmer.Trim(t.Context(), now.Add(step.age)); err != nil {
			t.Fatal(err)
		}
		left := make(map[string]uint64)
		for info := range log.Topics(store.Everything()) {
			if info.Count > 0 {
				left[info.Topic] = info.Count
			}
		}
		if diff := cmp.Diff(step.left, left); diff != "" {
			t.Errorf("after %v (-want +left):\n%s", step.age, diff)
		}
	}
}
