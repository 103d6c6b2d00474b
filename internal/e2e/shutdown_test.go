package e2e_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidings/internal/e2e"
	"tidings/internal/sse"
	"tidings/store/bolt"
)

// TestShutdown ends the server with SIGTERM under load: every stream gets a bye event, and afterwards everything
// acknowledged is in the log, and nothing refused.
func TestShutdown(t *testing.T) {
	ctx, client := newClient(t)
	dir := t.TempDir()
	server := start(t, dir, "--shutdown-timeout", "30s")
	h := &e2e.History{}
	var opened, wg sync.WaitGroup
	endings := make(chan string, 100)
	for i, patterns := range [][]string{{">"}, {"shutdown.*"}, {"shutdown.1"},
		{"shutdown.2", "shutdown.3"}, {"nothing.here"}} {
		for _, from := range []string{"since=earliest", "since=latest"} {
			c := &e2e.Consumer{Name: fmt.Sprintf("consumer %d from %s", i, from),
				Filter: filter(t, patterns...), Start: from}
			h.Consumers = append(h.Consumers, c)
			opened.Add(1)
			wg.Go(func() {
				live, bye := sync.OnceFunc(opened.Done), ""
				err := c.Read(ctx, client, server.URL(), func(e sse.Event) bool {
					switch {
					case e2e.UntilLive(e):
						live()
					case bye != "":
						bye += fmt.Sprintf(", and then %s %s", e.Type, e.Data)
					case e.Type == "tidings.bye":
						bye = string(e.Data)
					}
					return false
				})
				live()
				endings <- fmt.Sprintf("%s, %v", bye, err)
			})
		}
	}
	opened.Wait()

	var publishers []*e2e.Publisher
	var left atomic.Int64
	left.Store(500)
	reached := make(chan struct{})
	for i := range 8 {
		p := &e2e.Publisher{Number: i, Topic: "shutdown." + strconv.Itoa(i%4)}
		publishers = append(publishers, p)
		wg.Go(func() {
			for p.Publish(ctx, client, server.URL()) == nil {
				if left.Add(-1) == 0 {
					close(reached)
				}
			}
		})
	}
	select {
	case <-reached:
	case <-time.After(e2e.Patience):
		t.Fatal("publishing hangs")
	}
	server.Stop() // wants exit code 0
	wg.Wait()
	close(endings)
	for got := range endings {
		if want := `{"reason":"shutdown"}, EOF`; got != want {
			t.Errorf("a stream ends with %q, want %q", got, want)
		}
	}
	if strings.Contains(server.Log(), "cut off") {
		t.Errorf("connections did not end within the shutdown time-out:\n%s", server.Log())
	}

	server = start(t, dir)
	for _, p := range publishers {
		h.Attempts = append(h.Attempts, p.Attempts...)
	}
	for _, c := range h.Consumers {
		if err := c.Read(ctx, client, server.URL(), e2e.UntilLive); err != nil {
			t.Errorf("%s catches up: %v", c.Name, err)
		}
	}
	h.Log = readLog(t, ctx, client, server.URL())
	judge(t, h)
}

// TestSecondServerIsRefused: a data directory has one server, and a second one learns which.
func TestSecondServerIsRefused(t *testing.T) {
	ctx, client := newClient(t)
	dir := t.TempDir()
	first := start(t, dir)
	second := e2e.Launch(t, e2e.Options{Binary: binary, DataDir: dir})
	if code := second.ExitCode(); code != 4 {
		t.Errorf("the second server exits with %d, want 4", code)
	}
	if want := fmt.Sprintf("%s is held by process %d;", dir,
		first.Pid()); !strings.Contains(second.Log(), want) {
		t.Errorf("the second server says %q, want it to name %q", second.Log(), want)
	}
	if _, outcome, err := e2e.Publish(ctx, client, first.URL(), "still.here",
		[]byte("{}")); outcome != e2e.Stored {
		t.Errorf("the first server is disturbed: %v", err)
	}
	first.Kill()
	log := openStore(t, dir, bolt.Options{}) // a lock does not outlive its holder
	closeStore(t, log)
}
