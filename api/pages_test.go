package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"tidings/api"
	"tidings/store"
)

// pageAnswer is a page in JSON.
type pageAnswer struct {
	Events []struct {
		ID, Topic string
		Data      json.RawMessage
	}
	Next     string
	Prev     *string
	Gap      *gapFrame
	CaughtUp bool `json:"caught_up"`
}

func (p pageAnswer) ids() (ids []string) {
	for _, e := range p.Events {
		ids = append(ids, e.ID)
	}
	return ids
}

func (s *server) page(query string) (p pageAnswer) {
	s.t.Helper()
	a := s.do("GET", "/v1/events?"+query, "")
	if a.status != http.StatusOK {
		s.t.Fatalf("%s: %d %s", query, a.status, a.body)
	}
	a.decode(s.t, &p)
	return p
}

// TestEveryWayReadsTheSame: for random logs, filters, cursors and trims, a stream, pages of any
// size, lines and a long poll return the same events after the same gap.
func TestEveryWayReadsTheSame(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := start(t)
		topics := rapid.SliceOfN(rapid.SampledFrom(list("a a.b a.c b")), 1, 40).Draw(rt, "topics")
		var ids []string
		for i, topic := range topics {
			ids = append(ids, s.publish(topic, fmt.Sprintf(`{"n":%d}`, i)))
		}
		for range rapid.IntRange(0, 2).Draw(rt, "trims") {
			s.trim(rapid.SampledFrom(ids).Draw(rt, "before"),
				rapid.SampledFrom(list("> a a.> b")).Draw(rt, "trimmed"))
		}
		cursor := rapid.SampledFrom(append(ids, "nonsense", store.ID{}.String(),
			"7ZZZZZZZZZZZZZZZZZZZZZZZZZ")).Draw(rt, "cursor")
		query := "topic=" + strings.Join(rapid.SliceOfNDistinct(
			rapid.SampledFrom(list("> a a.* b c")), 1, 3, rapid.ID).Draw(rt, "patterns"), "&topic=")

		var want []string
		var wantGap *gapFrame
		for _, e := range s.open(t.Context(), "/v1/stream?"+query+"&after="+cursor,
			"").until("tidings.live") {
			switch {
			case e.Type == "tidings.gap":
				if err := json.Unmarshal(e.Data, &wantGap); err != nil {
					rt.Fatal(err)
				}
			case !isControl(e):
				want = append(want, e.ID)
			}
		}
		for _, wait := range list("0s 1ms") {
			limit := rapid.IntRange(1, 50).Draw(rt, "limit")
			var got []string
			var gap *gapFrame
			at := cursor
			for caughtUp := false; !caughtUp; {
				p := s.page(fmt.Sprintf("%s&after=%s&limit=%d&wait=%s", query, at, limit, wait))
				if at == cursor {
					// later pages may report it again, or report one that the start of the log had excused
					gap = p.Gap
				}
				got, at, caughtUp = append(got, p.ids()...), p.Next, p.CaughtUp
			}
			if !slices.Equal(got, want) {
				rt.Fatalf("pages of %d: %v, the stream: %v", limit, got, want)
			}
			if fmt.Sprint(gap) != fmt.Sprint(wantGap) &&
				(gap == nil || wantGap == nil || *gap != *wantGap) {
				rt.Fatalf("pages of %d: gap %+v, the stream: %+v", limit, gap, wantGap)
			}
		}
		lines := s.do("GET", "/v1/events?limit=1000&"+query+"&after="+cursor, "",
			"Accept: application/x-ndjson")
		var got []string
		for line := range strings.Lines(lines.body) {
			var e struct{ ID string }
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				rt.Fatal(err)
			}
			got = append(got, e.ID)
		}
		gap, caughtUp := lines.header.Get("Tidings-Gap"), lines.header.Get("Tidings-Caught-Up")
		if !slices.Equal(got, want) || (gap != "") != (wantGap != nil) || caughtUp != "true" {
			rt.Fatalf("lines: %v %v, the stream: %v, gap %v", got, lines.header, want, wantGap)
		}
	})
}

