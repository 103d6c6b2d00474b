//go:build bench

package e2e_test

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"tidings/internal/e2e"
)

// TestRatioReplays measures in turns how long an event takes to reach 100 subscribers while 100 others read a million
// events from the first, and while those have stopped. The others are a process of the lowest priority: they stand for
// clients on other machines. docs/BENCHMARKS.md has the figures.
func TestRatioReplays(t *testing.T) {
	const streams, pairs, events = 100, 5, 50
	dir := t.TempDir()
	fill(t, dir, 1_000_000)
	server := start(t, dir)
	live := listen(t, server.URL(), streams)
	live.publish(events)
	readers, _ := startChild(t, "read "+server.URL())
	live.publish(2 * events) // the readers connect meanwhile
	publish := func(n int) (took []time.Duration, processors float64) {
		used, began := e2e.CPU(t, server.Pid()), time.Now()
		took = live.publish(n)
		return took, (e2e.CPU(t, server.Pid()) - used).Seconds() / time.Since(began).Seconds()
	}
	signal := func(s syscall.Signal, busy bool) {
		if err := readers.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		e2e.Eventually(t, "server whose connections are full or empty", func() bool {
			_, processors := publish(events / 5)
			return busy == (processors > 0.5)
		})
	}
	var p50s, p99s []float64
	for range pairs {
		signal(syscall.SIGSTOP, false)
		without, idle := publish(events)
		signal(syscall.SIGCONT, true)
		publish(2 * events) // which the readers need for what the kernel held for them
		with, busy := publish(events)
		if busy < idle+0.3 {
			t.Fatalf("%.2f processors while replays are read, %.2f without: they are not", busy, idle)
		}
		p50s, p99s = append(p50s, ratioAt(with, without, 50)), append(p99s, ratioAt(with, without, 99))
		t.Logf("%.2f processors, without replays %.2f; p50 %v, without %v; p99 %v, without %v", busy, idle,
			with[len(with)/2], without[len(without)/2], with[len(with)*99/100], without[len(without)*99/100])
	}
	slices.Sort(p50s)
	slices.Sort(p99s)
	p50, p99 := p50s[pairs/2], p99s[pairs/2]
	t.Logf("beside %d replays ÷ without: p50 %.2f, p99 %.2f (%.2f to %.2f)", streams, p50, p99, p99s[0], p99s[pairs-1])
	if p99 > 8 {
		t.Errorf("the p99 beside replays is %.2f of that without, want at most 8", p99)
	}
}

func init() { children["read"] = readStreams }

// readStreams reads 100 streams from the first event on, and returns when one ends.
func readStreams(url string) error {
	if err := yieldToOthers(); err != nil {
		return err
	}
	ended := make(chan error)
	for range 100 {
		go func() {
			resp, err := http.Get(url + "/v1/stream?topic=missed.*&since=earliest")
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
			}
			ended <- err
		}()
	}
	return <-ended
}

// audience is a number of live streams of the topic live.
type audience struct {
	t    *testing.T
	url  string
	size int

	mu   sync.Mutex
	took []time.Duration // since the events were sent
	all  chan struct{}   // receives when size have been added
}

func listen(t *testing.T, url string, streams int) *audience {
	t.Helper()
	a := &audience{t: t, url: url, size: streams, all: make(chan struct{}, 1)}
	ctx, client := newClient(t)
	for range streams {
		s, err := e2e.Subscribe(ctx, client, url, "topic=live", "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		go a.follow(s)
	}
	return a
}

func (a *audience) follow(s *e2e.Stream) {
	for {
		e, err := s.Next()
		if err != nil {
			return // closed; publish misses it
		}
		if e2e.IsControl(e) {
			continue
		}
		sent, err := strconv.ParseInt(string(e.Data), 10, 64)
		if err != nil {
			a.t.Error(err)
			return
		}
		took := time.Duration(time.Now().UnixNano() - sent)
		a.mu.Lock()
		if a.took = append(a.took, took); len(a.took)%a.size == 0 {
			a.all <- struct{}{}
		}
		a.mu.Unlock()
	}
}

// publish publishes n events, 50 a second at most, each when all have received the last one. It returns how long each
// took to each stream.
func (a *audience) publish(n int) []time.Duration {
	a.t.Helper()
	pace := time.NewTicker(time.Second / 50)
	defer pace.Stop()
	ctx, client := newClient(a.t)
	a.mu.Lock()
	a.took = nil
	a.mu.Unlock()
	for range n {
		<-pace.C
		at := strconv.AppendInt(nil, time.Now().UnixNano(), 10)
		if _, _, err := e2e.Publish(ctx, client, a.url, "live", at); err != nil {
			a.t.Fatal(err)
		}
		select {
		case <-a.all:
		case <-time.After(e2e.Patience):
			a.t.Fatal("an event did not reach everybody")
		}
	}
	return slices.Clone(a.took)
}
