package api_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tidings/api"
	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/storetest"
)

// gapFrame is the data of a tidings.gap.
type gapFrame struct {
	Reason, Requested, Through, First, Last, Detail string
}

// TestGaps shows each reason at its exact edge, through HTTP. The log of each case holds, oldest first, a1 b1 a2 b2
// a3, and is trimmed as the case says.
func TestGaps(t *testing.T) {
	const none = ""
	ahead, err := store.ParseID("7ZZZZZZZZZ0000000000000000")
	if err != nil {
		t.Fatal(err)
	}
	between := func(id string) string { // an ID right after the event's, of no event
		parsed, _ := store.ParseID(id)
		next, _ := parsed.Next()
		return next.String()
	}
	type ids = map[string]string
	for _, c := range []struct {
		name   string
		trim   func(s *server, id ids)
		query  string
		cursor func(id ids) string
		reason string
		// through and open are what the gap and the open frame name; got is what follows.
		through, open func(id ids) string
		got           []string
	}{
		{name: "row 63: the whole log is retained", query: "topic=>", cursor: event("a1"),
			open: event("a1"), got: list("b1 a2 b2 a3")},
		{name: "row 64: expired: something after the cursor was trimmed",
			trim: trimBefore("a3", "a"), query: "topic=a", cursor: event("a1"),
			reason: "expired", through: event("a2"), open: event("a1"), got: list("a3")},
		{name: "expired: the cursor itself was trimmed too", trim: trimBefore("b2", ">"),
			query: "topic=>", cursor: event("b1"),
			reason: "expired", through: event("a2"), open: event("b1"), got: list("b2 a3")},
		{name: "no gap: the cursor is the last trimmed event", trim: trimBefore("a3", "a"),
			query: "topic=a", cursor: event("a2"), open: event("a2"), got: list("a3")},
		{name: "no gap: a checkpoint, the trimmed event of another topic", trim: trimBefore("a3",
			"b"), query: "topic=a", cursor: event("b2"), open: event("b2"), got: list("a3")},
		{name: "no gap: another topic was trimmed", trim: trimBefore("a3", "b"), query: "topic=a",
			cursor: event("a1"), open: event("a1"), got: list("a2 a3")},
		{name: "no gap: everything after the cursor is retained, though it was trimmed itself",
			trim: trimBefore("a2", "a"), query: "topic=a", cursor: event("a1"), open: event("a1"),
			got: list("a2 a3")},
		{name: "no gap: the zero ID is the start of what there is", trim: trimBefore("a3", ">"),
			query:  "topic=>",
			cursor: func(ids) string { return store.ID{}.String() }, open: func(ids) string {
				return store.ID{}.String()
			}, got: list("a3")},
		{name: "expired: a wildcard over topics trimmed at different places names the last of them",
			query:  "topic=*",
			trim:   func(s *server, id ids) { s.trim(id["a2"], "a"); s.trim(id["a3"], "b") },
			cursor: event("a1"), reason: "expired", through: event("b2"), open: event("a1"),
			got: list("a2 a3")},
		{name: "no gap: a wildcard past the place of each", query: "topic=*",
			trim:   func(s *server, id ids) { s.trim(id["a2"], "a"); s.trim(id["a3"], "b") },
			cursor: event("b2"), open: event("b2"), got: list("a3")},
		{name: "expired: nothing is left", trim: func(s *server, id ids) {
			s.trim(between(id["a3"]), ">")
		}, query: "topic=a", cursor: event("a2"),
			reason: "expired", through: event("a3"), open: event("a2")},
		{name: "no gap: the newest event was trimmed and is the cursor",
			trim:  func(s *server, id ids) { s.trim(between(id["a3"]), ">") },
			query: "topic=>", cursor: event("a3"), open: event("a3")},
		{name: "row 66: unknown: within the log, no event", query: "topic=>",
			cursor: func(id ids) string { return between(id["a2"]) },
			reason: "unknown", through: event("a2"), open: event("a2"), got: list("b2 a3")},
		{name: "unknown: above what was trimmed, and nothing retained before it",
			trim: trimBefore("a2", ">"), query: "topic=>",
			cursor: func(id ids) string {
				return between(id["b1"])
			}, reason: "unknown", through: event("b1"), open: event("b1"), got: list("a2 b2 a3")},
		{name: "no gap: an absent ID below what was trimmed is a position",
			trim: trimBefore("b2", "b"), query: "topic=a",
			cursor: func(id ids) string { return between(id["a1"]) }, open: func(id ids) string {
				return between(id["a1"])
			}, got: list("a2 a3")},
		{name: "row 65: ahead: after the head", query: "topic=>", cursor: func(ids) string {
			return ahead.String()
		},
			reason: "ahead", through: event("a3"), open: event("a3")},
		{name: "ahead: by one", query: "topic=>", cursor: func(id ids) string {
			return between(id["a3"])
		},
			reason: "ahead", through: event("a3"), open: event("a3")},
		{name: "row 67: malformed: no ULID", query: "topic=>", cursor: func(ids) string {
			return "42"
		},
			reason: "malformed", through: event("a3"), open: event("a3")},
		{name: "malformed: a letter that base 32 does not have", query: "topic=>",
			cursor: func(id ids) string { return id["a1"][:25] + "U" },
			reason: "malformed", through: event("a3"), open: event("a3")},
		{name: "malformed: too large for 128 bits", query: "topic=>", cursor: func(id ids) string {
			return "8" + id["a1"][1:]
		},
			reason: "malformed", through: event("a3"), open: event("a3")},
		{name: "row 70: malformed: high bytes", query: "topic=>", cursor: func(id ids) string {
			return "\xff\xfe"
		},
			reason: "malformed", through: event("a3"), open: event("a3")},
		{name: "lower case is accepted", query: "topic=>", cursor: func(id ids) string {
			return lower(id["b2"])
		}, open: event("b2"), got: list("a3")},
		{name: "last: what was trimmed was not asked for", trim: trimBefore("a2", ">"),
			query: "topic=>&last=10", cursor: func(ids) string { return none },
			open: event("b1"), got: list("a2 b2 a3")},
		{name: "since: earliest is wherever the log starts", trim: trimBefore("a2", ">"),
			query: "topic=>&since=earliest", cursor: func(ids) string { return none },
			open: func(ids) string { return store.ID{}.String() }, got: list("a2 b2 a3")},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, newLogAt(t, ticking()), 0, api.Options{})
			id := ids{}
			for _, name := range list("a1 b1 a2 b2 a3") {
				id[name] = s.publish(name[:1], `"`+name+`"`)
			}
			if c.trim != nil {
				c.trim(s, id)
			}
			cursor := c.cursor(id)
			events := s.open(t.Context(), "/v1/stream?"+c.query, cursor).until("tidings.live")

			if c.reason != none {
				var g gapFrame
				if events[0].Type != "tidings.gap" {
					t.Fatalf("first event is %q, want a gap", events[0].Type)
				}
				if err := json.Unmarshal(events[0].Data, &g); err != nil {
					t.Fatal(err)
				}
				if g.Reason != c.reason || g.Through != c.through(id) || g.Detail == "" {
					t.Errorf("gap %+v, want reason %q through %s", g, c.reason, c.through(id))
				}
				if want := fmt.Sprintf("%q", cursor); c.reason != "malformed" &&
					g.Requested != cursor {
					t.Errorf("gap names the cursor %q, want %s", g.Requested, want)
				}
				events = events[1:]
			}
			if open := events[0]; open.Type != "tidings.open" || open.ID != c.open(id) {
				t.Errorf("then %q with ID %q, want tidings.open with %q", open.Type,
					open.ID, c.open(id))
			}
			var open struct{ Resume bool }
			if err := json.Unmarshal(events[0].Data, &open); err != nil {
				t.Fatal(err)
			}
			goesOn := cursor != none && (c.reason == none || c.reason == "expired")
			if open.Resume != goesOn {
				t.Errorf("resume is %t, want %t", open.Resume, goesOn)
			}
			var got []string
			for _, e := range events[1 : len(events)-1] {
				var name string
				if err := json.Unmarshal(e.Data, &name); err != nil || e.ID != id[name] {
					t.Errorf("unexpected event %+v", e)
				}
				got = append(got, name)
			}
			if !slices.Equal(got, c.got) {
				t.Errorf("events %v, want %v", got, c.got)
			}
		})
	}
}

