package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidings/api"
	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/storetest"
)

// place is a data directory that a test opens, copies and replaces as people do.
type place struct {
	t   *testing.T
	dir string
	now time.Time
	log *bolt.Log
}

func newPlace(t *testing.T) *place {
	p := &place{t: t, dir: t.TempDir(), now: time.Unix(1_800_000_000, 0)}
	p.open()
	t.Cleanup(func() { p.close() })
	return p
}

func (p *place) open() {
	p.t.Helper()
	var err error
	p.log, err = bolt.Open(p.dir, bolt.Options{Now: func() time.Time { return p.now }})
	p.must(err)
}

func (p *place) close() {
	p.t.Helper()
	if p.log != nil {
		p.must(p.log.Close())
		p.log = nil
	}
}

func (p *place) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) reopen() { p.close(); p.open() }

// publish appends an event a second after the previous one.
func (p *place) publish(topic string) store.ID {
	p.t.Helper()
	p.now = p.now.Add(time.Second)
	ids, err := store.Append(context.Background(), p.log,
		[]store.Draft{{Topic: topic, ContentType: "application/json", Data: []byte("1")}})
	p.must(err)
	return ids[0]
}

func (p *place) trim(before store.ID, pattern string) {
	p.t.Helper()
	f, err := store.NewFilter(pattern)
	p.must(err)
	_, err = p.log.Trim(context.Background(), f, before)
	p.must(err)
}

// backup returns a backup of the current state.
func (p *place) backup() []byte {
	p.t.Helper()
	var file bytes.Buffer
	_, err := p.log.Backup(context.Background(), &file)
	p.must(err)
	return file.Bytes()
}

// restore continues with the backup, in another directory.
func (p *place) restore(backup []byte) {
	p.t.Helper()
	p.close()
	file := filepath.Join(p.t.TempDir(), "backup.db")
	p.must(os.WriteFile(file, backup, 0o600))
	p.dir = p.t.TempDir()
	_, err := bolt.Restore(context.Background(), file, p.dir, bolt.RestoreOptions{})
	p.must(err)
	p.open()
}

// lose continues with the file as it was, as after a disk that had not written what it reported.
func (p *place) lose(file []byte) {
	p.t.Helper()
	p.close()
	p.must(os.WriteFile(filepath.Join(p.dir, "log.db"), file, 0o600))
	p.open()
}

// export continues with a new log of the same events.
func (p *place) export() {
	p.t.Helper()
	page, err := p.log.NewReader(store.All(), store.ID{}).Next(1000)
	p.must(err)
	p.close()
	p.dir = p.t.TempDir()
	p.open()
	_, err = p.log.Import(context.Background(), iter.Seq2[store.Event, error](
		func(yield func(store.Event, error) bool) {
			for _, e := range page.Events {
				if !yield(e, nil) {
					return
				}
			}
		}))
	p.must(err)
}

