package console_test

import (
	"bufio"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidings/internal/e2e"
)

// TestWorkers: a client in a worker gets the same as one in a page, but keeps no cursor: there is no storage.
func TestWorkers(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"Worker", "SharedWorker"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s, p := newSite(t), newProfile(t)
			s.publish(t, "orders", 3)
			tb := p.open(t, s.URL+"/test/plain")
			tb.eval(t, `globalThis.told = [];
				new BroadcastChannel('worker').onmessage = ({ data }) => told.push(data);
				globalThis.worker = new `+kind+`('/test/worker.js', { type: 'module' })`)
			awaitTold := func(live int) {
				t.Helper()
				want := slices.Repeat([]string{`["live",false]`}, live)
				for _, id := range s.ids(t) {
					want = append(want, fmt.Sprintf(`["event",%q]`, id))
				}
				var told []string
				e2e.Eventually(t, strings.Join(want, " "), func() bool {
					told = value[[]string](t, tb, `told`)
					// in order, apart from when it was live
					slices.SortStableFunc(told, func(a, b string) int {
						return strings.Compare(b[:4], a[:4])
					})
					return cmp.Equal(told, want)
				})
			}
			awaitTold(1)
			s.publish(t, "orders", 3)
			awaitTold(1)
			s.server.Kill()
			s.start(t)
			s.publish(t, "orders", 3)
			awaitTold(2)
		})
	}
}

// TestNode: in Node the client gets everything, too, through a restart of the server.
func TestNode(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	cmd := exec.CommandContext(t.Context(), e2e.Need(t, "node"), "testdata/node.js", s.URL)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	gets := func(want ...string) {
		t.Helper()
		for _, want := range want {
			if !lines.Scan() || lines.Text() != want {
				t.Fatalf("it writes %q, want %q", lines.Text(), want)
			}
		}
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	gets("live")
	s.publish(t, "orders", 3)
	gets(s.ids(t)...)
	s.server.Kill()
	s.start(t)
	s.publish(t, "orders", 3)
	gets(append(s.ids(t)[3:], "live")...)
}

// TestServiceWorker: whatever the page's service worker does with responses, the page gets everything, once. A worker
// that reads a stream to its end is like a proxy that holds it back.
func TestServiceWorker(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"passes", "reads", "keeps"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			s, p := newSite(t), newProfile(t)
			p.open(t, s.URL+"/test/plain").eval(t, `navigator.serviceWorker.register('/test/sw.js?`+way+`')`)
			setUp := p.open(t, s.URL+"/test/plain")
			if !value[bool](t, setUp, `navigator.serviceWorker.ready.then(() => true)`) {
				t.Fatal("there is no service worker")
			}
			s.publish(t, "orders", 3)
			tb := p.openClient(t, s, `{"name":"me","since":"earliest"}`, clock(t))
			if way == "reads" {
				s.requests.await(t, "stream", func(r []request) bool { return len(streamsOf(r)) == 1 })
				tb.eval(t, `pass(15_000)`) // longer than a stream may be silent
				tb.await(t, "live")
				if !value[bool](t, tb, `client.transport === 'poll'`) {
					t.Error("it does not poll")
				}
			} else {
				tb.await(t, "live")
			}
			if !value[bool](t, tb, `!!navigator.serviceWorker.controller`) {
				t.Error("no service worker is between: the test shows nothing")
			}
			s.check(t, "", tb)
			for range 3 { // complete responses, of streams, too
				s.server.Stop()
				s.start(t)
				last := s.publish(t, "orders", 3)
				e2e.Eventually(t, "cursor at the last event", func() bool {
					return value[bool](t, tb, `pass(1_000), client.state === 'live' && client.cursor >= '`+last+`'`)
				})
				s.check(t, "", tb)
			}
			tb.eval(t, `location.reload()`)
			s.check(t, "", tb)
		})
	}
}
