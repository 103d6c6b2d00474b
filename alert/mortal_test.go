package alert_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"tidings/store"
)

// edges are the calls by which a process reaches the outside, the log and the receiver: each has an edge before its
// effect and one after. At one crossing of one of them the process dies. From then on no call has an effect, until it
// is revived.
type edges struct {
	mu      sync.Mutex
	crossed map[string]int // how often in this life, by name
	at      edge           // that kills
	died    bool
	deaths  int
}

// edge is the nth crossing of one in a life.
type edge struct {
	name string
	nth  int // 0: none
}

// cross returns store.ErrClosed when the process is dead, or dies here.
func (e *edges) cross(name string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.died {
		e.crossed[name]++
		if e.died = e.at == (edge{name, e.crossed[name]}); e.died {
			e.deaths++
		}
	}
	if e.died {
		return store.ErrClosed
	}
	return nil
}

// revive begins another life, which ends at an edge.
func (e *edges) revive(at edge) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.crossed, e.at, e.died = make(map[string]int), at, false
}

func (e *edges) dead() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.died
}

// mortalLog is the log as a process that may die sees it.
type mortalLog struct {
	store.Log
	*edges
}

func (l *mortalLog) AppendOnce(ctx context.Context, groups []store.Group) (results []store.Result, err error) {
	name := "append of " + groups[0].Drafts[0].Type
	if err := l.cross(name + ", before"); err != nil {
		return nil, err
	}
	results, failed := l.Log.AppendOnce(ctx, groups)
	if err := l.cross(name + ", after"); err != nil {
		return nil, err
	}
	return results, failed
}

func (l *mortalLog) SetDeliveries(ctx context.Context, changes []store.NamedDelivery, _ bool) error {
	name := "progress of the delivery"
	if len(changes) > 0 && strings.HasPrefix(changes[0].Name, "\x00") {
		name = "progress of the board"
	}
	if err := l.cross(name + ", before"); err != nil {
		return err
	}
	failed := l.Log.SetDeliveries(ctx, changes, false)
	if err := l.cross(name + ", after"); err != nil {
		return err
	}
	return failed
}

func (l *mortalLog) Deliveries() ([]store.NamedDelivery, error) {
	if err := l.cross("start"); err != nil {
		return nil, err
	}
	return l.Log.Deliveries()
}

func (l *mortalLog) NewReader(filter store.Filter, after store.ID) store.Reader {
	who := "delivery"
	switch {
	case filter.Match("tickets"):
		who = "tail"
	case filter.Match("orders.eu"):
		who = "board"
	}
	return &mortalReader{l.Log.NewReader(filter, after), l.edges, who}
}

type mortalReader struct {
	store.Reader
	*edges
	who string
}

func (r *mortalReader) Next(max int) (store.Page, error) {
	if r.dead() {
		return store.Page{}, store.ErrClosed
	}
	page, err := r.Reader.Next(max)
	for i := range page.Events {
		if err := r.cross(r.who + " has read " + page.Events[i].Type); err != nil {
			return store.Page{}, err
		}
	}
	return page, err
}

// told is a request that reached the receiver.
type told struct {
	at   time.Time
	body string
}

// mortalClient takes the requests of a process that may die to a receiver, which outlives it.
type mortalClient struct {
	*edges
	mu   sync.Mutex
	told map[string][]told // by the message's ID
}

// RoundTrip implements http.RoundTripper.
func (c *mortalClient) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	name := "request of an answer"
	if strings.Contains(string(body), `"alert.step"`) {
		name = "request of a step"
	}
	if err := c.cross(name + ", before"); err != nil {
		return nil, err
	}
	id := req.Header.Get("Webhook-Id")
	c.mu.Lock()
	c.told[id] = append(c.told[id], told{time.Now(), string(body)})
	c.mu.Unlock()
	if err := c.cross(name + ", after"); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Header: http.Header{}, Body: http.NoBody}, nil
}
