package api_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"

	"tidings/api"
	"tidings/internal/sse"
	"tidings/store"
)

// TestCutAtEveryByte cuts a stream of 20 events after each of its bytes and resumes with the last ID that a client
// would have by then: it gets every event once, in order.
func TestCutAtEveryByte(t *testing.T) {
	s := start(t)
	var want []string
	for i := range 20 {
		// Several lines and types, so that cuts fall between all kinds of fields.
		a := s.do("POST", fmt.Sprintf("/v1/topics/orders.n%d/events?type=order.n%d", i%3, i%2),
			fmt.Sprintf("line %d\r\nand %d\n", i, i), "Content-Type: text/plain")
		var got struct{ ID string }
		a.decode(t, &got)
		want = append(want, got.ID)
	}
	const url = "/v1/stream?topic=orders.*&since=earliest"
	for cut := 0; ; cut++ {
		ctx, cancel := context.WithCancel(t.Context())
		resp := s.open(ctx, url, "").resp
		head := make([]byte, cut)
		if _, err := io.ReadFull(resp.Body, head); err != nil {
			t.Fatal(err)
		}
		cancel() // the connection is gone
		got, lastID := dispatched(t, head)
		for _, e := range s.open(t.Context(), url, lastID).until("tidings.live") {
			if !isControl(e) {
				got = append(got, e.ID)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("cut after %d bytes, resumed after %q: got %v, want %v",
				cut, lastID, got, want)
		}
		if bytes.Contains(head, []byte("event: tidings.live\n")) {
			return // everything has been cut
		}
	}
}

// dispatched returns what a client makes of the beginning of a stream.
func dispatched(t *testing.T, head []byte) (ids []string, lastID string) {
	d := sse.NewDecoder(bytes.NewReader(head), 0)
	for {
		e, err := d.Next()
		if err != nil {
			return ids, d.LastEventID()
		}
		if !isControl(e) {
			ids = append(ids, e.ID)
		}
	}
}

// TestComeAndGo: 8 publishers, and 200 subscribers that connect, drop and resume at random. What each received over
// all of its connections is the log after its start.
func TestComeAndGo(t *testing.T) {
	for name, tailBytes := range map[string]int64{"default": 0, "none": -1, "tiny": 4096} {
		t.Run("tail="+name, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			s := newServer(t, newLog(t), tailBytes, api.Options{})
			comeAndGo(t, s, seed)
		})
	}
}

func comeAndGo(t *testing.T, s *server, seed uint64) {
	const publishers, each = 8, 120
	subscribers := 200
	if testing.Short() {
		subscribers = 50 // each costs much more under the race detector
	}
	var mu sync.Mutex
	topicOf := make(map[string]string) // acknowledged events
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(p)))
			for i := range each {
				topic := fmt.Sprintf("t%d.s%d", rng.IntN(4), rng.IntN(3))
				id := s.publish(topic, fmt.Sprintf(`{"publisher":%d,"n":%d}`, p, i))
				mu.Lock()
				topicOf[id] = topic
				mu.Unlock()
			}
		})
	}
	publishing, published := context.WithCancel(t.Context())
	runs := make([]*visitor, subscribers)
	var done sync.WaitGroup
	for i := range runs {
		runs[i] = newVisitor(s, rand.New(rand.NewPCG(seed, uint64(1000+i))))
		done.Go(func() { runs[i].run(t, publishing) })
	}
	wg.Wait()
	published()
	done.Wait()

	all := make([]string, 0, len(topicOf))
	for id := range topicOf {
		all = append(all, id)
	}
	slices.Sort(all)
	for _, v := range runs {
		want := slices.DeleteFunc(slices.Clone(all), func(id string) bool {
			return id <= v.start || !v.filter.Match(topicOf[id])
		})
		if !slices.Equal(v.got, want) {
			t.Errorf("subscriber to %q from %s on, over %d connections: got %d events, want %d",
				v.filter, v.start, v.connections, len(v.got), len(want))
		}
	}
}

// visitor is a subscriber that comes and goes.
type visitor struct {
	s           *server
	rng         *rand.Rand
	filter      store.Filter
	query       string
	start       string // the first open frame's ID: it wants what follows
	lastID      string
	got         []string
	connections int
}

func newVisitor(s *server, rng *rand.Rand) *visitor {
	patterns := []string{">", "t1.*", "*.s2", "t0.s0", "t2.>"}
	p := patterns[rng.IntN(len(patterns))]
	f, err := store.NewFilter(p)
	if err != nil {
		s.t.Fatal(err)
	}
	since := []string{"earliest", "latest"}[rng.IntN(2)]
	return &visitor{s: s, rng: rng, filter: f, query: "/v1/stream?topic=" + p + "&since=" + since}
}

// run stays for a few events at a time; after the last publish it connects once more and stays until it has caught
// up.
func (v *visitor) run(t *testing.T, publishing context.Context) {
	for publishing.Err() == nil {
		stay := v.rng.IntN(40)
		v.visit(t, publishing, func(e sse.Event) bool {
			stay--
			return stay > 0 && (e.Type != "tidings.live" || v.rng.IntN(2) == 0)
		})
	}
	if !v.visit(t, t.Context(), func(e sse.Event) bool { return e.Type != "tidings.live" }) {
		t.Error("the last connection ended before it was live")
	}
}

// visit reads while more returns true, and hangs up. It returns false if it was cut off earlier.
func (v *visitor) visit(t *testing.T, ctx context.Context, more func(sse.Event) bool) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", v.s.url+v.query, nil)
	if err != nil {
		t.Error(err)
		return false
	}
	if v.lastID != "" {
		r.Header.Set("Last-Event-ID", v.lastID)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		if ctx.Err() == nil {
			t.Error(err)
		}
		return false
	}
	defer resp.Body.Close()
	v.connections++
	for d := sse.NewDecoder(resp.Body, 0); ; {
		e, err := d.Next()
		if err != nil {
			return false
		}
		v.lastID = d.LastEventID()
		switch {
		case e.Type == "tidings.open" && v.start == "":
			v.start = e.ID
		case e.Type == "tidings.gap":
			t.Errorf("a gap, though nothing was trimmed: %s", e.Data)
		case !isControl(e):
			v.got = append(v.got, e.ID)
		}
		if !more(e) {
			return true
		}
	}
}
