package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"

	"tidings/internal/e2e"
	"tidings/internal/natstest"
	"tidings/internal/sse"
	"tidings/store"
)

// TestAnotherNodeEachTime: publishers take another node at each request and subscribers at each connection, whatever
// that node has applied so far. All get every event once, in one order.
func TestAnotherNodeEachTime(t *testing.T) {
	const nodes, publishers, consumers, events = 3, 4, 6, 60
	c := natstest.Start(t, 1)
	ctx, client := newClient(t)
	var urls []string
	for i := range nodes {
		urls = append(urls, start(t, t.TempDir(), "--store", "nats", "--nats-url", c.URLs()[0], "--nats-replicas", "1",
			"--nats-allow-lossy", "--node-name", fmt.Sprint(i)).URL())
	}
	random := rand.New(rand.NewPCG(seed(t), 0))
	h := &e2e.History{}
	var publishing, reading sync.WaitGroup
	hopping, end := context.WithCancel(ctx)
	defer end()
	for i := range consumers {
		reader := &e2e.Consumer{Name: fmt.Sprint("consumer ", i), Start: "since=earliest", Early: true,
			Filter: filter(t, []string{">", "nodes.0", "nodes.*"}[i%3])}
		h.Consumers = append(h.Consumers, reader)
		own := rand.New(rand.NewPCG(random.Uint64(), 0))
		reading.Go(func() { readHopping(t, hopping, ctx, reader, own, urls) })
	}
	var all []*e2e.Publisher
	for i := range publishers {
		p := &e2e.Publisher{Number: i, Topic: fmt.Sprint("nodes.", i)}
		all = append(all, p)
		own := rand.New(rand.NewPCG(random.Uint64(), 0))
		publishing.Go(func() {
			for range events {
				if err := p.Publish(ctx, client, urls[own.IntN(nodes)]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	publishing.Wait()
	for _, p := range all {
		h.Attempts = append(h.Attempts, p.Attempts...)
		for _, url := range urls {
			hasEvent(t, client, url, p.Attempts[events-1].ID)
		}
	}
	end()
	reading.Wait()
	h.Log = readLog(t, ctx, client, urls[1])
	judge(t, h)
}

// hasEvent has a node catch up to an event.
func hasEvent(t *testing.T, client *http.Client, url string, id store.ID) {
	t.Helper()
	answer, err := client.Get(url + "/v1/events/" + id.String())
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("event %s: HTTP %s", id, answer.Status)
	}
}

// readHopping reads a few events at a time, each time from another node, until hopping ends, and then the rest.
func readHopping(t *testing.T, hopping, ctx context.Context, c *e2e.Consumer, random *rand.Rand, urls []string) {
	client := e2e.NewHTTPClient()
	defer client.CloseIdleConnections()
	hop := random.IntN(len(urls))
	for ; hopping.Err() == nil; hop++ {
		left := 1 + random.IntN(5)
		err := c.Read(hopping, client, urls[hop%len(urls)], func(sse.Event) bool {
			left--
			return left < 0
		})
		if err != nil && hopping.Err() == nil {
			t.Errorf("%s: %v", c.Name, err)
			return
		}
	}
	if err := c.Read(ctx, client, urls[hop%len(urls)], e2e.UntilLive); err != nil {
		t.Errorf("%s: %v", c.Name, err)
	}
}
