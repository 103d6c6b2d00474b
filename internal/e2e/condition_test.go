package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidings/internal/e2e"
	"tidings/internal/sse"
	"tidings/store"
)

// claim is the data of an event published on a condition: which event it was to follow.
type claim struct {
	After store.ID `json:"after"`
	By    int      `json:"by"`
}

// TestConditionsUnderKill: many publish to the same topics on the condition that nothing was published since they
// looked, beside trims, while the server is killed again and again. In the log each event follows the one that its
// condition named, every acknowledged event is there, and a publisher that was refused had not seen the event reported
// to it.
func TestConditionsUnderKill(t *testing.T) {
	rounds := 15
	if full() {
		rounds = 100
	}
	c := newClaims(t)
	for range rounds {
		c.round(t)
	}
	c.check(t)
	t.Logf("%d kills, %d stored, %d refused, %d unknown", rounds, len(c.stored), c.refused, c.unknown)
}

type claims struct {
	ctx      context.Context
	client   *http.Client
	dataDir  string
	topics   []string // the last one is trimmed all the time
	claimers []map[string]store.ID

	mu               sync.Mutex
	stored           map[store.ID]claim // the acknowledged ones
	topicOf          map[store.ID]string
	refused, unknown int
}

func newClaims(t *testing.T) *claims {
	c := &claims{dataDir: t.TempDir(), topics: []string{"claims.1", "claims.2", "claims.trimmed"},
		stored: make(map[store.ID]claim), topicOf: make(map[store.ID]string)}
	c.ctx, c.client = newClient(t)
	for range 24 {
		c.claimers = append(c.claimers, make(map[string]store.ID))
	}
	return c
}

// round is the life of one server.
func (c *claims) round(t *testing.T) {
	server := e2e.Start(t, e2e.Options{Binary: binary, DataDir: c.dataDir})
	reached := make(chan struct{})
	var left atomic.Int64
	left.Store(300)
	var all sync.WaitGroup
	for by, seen := range c.claimers {
		all.Go(func() {
			topic := c.topics[by%len(c.topics)]
			for c.claim(t, server.URL(), topic, by, seen) {
				if left.Add(-1) == 0 {
					close(reached)
				}
			}
		})
	}
	all.Go(func() {
		for c.trim(server.URL(), c.topics[len(c.topics)-1]) {
		}
	})
	select {
	case <-reached:
	case <-time.After(e2e.Patience):
		t.Error("claiming hangs")
	}
	server.Kill()
	all.Wait()
	c.client.CloseIdleConnections()
}

// claim publishes once, on the condition of what was last seen, and reports whether the server still answers.
func (c *claims) claim(t *testing.T, url, topic string, by int, seen map[string]store.ID) bool {
	after := seen[topic]
	data, err := json.Marshal(claim{after, by})
	if err != nil {
		t.Error(err)
		return false
	}
	header, condition := "If-Match", `"`+after.String()+`"`
	if after.IsZero() {
		header, condition = "If-None-Match", "*"
	}
	status, body := c.post(url+"/v1/topics/"+topic+"/events", string(data), header, condition)
	var answer struct{ ID, Current store.ID }
	c.mu.Lock()
	defer c.mu.Unlock()
	switch status {
	case http.StatusCreated, http.StatusPreconditionFailed:
		if err := json.Unmarshal(body, &answer); err != nil {
			c.unknown++ // the rest of the response was cut off
			return false
		}
	default:
		c.unknown++
		return status != 0
	}
	if status == http.StatusCreated {
		c.stored[answer.ID], c.topicOf[answer.ID], seen[topic] = claim{after, by}, topic, answer.ID
		return true
	}
	if c.refused++; !after.Before(answer.Current) {
		t.Errorf("refused after %s, and told that the newest is %s", after, answer.Current)
	}
	seen[topic] = answer.Current
	return true
}

// trim deletes all events of a topic before its newest.
func (c *claims) trim(url, topic string) bool {
	resp, err := c.client.Head(url + "/v1/topics/" + topic)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	newest := strings.Trim(resp.Header.Get("ETag"), `"`)
	status, _ := c.post(url+"/v1/topics/"+topic+"/trim?before="+newest, "", "Accept", "*/*")
	return status != 0
}

// post returns status 0 if there was no response.
func (c *claims) post(url, body, header, value string) (status int, answer []byte) {
	req, err := http.NewRequestWithContext(c.ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return 0, nil
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(header, value)
	resp, err := c.client.Do(req)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	answer, _ = io.ReadAll(resp.Body) // parsing it shows whether it was cut off
	return resp.StatusCode, answer
}

// check reads the log.
func (c *claims) check(t *testing.T) {
	server := e2e.Start(t, e2e.Options{Binary: binary, DataDir: c.dataDir})
	found := make(map[store.ID]bool)
	for _, topic := range c.topics {
		previous, trimmed := store.ID{}, topic == c.topics[len(c.topics)-1]
		for _, e := range c.read(t, server.URL(), topic) {
			id, err := store.ParseID(e.ID)
			var got claim
			if err == nil {
				err = json.Unmarshal(e.Data, &got)
			}
			if err != nil {
				t.Fatalf("%s: %+v: %v", topic, e, err)
			}
			if got.After != previous && !trimmed {
				t.Errorf("%s: %s was to follow %s, and follows %s", topic, id, got.After, previous)
			}
			if acknowledged, ok := c.stored[id]; ok && acknowledged != got {
				t.Errorf("%s: %s says %+v, %+v was acknowledged", topic, id, got, acknowledged)
			}
			previous, trimmed, found[id] = id, false, true
		}
	}
	// For trimmed events the responses are the evidence: no two publishers followed the same event.
	followed := make(map[string]store.ID)
	for id, stored := range c.stored {
		if topic := c.topicOf[id]; topic != c.topics[len(c.topics)-1] && !found[id] {
			t.Errorf("%s: %s was acknowledged, and is gone", topic, id)
		}
		place := fmt.Sprint(c.topicOf[id], stored.After)
		if other, ok := followed[place]; ok {
			t.Errorf("%s and %s both followed %s", other, id, stored.After)
		}
		followed[place] = id
	}
	if len(c.stored) == 0 || c.refused == 0 {
		t.Error("nothing was stored, or nobody was refused")
	}
}

// read returns the events of a topic.
func (c *claims) read(t *testing.T, url, topic string) (events []sse.Event) {
	t.Helper()
	stream, err := e2e.Subscribe(c.ctx, c.client, url, "since=earliest&topic="+topic, "")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	for {
		e, err := stream.Next()
		switch {
		case err != nil:
			t.Fatal(err)
		case e.Type == "tidings.live":
			return events
		case !e2e.IsControl(e):
			events = append(events, e)
		}
	}
}
