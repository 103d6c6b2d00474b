package console_test

import (
	"net/http"
	"slices"
	"syscall"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

func (tb *tab) setOffline(t *testing.T, offline bool) {
	t.Helper()
	conditions := &network.Conditions{Offline: offline, DownloadThroughput: -1,
		UploadThroughput: -1}
	_, err := chromedp.Call(tb.ctx, network.EmulateNetworkConditionsByRule,
		network.EmulateNetworkConditionsByRuleParams{
			MatchedNetworkConditions: []*network.Conditions{conditions},
		})
	if err == nil {
		_, err = chromedp.Call(tb.ctx, network.OverrideNetworkState,
			network.OverrideNetworkStateParams{
				Offline: offline, DownloadThroughput: -1, UploadThroughput: -1,
			})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestOffline: a browser that was offline, as it reports itself, gets what it missed.
func TestOffline(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	tb := p.openClient(t, s, `{"name":"me"}`)
	tb.await(t, "live")
	for range 2 {
		tb.await(t, "event", "id", s.publish(t, "orders", 5))
		tb.setOffline(t, true)
		s.set(cut)
		tb.await(t, "state", "state", "connecting")
		s.publish(t, "orders", 5)
		s.set(none)
		tb.setOffline(t, false)
		tb.await(t, "live")
	}
	s.check(t, "", tb)
}

// TestBackAtOnce: a client that waits to retry does so at once when there is reason to hope. Its page's timers are
// stopped, so that it would otherwise never retry.
func TestBackAtOnce(t *testing.T) {
	t.Parallel()
	for _, sign := range []struct{ name, script string }{
		{"the network is back", `dispatchEvent(new Event('online'))`},
		{"the network is back, for a hidden tab",
			`Object.defineProperty(document, 'visibilityState', { value: 'hidden' }); dispatchEvent(new Event('online'))`},
		{"the tab is visible", `document.dispatchEvent(new Event('visibilitychange'))`},
		{"it is told to", `client.reconnect()`},
	} {
		t.Run(sign.name, func(t *testing.T) {
			t.Parallel()
			for _, transport := range []string{"stream", "poll"} {
				s, p := newSite(t), newProfile(t)
				if transport == "poll" {
					s.set(buffering)
				}
				tb := p.openClient(t, s, `{"name":"me"}`, clock(t))
				if transport == "poll" {
					s.awaitStreams(t, 1)
					tb.eval(t, `pass(15_000)`)
				}
				tb.await(t, "live")
				s.set(badGateway)
				tb.await(t, "state", "state", "connecting", "transport", transport)
				s.publish(t, "orders", 5)
				s.set(none)
				tb.eval(t, sign.script)
				tb.await(t, "live", "missed", 5.)
				s.check(t, "", tb)
			}
		})
	}
}

// awaitStreams waits for the n-th request for a stream.
func (s *site) awaitStreams(t *testing.T, n int) {
	t.Helper()
	s.requests.await(t, "request for a stream", func(r []request) bool {
		return len(streamsOf(r)) >= n
	})
}

// pages returns the requests for a page of events so far.
func (s *site) pages() []request {
	return slices.DeleteFunc(s.requests.all(), func(r request) bool {
		return r.Path != "/v1/events"
	})
}

// TestBreakAfterQuiet: a stream that breaks after a long time without events is reopened, and not mistaken for one that
// is held back.
func TestBreakAfterQuiet(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	tb := p.openClient(t, s, `{"name":"me"}`, clock(t))
	tb.await(t, "live")
	asked := len(s.pages())
	tb.eval(t, `pass(12_000)`)
	s.set(cut)
	tb.await(t, "state", "state", "connecting")
	s.set(none)
	tb.eval(t, `pass(5_000)`) // the pause is over
	tb.await(t, "live")
	s.check(t, "", tb)
	if pages := s.pages()[asked:]; len(pages) != 0 {
		t.Errorf("the client fell back to polling: %v", pages)
	}
}

// TestDeadConnection: a stream on which nothing arrives, not even heartbeats, is given up.
func TestDeadConnection(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	tb := p.openClient(t, s, `{"name":"me"}`, clock(t))
	tb.await(t, "live")
	s.server.Signal(syscall.SIGSTOP)
	tb.eval(t, `pass(36_000)`)
	if n := len(s.streams()); n != 1 {
		t.Fatalf("within 2.4 heartbeats the client opened %d streams, want 1", n)
	}
	tb.eval(t, `pass(5_000)`)
	s.awaitStreams(t, 2)
	s.server.Signal(syscall.SIGCONT)
	tb.await(t, "live")
	s.check(t, "", tb)
}

// TestServerShutdown: a server that shuts down says so, and the client reconnects to the next one.
func TestServerShutdown(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	tabs := openTabs(t, s, p, 2, `{"name":"me"}`)
	s.publish(t, "orders", 5)
	s.server.Stop()
	for _, tb := range tabs {
		tb.await(t, "bye", "reason", "shutdown")
	}
	s.start(t)
	s.publish(t, "orders", 5)
	for _, tb := range tabs {
		tb.await(t, "state", "state", "connecting")
		tb.eval(t, `pass(5_000)`) // the pause is over
	}
	for _, tb := range tabs {
		tb.await(t, "live")
	}
	s.check(t, "", tabs...)
}

// TestCutOff: a client that an operator disconnects reports why, and reconnects.
func TestCutOff(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	tb := p.openClient(t, s, `{"name":"me"}`)
	tb.await(t, "live")
	var answer struct{ Subscribers []struct{ ID string } }
	s.ask(t, http.MethodGet, "/v1/subscribers", "", "", &answer)
	s.ask(t, http.MethodDelete, "/v1/subscribers/"+answer.Subscribers[0].ID, "", "", nil)
	tb.await(t, "bye", "reason", "disconnected")
	tb.await(t, "live")
	s.check(t, "", tb)
}