// TestPagesBack reads back from the newest event to the start of the log, in pages of any size.
func TestPagesBack(t *testing.T) {
	s := start(t)
	var all, evens []string
	for i := range 60 {
		topic := []string{"even", "odd"}[i%2]
		id := s.publish(topic, "1")
		all = append(all, id)
		if i%2 == 0 {
			evens = append(evens, id)
		}
	}
	for query, want := range map[string][]string{"": all, "topic=even": evens,
		"topic=e.*&topic=even": evens} {
		for _, limit := range []int{1, 7, 16, 30, 60, 100} {
			p := s.page(fmt.Sprintf("%s&limit=%d", query, limit))
			if !p.CaughtUp || p.Next != all[59] {
				t.Errorf("newest page: %+v, want it caught up at %s", p, all[59])
			}
			got := p.ids()
			for p.Prev != nil {
				p = s.page(fmt.Sprintf("%s&limit=%d&before=%s", query, limit, *p.Prev))
				got = append(p.ids(), got...)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%q, limit %d: got %v, want %v", query, limit, got, want)
			}
		}
	}
	if p := s.page("topic=nothing"); len(p.Events) != 0 || p.Prev != nil || p.Next != all[59] {
		t.Errorf("no match: %+v", p)
	}
}

// TestPageThenStream: render a page, then follow after its next: no hole and no repeat, while others write.
func TestPageThenStream(t *testing.T) {
	s := start(t)
	published := make(chan []string)
	go func() {
		var ids []string
		for i := range 300 {
			ids = append(ids, s.publish(fmt.Sprintf("t.%d", i%3), "1"))
		}
		published <- ids
	}()
	type reader struct{ page, rest []string }
	readers := make([]reader, 20)
	for i := range readers {
		p := s.page("topic=t.1&limit=5")
		readers[i].page = p.ids()
		for _, e := range s.open(t.Context(), "/v1/stream?topic=t.1&after="+p.Next,
			"").until("tidings.live") {
			if !isControl(e) {
				readers[i].rest = append(readers[i].rest, e.ID)
			}
		}
	}
	var want []string
	for i, id := range <-published {
		if i%3 == 1 {
			want = append(want, id)
		}
	}
	for _, r := range readers {
		got := append(r.page, r.rest...)
		if len(got) == 0 {
			continue
		}
		at := slices.Index(want, got[0])
		if at < 0 || at+len(got) > len(want) || !slices.Equal(got, want[at:at+len(got)]) {
			t.Errorf("page %v and stream %v are no stretch of the topic", r.page, r.rest)
		}
	}
}

// TestLongPoll: a page that waits is answered by the next matching event, or at the end of its wait with a cursor
// that has advanced.
func TestLongPoll(t *testing.T) {
	bubble(t, api.Options{}, func(t *testing.T, s *piped) {
		poll := func() <-chan pageAnswer {
			_, r := s.get("/v1/events?topic=orders&after=00000000000000000000000000&wait=30s")
			got := make(chan pageAnswer, 1)
			go func() {
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Error(err)
					return
				}
				var p pageAnswer
				if err := json.NewDecoder(resp.Body).Decode(&p); err != nil {
					t.Error(err)
				}
				got <- p
			}()
			return got
		}
		begin := time.Now()
		got := poll()
		synctest.Wait()
		other := appendTo(t, s.log, "elsewhere")
		if p := <-got; len(p.Events) != 0 || p.Next != other.String() || !p.CaughtUp ||
			time.Since(begin) != 30*time.Second {
			t.Errorf("after %v: %+v, want nothing but next %v after 30 s",
				time.Since(begin), p, other)
		}
		begin = time.Now()
		got = poll()
		synctest.Wait()
		id := appendTo(t, s.log, "orders")
		if p := <-got; len(p.Events) != 1 || p.Events[0].ID != id.String() ||
			time.Since(begin) != 0 {
			t.Errorf("after %v: %+v, want %v at once", time.Since(begin), p, id)
		}
	})
}

