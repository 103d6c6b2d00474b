package api_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidings/api"
	"tidings/internal/e2e"
	"tidings/replay"
	"tidings/store"
)

// The figures are today's; a change that needs more must say why.

const (
	// of a publish: 20 are net/http's for any request with a body, 4 more for response headers
	publishAllocations = 29
	storedAllocations  = 34 // including what bbolt needs to put an event
	commitAllocations  = 95 // of a commit, besides its events
	lineAllocations    = 1  // of a line of a batch, in the handler
)

// atOnce is a log that stores what it is given, in no time and with no allocations but the results.
type atOnce struct{ store.Log }

func (atOnce) AppendOnce(_ context.Context, groups []store.Group) ([]store.Result, error) {
	results, ids := make([]store.Result, len(groups)), make([]store.ID, len(groups))
	for i := range results {
		results[i].IDs = ids[i : i+1]
	}
	return results, nil
}

// nowhere is a ResponseWriter that discards everything.
type nowhere struct {
	header http.Header
	status int
}

func (n *nowhere) Header() http.Header              { return n.header }
func (n *nowhere) WriteHeader(status int)           { n.status = status }
func (n *nowhere) Write(p []byte) (int, error)      { return len(p), nil }
func (*nowhere) SetReadDeadline(_ time.Time) error  { return nil }
func (*nowhere) SetWriteDeadline(_ time.Time) error { return nil }

// allocations counts the handler's allocations for a request.
func allocations(t *testing.T, path, mediaType, body string) float64 {
	t.Helper()
	log := atOnce{newLog(t)}
	tail := replay.NewTail(log, replay.TailOptions{})
	defer tail.Close()
	s := api.New(log, tail, api.Options{})
	text := strings.NewReader(body)
	r := httptest.NewRequest("POST", path, text)
	r.Host = "127.0.0.1"
	r.Header.Set("Content-Type", mediaType)
	r.Body = io.NopCloser(text)
	w := &nowhere{header: make(http.Header)}
	return testing.AllocsPerRun(10, func() {
		text.Reset(body)
		clear(w.header)
		s.ServeHTTP(w, r)
		if w.status != http.StatusCreated {
			t.Fatalf("status %d", w.status)
		}
	})
}

// TestAllocationsOfAPublish: over kept-alive connections, including net/http's allocations, the engine's and the
// commit's.
func TestAllocationsOfAPublish(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector, which CI runs short, has pools lose what they hold")
	}
	for name, c := range map[string]struct {
		log         store.Log
		connections int
		most        float64 // besides commits
	}{
		"alone, without the engine": {atOnce{newLog(t)}, 1, publishAllocations},
		"alone in a commit":         {newLog(t), 1, storedAllocations},
		"64 that share commits":     {newLog(t), 64, storedAllocations},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, c.log, 0, api.Options{})
			var clients []*plainClient
			for range c.connections {
				clients = append(clients, s.plainClient("orders.eu", `{"order":1}`))
			}
			rounds := min(2000/c.connections, 300) // enough that what else runs does not count
			publishAll(clients, rounds)            // once for what is allocated once
			before, commits := mallocs(), s.log.Stats().Batches.Count
			publishAll(clients, rounds)
			events := float64(rounds * c.connections)
			each := float64(mallocs()-before) / events
			shared := float64(s.log.Stats().Batches.Count-commits) / events // depends on the disk
			t.Logf("a publish costs %.1f allocations, with %.2f commits", each, shared)
			if most := c.most + commitAllocations*shared; each > most {
				t.Errorf("a publish costs %.1f allocations, want at most %.1f", each, most)
			}
		})
	}
}