// TestNeverInThisLog: a client that resumes after an event that was lost, or that belongs to another log, gets a gap,
// whatever has happened to the log since. A client that resumes after one that was only trimmed does not.
func TestNeverInThisLog(t *testing.T) {
	// Each makes the log lose events, and returns them, and others that the log had and has trimmed.
	losses := map[string]func(p *place) (lost, trimmed []store.ID){
		"restore": func(p *place) (lost, trimmed []store.ID) {
			p.publish("orders")
			backup := p.backup()
			lost = []store.ID{p.publish("orders"), p.publish("orders"), p.publish("other")}
			p.restore(backup)
			return lost, nil
		},
		"restore, and the clock is behind": func(p *place) (lost, trimmed []store.ID) {
			p.publish("orders")
			backup := p.backup()
			lost = []store.ID{p.publish("orders"), p.publish("orders")}
			p.restore(backup)
			p.now = p.now.Add(-3 * time.Second)
			// New events lie before, between and after those that were lost.
			return lost, []store.ID{p.publish("other"), p.publish("other"), p.publish("other")}
		},
		"restore, and the clock is behind the log": func(p *place) (lost, trimmed []store.ID) {
			p.publish("orders")
			backup := p.backup()
			p.now = p.now.Add(-time.Hour)
			lost = []store.ID{p.publish("orders"), p.publish("orders")} // the IDs after the last one
			p.restore(backup)
			p.now = p.now.Add(-time.Hour)
			return lost, []store.ID{p.publish("other"), p.publish("other"), p.publish("other")}
		},
		"restore, twice": func(p *place) (lost, trimmed []store.ID) {
			p.publish("orders")
			first := p.backup()
			lost = append(lost, p.publish("orders"))
			p.restore(first)
			trimmed = append(trimmed, p.publish("other"))
			second := p.backup()
			lost = append(lost, p.publish("orders"))
			p.restore(second)
			trimmed = append(trimmed, p.publish("other"))
			lose := p.backup()
			lost = append(lost, p.publish("orders"))
			p.lose(lose)
			return lost, trimmed
		},
		"a disk that lied": func(p *place) (lost, trimmed []store.ID) {
			p.publish("orders")
			file := p.backup()
			lost = []store.ID{p.publish("orders"), p.publish("orders")}
			p.lose(file)
			return lost, nil
		},
		"import": func(p *place) (lost, trimmed []store.ID) {
			gone := p.publish("orders")
			p.publish("orders") // trimmed too, so a client that has seen gone misses it
			p.trim(p.publish("orders"), "orders")
			p.publish("orders")
			p.export()
			return []store.ID{gone}, nil
		},
		"another log": func(p *place) (lost, trimmed []store.ID) {
			other := newPlace(p.t)
			for range 5 {
				trimmed = append(trimmed, p.publish("other"))
				other.now = p.now
				lost = append(lost, other.publish("orders"))
				p.now = other.now
			}
			p.publish("orders")
			return lost, trimmed
		},
	}
	since := map[string]func(p *place){
		"nothing":                  func(*place) {},
		"a restart":                (*place).reopen,
		"a restore":                func(p *place) { p.restore(p.backup()) },
		"restart, event, restart":  func(p *place) { p.reopen(); p.publish("other"); p.reopen() },
		"a compaction":             func(p *place) { p.close(); p.compact(); p.open() },
		"all of it trimmed":        func(p *place) { p.trim(store.MaxID, ">") },
		"all of it trimmed before": func(p *place) { p.trim(store.MaxID, ">"); p.publish("orders"); p.reopen() },
	}
	for what, lose := range losses {
		for later, then := range since {
			t.Run("row 134: "+what+", then "+later, func(t *testing.T) {
				t.Parallel()
				p := newPlace(t)
				lost, trimmed := lose(p)
				trimmed = append(trimmed, p.publish("other"))
				p.now = p.now.Add(time.Minute)
				p.trim(p.publish("other"), "other")
				p.publish("orders")
				then(p)
				s := newServer(t, p.log, 0, api.Options{})
				for _, id := range lost {
					s.expectUnknown(id.String())
				}
				for _, id := range trimmed {
					s.expectKnown(id.String())
				}
				storetest.Check(t, p.log)
			})
		}
	}
}

func (p *place) compact() {
	p.t.Helper()
	_, _, err := bolt.Compact(context.Background(), p.dir, nil)
	p.must(err)
}

// resume returns the reason of the first gap that a stream reports after a cursor, "" for none, and whether its open
// frame says that it was resumed.
func (s *server) resume(cursor string) (reason string, resumed bool) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, e := range s.open(ctx, "/v1/stream?topic=orders&topic=other", cursor).until("tidings.open") {
		var data struct {
			Reason string
			Resume bool
		}
		if len(e.Data) > 0 {
			if err := json.Unmarshal(e.Data, &data); err != nil {
				s.t.Fatal(err)
			}
		}
		reason, resumed = reason+data.Reason, data.Resume
	}
	return reason, resumed
}

// expectUnknown expects that an ID is not a position wherever one is accepted.
func (s *server) expectUnknown(id string) {
	s.t.Helper()
	if reason, resumed := s.resume(id); reason != "unknown" || resumed {
		s.t.Errorf("a stream resumed after %s tells %q, resume: %t", id, reason, resumed)
	}
	if p := s.page("topic=orders&after=" + id); p.Gap == nil || p.Gap.Reason != "unknown" {
		s.t.Errorf("a page after %s tells %+v", id, p.Gap)
	}
	lines := s.do("GET", "/v1/events?topic=orders&after="+id, "", "Accept: application/x-ndjson")
	var gap gapFrame
	if err := json.Unmarshal([]byte(lines.header.Get("Tidings-Gap")), &gap); err != nil ||
		gap.Reason != "unknown" {
		s.t.Errorf("lines after %s tell %v", id, lines.header)
	}
	mark := fmt.Sprintf(`{"id":%q,"topics":["orders"]}`, id)
	if a := s.do("PUT", "/v1/cursors/inbox", mark); a.status != 400 ||
		a.problem(s.t).Code != "id-invalid" {
		s.t.Errorf("a read mark at %s: %d %s", id, a.status, a.body)
	}
}

