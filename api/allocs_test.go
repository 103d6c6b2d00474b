package api_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tidings/api"
	"tidings/replay"
	"tidings/store"
)

// What a publish allocates is counted in the handler, beside net/http's connection and the engine. The
// figures are what it takes today; a change that needs more says why.

const (
	publishAllocations = 44 // of one publish
	lineAllocations    = 1  // of a line of a batch
)

// atOnce is a log that stores what it is told, in no time and no allocations but the results.
type atOnce struct{ store.Log }

func (atOnce) AppendOnce(_ context.Context, groups []store.Group) ([]store.Result, error) {
	results, ids := make([]store.Result, len(groups)), make([]store.ID, len(groups))
	for i := range results {
		results[i].IDs = ids[i : i+1]
	}
	return results, nil
}

// nowhere is a ResponseWriter of nobody.
type nowhere struct {
	header http.Header
	status int
}

func (n *nowhere) Header() http.Header              { return n.header }
func (n *nowhere) WriteHeader(status int)           { n.status = status }
func (n *nowhere) Write(p []byte) (int, error)      { return len(p), nil }
func (*nowhere) SetReadDeadline(_ time.Time) error  { return nil }
func (*nowhere) SetWriteDeadline(_ time.Time) error { return nil }

// allocations counts those of the handler for a request.
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

func TestAllocationsOfAPublish(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector, which CI runs short, has pools lose what they hold")
	}
	if n := allocations(t, "/v1/topics/orders.eu/events", "application/json", `{"order":1}`); n >
		publishAllocations {
		t.Errorf("a publish costs %v allocations, want at most %d", n, publishAllocations)
	}
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