// TestAllocationsOfADelivery: an event costs as much with many streams that get it as with a few, from the commit to
// the bytes in their sockets.
func TestAllocationsOfADelivery(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector, which CI runs short, has pools lose what they hold")
	}
	const few, many, events = 10, 110, 50
	s := newServer(t, newLog(t), 0, api.Options{})
	publisher := []*plainClient{s.plainClient("orders.eu", `{"order":1}`)}
	var got, want int64 // JSON objects, over all streams: one in each frame but retry
	await := func() {
		e2e.Eventually(t, "delivery", func() bool { return atomic.LoadInt64(&got) >= want })
	}
	allocated := func(streams int64) float64 {
		before := mallocs()
		publishAll(publisher, events)
		want += streams * events
		await()
		return float64(mallocs() - before)
	}
	var took []float64
	for n := range int64(many) {
		if n == few {
			allocated(n) // once for what is allocated once
			took = append(took, allocated(n))
		}
		want += 2 // open and live
		go countObjects(requestStream(t, s.dial(t), ""), &got)
	}
	await()
	allocated(many)
	took = append(took, allocated(many))
	each := (took[1] - took[0]) / ((many - few) * events)
	t.Logf("%.3f allocations a delivery", each)
	if each > 0.05 {
		t.Errorf("a delivery costs %.2f allocations, want none", each)
	}
}

func countObjects(r io.Reader, n *int64) {
	buf := make([]byte, 4<<10)
	for {
		got, err := r.Read(buf)
		if err != nil {
			return
		}
		atomic.AddInt64(n, int64(bytes.Count(buf[:got], []byte("{"))))
	}
}

func mallocs() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.Mallocs
}

// plainClient publishes the same event over one connection, and allocates nothing.
type plainClient struct {
	t       testing.TB
	conn    net.Conn
	request []byte
	answer  [1 << 10]byte
}

func (s *server) plainClient(topic, body string) *plainClient {
	return &plainClient{t: s.t, conn: s.connect(), request: fmt.Appendf(nil, "POST /v1/topics/%s/events HTTP/1.1\r\n"+
		"Host: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		topic, strings.TrimPrefix(s.url, "http://"), len(body), body)}
}

// publish sends one event, and waits for the response, which arrives in one piece.
func (c *plainClient) publish() {
	_, err := c.conn.Write(c.request)
	n := 0
	if err == nil {
		n, err = c.conn.Read(c.answer[:])
	}
	if err != nil || !bytes.HasPrefix(c.answer[:n], []byte("HTTP/1.1 201 ")) {
		c.t.Errorf("%v: %q", err, c.answer[:n])
	}
}

// publishAll makes each of them publish this many times.
func publishAll(clients []*plainClient, times int) {
	var all sync.WaitGroup
	for _, c := range clients {
		all.Go(func() {
			for range times {
				c.publish()
			}
		})
	}
	all.Wait()
}

func TestAllocationsOfALine(t *testing.T) {
	lines := func(n int) (body string) {
		for i := range n {
			body += fmt.Sprintf(`{"topic":"orders.t%d","type":"made","data":{"order":%d}}`+"\n", i%7, i)
		}
		return body
	}
	const path, mediaType = "/v1/events", "application/x-ndjson"
	few, many := allocations(t, path, mediaType, lines(500)), allocations(t, path, mediaType, lines(1000))
	if n := (many - few) / 500; n > lineAllocations {
		t.Errorf("a line costs %.2f allocations, want at most %d", n, lineAllocations)
	}
}

// Through the whole server, including net/http and the engine with its file, a line costs what bbolt needs for a key:
// its copy, and the three steps of a cursor to its place.
func TestAllocationsOfALineThroughHTTPAndTheEngine(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector, which CI runs short, has pools lose what they hold")
	}
	const ofBolt = 4
	s := newServer(t, openLog(t), 0, api.Options{})
	publishers := dialPublishers(t, s, 2)
	batches := []int{1000, 500}
	for i, p := range publishers {
		batchForms[0].fill(p, fmt.Sprintf("%04d", i), batches[i])
	}
	allocated := func(p *publisher) float64 {
		least := uint64(math.MaxUint64) // anything running beside it allocates too
		for range 5 {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if err := p.publish(); err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			least = min(least, after.Mallocs-before.Mallocs)
		}
		return float64(least)
	}
	allocated(publishers[0]) // allocates what is allocated once
	each := (allocated(publishers[0]) - allocated(publishers[1])) / float64(batches[0]-batches[1])
	t.Logf("%.2f objects a line", each)
	if each > ofBolt+lineAllocations {
		t.Errorf("a line costs %.2f allocations, want at most %d beside bbolt's %d", each,
			lineAllocations, ofBolt)
	}
}
