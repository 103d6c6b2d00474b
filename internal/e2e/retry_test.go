package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path"
	"testing"

	"tidings/internal/e2e"
	"tidings/store"
)

// TestRetry loses the response to every publish, kills the server now and then, and repeats each publish with its key
// until there is a response: every event is in the log exactly once, and all responses about it name the same one.
func TestRetry(t *testing.T) {
	publishes, clients, kills := 512, 16, 4
	if full() {
		publishes, kills = 10_000, 25
	}
	ctx, client := newClient(t)
	random := rand.New(rand.NewPCG(seed(t), 0))
	proxy := newCutter(t, rand.New(rand.NewPCG(random.Uint64(), 0)))
	dir := t.TempDir()
	server := start(t, dir)
	proxy.to(server.URL())

	done := make(chan e2e.Attempt, publishes)
	for i := range clients {
		go func() {
			oneByOne := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			for seq := range publishes / clients {
				m := e2e.Message{Topic: fmt.Sprintf("retry.%d", i%4), Publisher: i, Seq: seq}
				id, err := insist(ctx, oneByOne, proxy.url(), m)
				if err != nil {
					t.Error(err)
				}
				done <- e2e.Attempt{Message: m, Outcome: e2e.Stored, ID: id}
			}
		}()
	}
	h := &e2e.History{}
	killed, kill := 0, 1+random.IntN(publishes/kills)
	for len(h.Attempts) < publishes {
		h.Attempts = append(h.Attempts, <-done)
		if len(h.Attempts) == kill {
			killed++
			kill += 1 + random.IntN(publishes/kills*2)
			proxy.hold()
			server.Kill()
			server = start(t, dir)
			proxy.to(server.URL())
		}
	}

	h.Log = readLog(t, ctx, client, server.URL())
	server.Stop()
	if err := e2e.Validate(h); err != nil {
		t.Error(err)
	}
	if len(h.Log) != publishes {
		t.Errorf("%d events in the log, want %d", len(h.Log), publishes)
	}
	proxy.judge(t, h)
	t.Logf("%d kills", killed)
}

// key is unique to a message.
func key(m e2e.Message) string { return fmt.Sprintf("%s-%d-%d", m.Topic, m.Publisher, m.Seq) }

// insist publishes until there is a complete response, and returns the ID in it. A response that is not about a stored
// event is an error.
func insist(ctx context.Context, client *http.Client, url string, m e2e.Message) (store.ID, error) {
	data, err := json.Marshal(m)
	if err != nil {
		return store.ID{}, err
	}
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost,
			url+"/v1/topics/"+m.Topic+"/events", bytes.NewReader(data))
		if err != nil {
			return store.ID{}, err
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", key(m))
		resp, err := client.Do(req)
		if err != nil {
			continue // cut off before the end of the headers
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			continue // cut off in the body
		}
		if resp.StatusCode != http.StatusCreated && resp.StatusCode != http.StatusOK {
			return store.ID{}, fmt.Errorf("publish %v: %s %s", m, resp.Status, body)
		}
		return store.ParseID(path.Base(resp.Header.Get("Location")))
	}
	return store.ID{}, context.Cause(ctx)
}

// judge compares all responses of the server, delivered or lost, with what the clients believe.
func (c *cutter) judge(t *testing.T, h *e2e.History) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	answers := 0
	for _, a := range h.Attempts {
		ids := c.ids[key(a.Message)]
		if n := ids[a.ID.String()]; len(ids) != 1 || n == 0 {
			t.Errorf("%v was stored as %s, and answered with %v", a.Message, a.ID, ids)
		} else {
			answers += n
		}
		if n := c.created[key(a.Message)]; n > 1 {
			t.Errorf("%v was answered with 201 %d times", a.Message, n)
		}
		if c.tries[key(a.Message)] < 2 {
			t.Errorf("%v was not retried", a.Message)
		}
	}
	t.Logf("%d publishes, %d cuts, %d whole answers of the server", len(h.Attempts),
		c.cuts, answers)
}
