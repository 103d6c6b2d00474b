package api_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidings/api"
	"tidings/internal/e2e"
	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/storetest"
)

// nodes are two servers of one log. What happens on the first does not reach the second until that catches up.
type nodes struct {
	ahead, behind *server
	seat          *storetest.Seat // of the one behind
}

func startNodes(t *testing.T, dir string, timeout time.Duration) *nodes {
	sequence := storetest.NewSequence()
	open := func(dir string, seat *storetest.Seat) store.Log {
		return newLogIn(t, dir, bolt.Options{Sequencer: seat, SequencerTimeout: timeout})
	}
	n := &nodes{seat: sequence.Seat()}
	n.ahead = newServer(t, open(t.TempDir(), sequence.Seat()), 0, api.Options{})
	n.behind = newServer(t, open(dir, n.seat), 0, api.Options{})
	return n
}

// lag hides what happens from now on from the second, until it asks for the end of the log.
func (n *nodes) lag() {
	n.seat.Pause()
	n.seat.OnEnd(n.seat.Resume)
}

// TestErrorsBehind: what a client got from one server works the same on another that is behind.
func TestErrorsBehind(t *testing.T) {
	n := startNodes(t, t.TempDir(), time.Minute)
	first := n.ahead.publish("a", "1")
	if err := n.behind.log.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	asks := []struct {
		name string
		ask  func(id string) string // returns "" or what is wrong
	}{
		{"event", func(id string) string {
			a := n.behind.do("GET", "/v1/events/"+id, "")
			return wrong(a, 200, id)
		}},
		{"page", func(id string) string {
			a := n.behind.do("GET", "/v1/events?topic=a&after="+id, "")
			return wrong(a, 200, `"gap":null`)
		}},
		{"page before", func(id string) string {
			a := n.behind.do("GET", "/v1/events?topic=a&limit=1&before="+next(t, id), "")
			return wrong(a, 200, id)
		}},
		{"mark", func(id string) string {
			a := n.behind.do("PUT", "/v1/cursors/inbox", fmt.Sprintf(`{"id":%q,"topics":["a"]}`, id))
			return wrong(a, 200, `"unread":0`)
		}},
		{"stream", func(id string) string {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			for _, e := range n.behind.open(ctx, "/v1/stream?topic=a", id).until("tidings.live") {
				if e.Type == "tidings.gap" || !isControl(e) {
					return string(e.Data)
				}
			}
			return ""
		}},
		{"trim", func(id string) string {
			return wrong(n.behind.do("POST", "/v1/topics/b/trim?before="+id, ""), 200, `"deleted":0`)
		}},
	}
	for _, ask := range asks {
		t.Run("row 265: "+ask.name, func(t *testing.T) {
			n.lag()
			if problem := ask.ask(n.ahead.publish("a", "2")); problem != "" {
				t.Error(problem)
			}
		})
	}
	t.Run("row 265: at or below the head", func(t *testing.T) {
		n.seat.OnEnd(func() { t.Error("the end of the sequence was asked for") })
		if problem := wrong(n.behind.do("GET", "/v1/events?topic=a&limit=1&after="+first, ""), 200,
			`"gap":null`); problem != "" {
			t.Error(problem)
		}
		n.seat.OnEnd(nil)
	})
	n.seat.Cut()
	last := n.ahead.publish("a", "3")
	for _, ask := range []struct{ method, path, body string }{
		{"GET", "/v1/events/" + last, ""}, {"GET", "/v1/events?topic=a&after=" + last, ""},
		{"GET", "/v1/events?topic=a&before=" + next(t, last), ""},
		{"PUT", "/v1/cursors/inbox", fmt.Sprintf(`{"id":%q,"topics":["a"]}`, last)},
		{"POST", "/v1/topics/a/trim?before=" + last, ""},
	} {
		t.Run("row 266: "+ask.method+" "+ask.path, func(t *testing.T) {
			a := n.behind.do(ask.method, ask.path, ask.body)
			if a.problem(t).Code != "log-unavailable" || a.status != 503 || a.header.Get("Retry-After") == "" {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	t.Run("row 266: stream", func(t *testing.T) {
		a := n.behind.do("GET", "/v1/stream?topic=a", "", "Last-Event-ID: "+last)
		if a.status != http.StatusOK || !strings.Contains(a.body, "retry: ") ||
			!strings.Contains(a.body, `{"reason":"unavailable"}`) || strings.Contains(a.body, "id:") {
			t.Errorf("%d %q", a.status, a.body)
		}
		wantSamples(t, n.behind.metrics(), map[string]string{`tidings_byes_total{reason="unavailable"}`: "1"})
	})
	n.seat.Mend()
	if err := n.behind.log.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// next returns the ID right above another.
func next(t *testing.T, text string) string {
	id, err := store.ParseID(text)
	if err != nil {
		t.Fatal(err)
	}
	id, _ = id.Next()
	return id.String()
}

// wrong returns what is wrong with a response, "" if nothing is.
func wrong(a answer, status int, contains string) string {
	if a.status == status && strings.Contains(a.body, contains) {
		return ""
	}
	return fmt.Sprintf("%d %s, want %d with %s", a.status, a.body, status, contains)
}

// TestErrorsSequence: publishes while the cluster that keeps the log misbehaves.
func TestErrorsSequence(t *testing.T) {
	n := startNodes(t, t.TempDir(), 50*time.Millisecond)
	publish := func(key string, want string) answer {
		t.Helper()
		a := n.behind.do("POST", "/v1/topics/a/events", "1", "Idempotency-Key: "+key)
		code, outcome, _ := strings.Cut(want, " ")
		if p := a.problem(t); p.Code != code || p.Outcome != outcome || a.header.Get("Retry-After") == "" {
			t.Errorf("publish under %s: %d %s, want %s", key, a.status, a.body, want)
		}
		return a
	}
	t.Run("row 267: it does not answer", func(t *testing.T) {
		n.seat.OnAppend(func([]byte) storetest.Fate { return storetest.NoAnswer })
		publish("k", "log-unavailable not_stored")
		if p := n.behind.do("GET", "/readyz", "").problem(t); p.Code != "log-unavailable" {
			t.Errorf("readyz: %+v", p)
		}
		n.seat.OnAppend(nil)
		n.behind.publish("a", "1")
		if a := n.behind.do("GET", "/readyz", ""); a.status != 200 {
			t.Errorf("readyz afterwards: %s", a.body)
		}
	})
	t.Run("row 268: it does not say whether it has it", func(t *testing.T) {
		n.seat.OnAppend(func([]byte) storetest.Fate { return storetest.Unheard })
		publish("open", "outcome-pending unknown")
		n.seat.OnAppend(nil)
		a := n.behind.do("POST", "/v1/topics/a/events", "1", "Idempotency-Key: open")
		if a.status != http.StatusOK { // a replay
			t.Errorf("the same again: %d %s, want a replay", a.status, a.body)
		}
	})
}

// TestErrorsMirrorFull: an event that the cluster has and this server's disk has no room for.
func TestErrorsMirrorFull(t *testing.T) {
	disk := storetest.SmallDisk(t, "tmpfs", 8<<20)
	n := startNodes(t, filepath.Join(disk, "data"), time.Minute)
	t.Run("row 269: the mirror's disk is full", func(t *testing.T) {
		other := filepath.Join(disk, "other")
		if err := os.WriteFile(other, make([]byte, 16<<20), 0o600); err == nil {
			t.Fatal("the disk is not small")
		}
		data := `"` + strings.Repeat("x", 50_000) + `"`
		var a answer
		for i := 0; a.status < 300; i++ {
			a = n.behind.do("POST", "/v1/topics/a/events", data, fmt.Sprintf("Idempotency-Key: %d", i))
		}
		if p := a.problem(t); p.Code != "outcome-pending" || p.Outcome != "unknown" {
			t.Fatalf("publish: %+v", p)
		}
		if p := n.behind.do("GET", "/readyz", "").problem(t); p.Code != "no-space" {
			t.Errorf("readyz: %+v", p)
		}
		if err := n.ahead.log.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := n.ahead.log.Head()
		if err := os.Remove(other); err != nil {
			t.Fatal(err)
		}
		e2e.Eventually(t, "readiness", func() bool { return n.behind.do("GET", "/readyz", "").status == 200 })
		if head := n.behind.log.Head(); head != want {
			t.Errorf("the head is %s, that of the other %s", head, want)
		}
	})
}

// asked is a sequencer that counts what it is asked.
type asked struct {
	*storetest.Seat
	calls atomic.Int64
}

func (a *asked) Append(ctx context.Context, after store.Place, commit []byte) (store.Place, error) {
	a.calls.Add(1)
	return a.Seat.Append(ctx, after, commit)
}

func (a *asked) Follow(ctx context.Context, after store.Place, deliver func(store.Place, []byte) error) error {
	a.calls.Add(1)
	return a.Seat.Follow(ctx, after, deliver)
}

func (a *asked) End(ctx context.Context, had uint64) (store.Place, error) {
	a.calls.Add(1)
	return a.Seat.End(ctx, had)
}

func (a *asked) Find(ctx context.Context, number uint64) (store.Place, []byte, error) {
	a.calls.Add(1)
	return a.Seat.Find(ctx, number)
}

func (a *asked) Extent(ctx context.Context) (store.Extent, error) {
	a.calls.Add(1)
	return a.Seat.Extent(ctx)
}

// TestReturnAsksNobody: however many subscribers return to a node and follow it, it asks the sequencer nothing, and
// follows it once.
func TestReturnAsksNobody(t *testing.T) {
	seq := &asked{Seat: storetest.NewSequence().Seat()}
	s := newServer(t, newLogIn(t, t.TempDir(), bolt.Options{Sequencer: seq}), 0, api.Options{})
	cursors := []store.ID{appendTo(t, s.log, "a"), appendTo(t, s.log, "a"), appendTo(t, s.log, "a")}
	calls := seq.calls.Load()
	for i := range 1000 {
		conn := s.connect()
		defer conn.Close()
		_, err := fmt.Fprintf(conn, "GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: %s\r\n\r\n",
			cursors[i%len(cursors)])
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		for events := newStream(t, resp); events.next().Type != "tidings.live"; {
		}
	}
	if n := seq.calls.Load() - calls; n != 0 {
		t.Errorf("the sequencer was asked %d times", n)
	}
}
