package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tidings/store"
)

// line is an event to import, dated this far from now.
func line(topic string, n int, from time.Duration) string {
	id := store.FirstIDAt(time.Now().Add(from))
	id[15] = byte(n)
	return fmt.Sprintf(`{"id":%q,"topic":%q,"data":%d}`+"\n", id, topic, n)
}

// TestImportIDs: an unacceptable ID is found at its line, before it is in a log.
func TestImportIDs(t *testing.T) {
	first, year := line("a", 1, -time.Hour), 365*24*time.Hour
	for _, c := range []struct{ name, lines, want string }{
		{"row 121: in the future", first + line("a", 2, 10*year), "line 2: event"},
		{"row 121: in the future, the first one", line("a", 2, 10*year), "line 1: event"},
		{"row 121: the highest", first + "\n" + `{"id":"7ZZZZZZZZZZZZZZZZZZZZZZZZZ","topic":"a"}`,
			"line 3: event 7ZZZZZZZZZZZZZZZZZZZZZZZZZ is from the future"},
		{"row 122: no ULID", first + `{"id":"8ZZZZZZZZZZZZZZZZZZZZZZZZZ","topic":"a"}`,
			"line 2: not an event: not a ULID"},
		{"row 122: zero", first + `{"id":"00000000000000000000000000","topic":"a"}`,
			"line 2: the event has no ID"},
		{"row 122: of before", line("a", 1, -time.Minute) + line("a", 2, -time.Hour), "does not follow"},
		{"row 122: behind the end of its topic",
			strings.Replace(first, `"data":1`, `"type":"tidings.end"`, 1) +
				strings.Replace(line("a", 2, -time.Minute), `"data":2`, `"type":"tidings.end"`, 1),
			"line 2: topic has ended"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := runWith(t.Context(), nil, strings.NewReader(c.lines), "import", "--data-dir",
				t.TempDir()).ended(t, exitFailure)
			if !strings.Contains(got.stderr, c.want) || strings.Contains(got.stderr, "log failed") ||
				strings.Contains(got.stderr, "not known") {
				t.Errorf("got %s, want %q", got.stderr, c.want)
			}
		})
	}
	ahead := line("a", 1, -time.Hour) + line("a", 2, time.Minute) // another machine's clock
	runWith(t.Context(), nil, strings.NewReader(ahead), "import", "--data-dir",
		t.TempDir()).ended(t, exitOK)
}

// TestImportRedate is the way out of a log whose newest events lie in the future: they get IDs of now, in order;
// the others, and with them the cursors of clients, keep theirs.
func TestImportRedate(t *testing.T) {
	const years = 10 * 365 * 24 * time.Hour
	kept := line("a", 1, -time.Hour)
	dir := t.TempDir()
	runWith(t.Context(), nil, strings.NewReader(kept+line("a", 2, years)+line("b", 3, years+time.Hour)+
		strings.Replace(line("a", 4, 2*years), `"data":4`, `"type":"tidings.end"`, 1)),
		"import", "--redate", "--data-dir", dir).ended(t, exitOK)
	verifies(t, dir)
	events := eventsIn(t, dir)
	if len(events) != 4 || !strings.Contains(kept, events[0].ID.String()) ||
		string(events[2].Data) != "3" || events[3].Type != store.TypeEnd {
		t.Fatalf("imported %+v", events)
	}
	for _, e := range events[1:] {
		if age := time.Since(e.Time()); age < -time.Second || age > time.Minute {
			t.Errorf("event %s is of %v ago", e.ID, age)
		}
	}
}