// startOnDisk starts a server that remembers nothing of its log, so that every read goes to the file.
func startOnDisk(t *testing.T) (s *server, path string) {
	t.Helper()
	dir := t.TempDir()
	log, err := bolt.Open(dir, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	return newServer(t, log, -1, api.Options{}), filepath.Join(dir, "log.db")
}

// startDamaged starts a server whose log has the events a1 b1 a2 b2 a3, in the topics a and b; a bit of a2 is flipped
// on the disk. It returns the IDs by these names.
func startDamaged(t *testing.T) (s *server, id map[string]string) {
	t.Helper()
	s, path := startOnDisk(t)
	id = make(map[string]string)
	for _, name := range list("a1 b1 a2 b2 a3") {
		id[name] = s.publish(name[:1], `"payload of `+name+`"`)
	}
	storetest.Flip(t, path, "payload of a2")
	return s, id
}

// TestGapCorrupt: the event of a damaged record is withheld, its readers get a gap in its place, and everything else
// arrives. (Readers of other topics may get one too: whose event it was is not certain.)
func TestGapCorrupt(t *testing.T) {
	s, id := startDamaged(t)
	for query, want := range map[string]string{
		"topic=a": "a1 GAP a3", "topic=a&topic=c": "a1 GAP a3", "topic=*": "a1 b1 GAP b2 a3",
	} {
		var got []string
		for _, e := range s.open(t.Context(), "/v1/stream?since=earliest&"+query,
			"").until("tidings.live") {
			var g gapFrame
			switch {
			case e.Type == "tidings.gap":
				if err := json.Unmarshal(e.Data, &g); err != nil || g.Reason != "corrupt" ||
					g.Through != id["a2"] {
					t.Errorf("%s: gap %s, want corrupt through %s", query, e.Data, id["a2"])
				}
				got = append(got, "GAP")
			case !isControl(e):
				got = append(got, strings.TrimSuffix(strings.TrimPrefix(string(e.Data),
					`"payload of `), `"`))
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %v, want %s", query, got, want)
		}
	}
	if a := s.do("GET", "/v1/events/"+id["a2"], ""); a.status != 500 ||
		a.problem(t).Code != "event-corrupt" {
		t.Errorf("the event itself: %d %s", a.status, a.body)
	}
}

// TestGapCorruptBack: reading backwards also reports a damaged record in its place, wherever the pages end.
func TestGapCorruptBack(t *testing.T) {
	s, id := startDamaged(t)
	name := make(map[string]string)
	for n, id := range id {
		name[id] = n
	}
	for query, want := range map[string]string{"topic=a": "a1 GAP a3", "topic=*": "a1 b1 GAP b2 a3",
		"topic=b": "b1 GAP b2"} {
		for _, limit := range []int{1, 2, 100} {
			var got []string
			before := ""
			for p := s.page(fmt.Sprintf("%s&limit=%d", query,
				limit)); ; p = s.page(fmt.Sprintf("%s&limit=%d&before=%s", query, limit, before)) {
				var part []string
				if p.Gap != nil {
					if p.Gap.Reason != "corrupt" || p.Gap.Through != id["a2"] ||
						p.Gap.Requested != before {
						t.Errorf(
							"%s, pages of %d: gap %+v, want corrupt through %s, asked for what is below %q",
							query, limit, p.Gap,
							id["a2"], before)
					}
					part = append(part, "GAP")
				}
				for _, id := range p.ids() {
					part = append(part, name[id])
				}
				got = append(part, got...)
				if p.Prev == nil {
					break
				}
				before = *p.Prev
			}
			if strings.Join(got, " ") != want {
				t.Errorf("%s, pages of %d: %v, want %s", query, limit, got, want)
			}
		}
	}
}

// TestDamagedMark: a read mark whose record is damaged is not an event, and setting it again repairs it.
func TestDamagedMark(t *testing.T) {
	s, path := startOnDisk(t)
	mark := fmt.Sprintf(`{"id":%q,"topics":["damaged.>"]}`, s.publish("damaged.a", "1"))
	if a := s.do("PUT", "/v1/cursors/inbox", mark); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	storetest.Flip(t, path, "damaged.>")
	if a := s.do("GET", "/v1/cursors/inbox", ""); a.status != 500 ||
		!strings.Contains(a.problem(t).Detail, "set it again") {
		t.Errorf("damaged mark: %d %s", a.status, a.body)
	}
	for _, method := range list("PUT GET") {
		if a := s.do(method, "/v1/cursors/inbox", mark); a.status != 200 {
			t.Errorf("%s again: %d %s", method, a.status, a.body)
		}
	}
}
