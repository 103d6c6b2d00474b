package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidings/internal/e2e"
	"tidings/internal/sse"
	"tidings/store/bolt"
)

// TestKill kills the server with SIGKILL, again and again, at random moments: while it starts, while it commits, while
// it streams. What is on disk then, and what everyone saw, must make one log.
func TestKill(t *testing.T) {
	rounds := 15
	if full() {
		rounds = 200
	}
	if text := os.Getenv("TIDINGS_ROUNDS"); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil {
			t.Fatalf("TIDINGS_ROUNDS: %v", err)
		}
	}
	k := newKilling(t, 16)
	for range rounds {
		k.round(t)
	}
	h := k.end(t)
	t.Logf("%d kills, %s", rounds, summary(h))
	if err := e2e.Validate(h); err != nil {
		t.Error(err)
	}
}

// killing is the state of a campaign of kills. Publishers and consumers live through all rounds; in each round each has
// its own goroutine.
type killing struct {
	ctx        context.Context
	client     *http.Client
	random     *rand.Rand // of the test's goroutine
	dataDir    string
	publishers []*e2e.Publisher
	consumers  []*cutConsumer
}

// cutConsumer also closes its connections itself, after a random number of events.
type cutConsumer struct {
	e2e.Consumer
	random *rand.Rand
	events int // a connection gets at most this many; 0: until the server cuts it
}

func newKilling(t *testing.T, publishers int) *killing {
	ctx, client := newClient(t)
	n := seed(t)
	k := &killing{ctx: ctx, client: client, random: rand.New(rand.NewPCG(n, 0)),
		dataDir: t.TempDir()}
	for i := range publishers {
		k.publishers = append(k.publishers,
			&e2e.Publisher{Number: i, Topic: fmt.Sprintf("kill.%d", i%4)})
	}
	for i, c := range []struct {
		start, topic string
		events       int
	}{
		{"since=earliest", ">", 0}, {"since=earliest", "kill.1", 0}, {"since=latest", "kill.*", 0},
		{"last=10", ">", 0},
		{"since=earliest", ">", 100}, {"since=latest", "kill.2", 20},
	} {
		name := fmt.Sprintf("consumer %d of %s from %s", i, c.topic, c.start)
		k.consumers = append(k.consumers, &cutConsumer{
			Consumer: e2e.Consumer{Name: name, Filter: filter(t, c.topic), Start: c.start},
			random:   rand.New(rand.NewPCG(n, uint64(1+i))), events: c.events,
		})
	}
	return k
}

// round is the life of one server.
func (k *killing) round(t *testing.T) {
	o := e2e.Options{Binary: binary, DataDir: k.dataDir}
	if k.random.IntN(5) == 0 {
		server := e2e.Launch(t, o)
		k.pause(30 * time.Millisecond)
		server.Kill()
		return
	}
	server := e2e.Start(t, o)
	reached := make(chan struct{})
	var left atomic.Int64
	left.Store(1 + k.random.Int64N(600))
	var wg sync.WaitGroup
	for _, p := range k.publishers {
		wg.Go(func() {
			for p.Publish(k.ctx, k.client, server.URL()) == nil {
				if left.Add(-1) == 0 {
					close(reached)
				}
			}
		})
	}
	for _, c := range k.consumers {
		wg.Go(func() { c.follow(k.ctx, k.client, server.URL()) })
	}
	select {
	case <-reached:
		k.pause(5 * time.Millisecond) // else every kill would follow a response, and so a commit
	case <-time.After(e2e.Patience):
		t.Error("publishing hangs")
	}
	server.Kill()
	wg.Wait()
	k.client.CloseIdleConnections()
}

// pause draws the moment of a kill. Nothing depends on how long it really takes.
func (k *killing) pause(atMost time.Duration) {
	<-time.After(time.Duration(k.random.Int64N(int64(atMost))))
}

// follow reads until the server is gone.
func (c *cutConsumer) follow(ctx context.Context, client *http.Client, url string) {
	for {
		stop := e2e.Forever
		if c.events > 0 {
			left := 1 + c.random.IntN(c.events)
			stop = func(e sse.Event) bool {
				if !e2e.IsControl(e) {
					left--
				}
				return left == 0
			}
		}
		if c.Read(ctx, client, url, stop) != nil {
			return
		}
	}
}

// end lets every consumer catch up, and returns the history.
func (k *killing) end(t *testing.T) *e2e.History {
	server := start(t, k.dataDir)
	h := &e2e.History{}
	for _, p := range k.publishers {
		h.Attempts = append(h.Attempts, p.Attempts...)
	}
	for _, c := range k.consumers {
		if err := c.Read(k.ctx, k.client, server.URL(), e2e.UntilLive); err != nil {
			t.Errorf("%s catches up: %v", c.Name, err)
		}
		h.Consumers = append(h.Consumers, &c.Consumer)
	}
	h.Log = readLog(t, k.ctx, k.client, server.URL())
	server.Stop()
	k.checkFile(t, h.Log)
	return h
}

// checkFile compares the log that the streams delivered with the file.
func (k *killing) checkFile(t *testing.T, want []e2e.Entry) {
	log := openStore(t, k.dataDir, bolt.Options{})
	defer closeStore(t, log)
	info, err := log.Info()
	if err != nil {
		t.Fatal(err)
	}
	if info.Events != uint64(len(want)) || len(want) > 0 &&
		(info.First != want[0].ID || info.Last != want[len(want)-1].ID) {
		t.Errorf("the file holds %d events, %s to %s; a stream delivered %d", info.Events,
			info.First, info.Last, len(want))
	}
}

// summary counts the contents of a history.
func summary(h *e2e.History) string {
	outcomes := map[e2e.Outcome]int{}
	for _, a := range h.Attempts {
		outcomes[a.Outcome]++
	}
	connections := 0
	for _, c := range h.Consumers {
		connections += len(c.Connections)
	}
	return fmt.Sprintf(
		"%d events: %d publishes stored, %d unknown, %d not stored; %d consumers over %d connections",
		len(h.Log), outcomes[e2e.Stored], outcomes[e2e.Unknown], outcomes[e2e.NotStored],
		len(h.Consumers), connections)
}