// expectKnown expects that an ID is a position, after which something may have been trimmed.
func (s *server) expectKnown(id string) {
	s.t.Helper()
	if reason, resumed := s.resume(id); reason != "" && reason != "expired" || !resumed {
		s.t.Errorf("a stream resumed after %s tells %q, resume: %t", id, reason, resumed)
	}
	if p := s.page("topic=orders&after=" + id); p.Gap != nil && p.Gap.Reason != "expired" {
		s.t.Errorf("a page after %s tells %+v", id, p.Gap)
	}
	mark := fmt.Sprintf(`{"id":%q,"topics":["orders"]}`, id)
	if a := s.do("PUT", "/v1/cursors/inbox", mark); a.status != 200 {
		s.t.Errorf("a read mark at %s: %d %s", id, a.status, a.body)
	}
}

// idAfter is the ID right after another, which no event has.
func idAfter(t *testing.T, id string) string {
	t.Helper()
	parsed, err := store.ParseID(id)
	if err != nil {
		t.Fatal(err)
	}
	next, _ := parsed.Next()
	return next.String()
}

// TestGapInHeader: a gap that repeats what a client sent is a header that every HTTP version accepts, and the same
// JSON as in a page.
func TestGapInHeader(t *testing.T) {
	s := start(t)
	s.publish("orders", "1")
	for name, cursor := range map[string]string{
		"DEL": "%7F", "C1": "%C2%9B31m", "letters": "caf%C3%A9", "beyond the BMP": "%F0%9F%98%80",
		"no UTF-8": "%FF%FE", "CR LF": "a%0D%0Ab%3A%20c", "NUL": "%00", "cut in a letter": strings.
				Repeat("a", 63) + "%C3%A9", "quotes": "%22%5C",
	} {
		for protocol, client := range map[string]*http.Transport{"HTTP/1.1": {}, "HTTP/2": h2c(t)} {
			t.Run("row 136: "+name+" over "+protocol, func(t *testing.T) {
				r, err := http.NewRequest("GET", s.url+"/v1/events?after="+cursor, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Accept", "application/x-ndjson")
				resp, err := client.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				text := resp.Header.Get("Tidings-Gap")
				for _, b := range []byte(text) {
					if b < ' ' || b > '~' {
						t.Errorf("byte %#x in %q", b, text)
					}
				}
				var got gapFrame
				if err := json.Unmarshal([]byte(text), &got); err != nil {
					t.Fatalf("%v in %q", err, text)
				}
				if want := s.page("after=" + cursor).Gap; want == nil ||
					got.Reason != want.Reason || got.Requested != want.Requested {
					t.Errorf("the header has %+v, a page %+v", got, want)
				}
			})
		}
	}
}

// TestNewestMany: a page of the newest events has all of them, as far as a page may, unless a number is given.
func TestNewestMany(t *testing.T) {
	s := start(t)
	drafts := make([]store.Draft, 1100)
	for i := range drafts {
		drafts[i].Topic = "orders"
	}
	ids, err := store.Append(t.Context(), s.log, drafts)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, query string
		want        []store.ID
		caughtUp    bool
	}{
		{"row 133: fewer than a page", "last=50", ids[1050:], true},
		{"row 133: more than a page", "last=150", ids[950:], true},
		{"row 133: as many as a page may have", "last=1000", ids[100:], true},
		{"row 133: more than a page may have", "last=1050", ids[50:1050], false},
		{"row 133: with a limit", "last=150&limit=100", ids[950:1050], false},
		{"row 133: beside a cursor", "last=150&after=" + ids[0].String(), ids[1:101], false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := s.page(c.query)
			got := p.ids()
			if len(got) != len(c.want) || got[0] != c.want[0].String() ||
				got[len(got)-1] != c.want[len(c.want)-1].String() || p.CaughtUp != c.caughtUp {
				t.Errorf("%d events, caught up: %t, want %d: %t", len(got), p.CaughtUp, len(c.want),
					c.caughtUp)
			}
		})
	}
}