// TestPageCountsAttributes: a page ends at 4 MiB, whatever they consist of. Older logs have events with attributes
// that would now be refused.
func TestPageCountsAttributes(t *testing.T) {
	s := start(t)
	for range 3 {
		large := store.Attribute{Name: "x", Value: `"` + strings.Repeat("x", 3<<20) + `"`}
		if _, err := store.Append(t.Context(), s.log,
			[]store.Draft{{Topic: "a", Attributes: []store.Attribute{large}}}); err != nil {
			t.Fatal(err)
		}
	}
	var page struct{ Events []any }
	s.do("GET", "/v1/events?since=earliest", "").decode(t, &page)
	if len(page.Events) != 1 {
		t.Errorf("a page of %d events of 3 MiB, want 1", len(page.Events))
	}
}

func TestPageRefused(t *testing.T) {
	s := start(t)
	for _, query := range list("limit=0 limit=1001 limit=x wait=61s wait=-1s wait=5 before=x before=00000000000000000000000000&after=00000000000000000000000000 before=00000000000000000000000000&last=3 format=data") {
		if a := s.do("GET", "/v1/events?"+query, ""); a.status != 400 ||
			a.problem(t).Code != "query-invalid" {
			t.Errorf("%s: %d %s", query, a.status, a.body)
		}
	}
	if a := s.do("GET", "/v1/events", "", "Accept: text/event-stream"); a.status != 406 {
		t.Errorf("a page as a stream: %d", a.status)
	}
}

// TestCompression: pages are compressed for clients that ask, streams never.
func TestCompression(t *testing.T) {
	s := start(t)
	s.publish("a", `"`+strings.Repeat("x", 10_000)+`"`)
	plain := s.do("GET", "/v1/events", "", "Accept-Encoding: identity")
	packed := s.do("GET", "/v1/events", "", "Accept-Encoding: zstd")
	d, err := zstd.NewReader(strings.NewReader(packed.body))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if text, err := io.ReadAll(d); err != nil || string(text) != plain.body ||
		len(packed.body) > 1000 {
		t.Errorf("zstd: %d bytes, %v", len(packed.body), err)
	}
	if a := s.do("GET", "/v1/events",
		"", "Accept-Encoding: gzip"); a.header.Get("Content-Encoding") != "gzip" {
		t.Errorf("gzip: %v", a.header)
	}
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.url+"/v1/stream?since=earliest", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept-Encoding", "gzip, zstd")
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if e := resp.Header.Get("Content-Encoding"); e != "" {
		t.Errorf("a stream in %s", e)
	}
}

func TestTopics(t *testing.T) {
	s := start(t)
	a1, b1 := s.publish("a", "1"), s.publish("b.x", "1")
	s.do("POST", "/v1/topics/b.x/end", "")
	a2 := s.publish("a", "2")
	s.trim(a2, "a")
	var got struct {
		Topics []struct {
			Topic              string
			Count, Bytes       int
			First, Last, Ended *string
		}
	}
	s.do("GET", "/v1/topics", "").decode(t, &got)
	if len(got.Topics) != 2 || got.Topics[0].Topic != "a" || got.Topics[0].Count != 1 ||
		*got.Topics[0].First != a2 || *got.Topics[0].Last != a2 || got.Topics[0].Ended != nil {
		t.Errorf("topics %+v, want a with %s alone (not %s)", got.Topics, a2, a1)
	} else if b := got.Topics[1]; b.Count != 2 || *b.First != b1 || b.Ended == nil ||
		*b.Ended != *b.Last {
		t.Errorf("topic %+v, want two events and the end", b)
	}
}
