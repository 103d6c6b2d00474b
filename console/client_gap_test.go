package console_test

import (
	"net/http"
	"os/exec"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidings/internal/e2e"
)

// trim deletes a topic's events before an ID.
func (s *site) trim(t *testing.T, topic, before string) {
	t.Helper()
	s.ask(t, http.MethodPost, "/v1/topics/"+topic+"/trim?before="+before, "", "", nil)
}

// expectGap expects that a tab reported exactly one gap, after n events.
func (tb *tab) expectGap(t *testing.T, reason string, n int) {
	t.Helper()
	if gaps := tb.given("gap"); len(gaps) != 1 || gaps[0]["reason"] != reason {
		t.Errorf("the tab is told of %v, want one gap of reason %s", gaps, reason)
	}
	before := 0
	for _, r := range tb.reports.all() {
		if r.Type == "gap" && before != n {
			t.Errorf("the gap comes after %d events, want %d", before, n)
		}
		if r.Type == "event" {
			before++
		}
	}
}

// TestGapExpired: tabs that were away while events were trimmed each report it once, before what follows.
func TestGapExpired(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	tabs := openTabs(t, s, p, 3, `{"name":"me","topics":["orders"]}`)
	cursor := s.publish(t, "orders", 5)
	for _, tb := range tabs {
		tb.await(t, "event", "id", cursor)
		tb.freeze(t)
	}
	before := s.log(t, "")
	s.trim(t, "orders", s.publish(t, "orders", 20))
	s.publish(t, "orders", 5)
	for _, tb := range tabs {
		tb.thaw(t)
	}
	last := s.publish(t, "orders", 1)
	for _, tb := range tabs {
		tb.await(t, "event", "id", last)
		if diff := cmp.Diff(append(slices.Clone(before), s.log(t, "")...),
			tb.given("event")); diff != "" {
			t.Errorf("the tab is not given what is left of the log (-log +given):\n%.2000s", diff)
		}
		tb.expectGap(t, "expired", 5)
	}
}

// TestGapTold: a gap that nothing has followed yet is not reported again by the next connection.
func TestGapTold(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	tb := p.openClient(t, s, `{"name":"me","topics":["orders"]}`)
	tb.await(t, "live")
	tb.await(t, "event", "id", s.publish(t, "orders", 1))
	s.set(cut)
	tb.await(t, "state", "state", "connecting")
	s.publish(t, "orders", 20)
	s.trim(t, "orders", s.publish(t, "tickets", 1))
	s.set(none)
	tb.await(t, "live")
	// the log's last event, which the gap also names, has changed
	s.publish(t, "tickets", 1)
	s.set(cut)
	tb.await(t, "state", "state", "connecting")
	s.set(none)
	tb.await(t, "live")
	tb.await(t, "event", "id", s.publish(t, "orders", 1))
	tb.expectGap(t, "expired", 1)
}

// TestGapAhead: when an older copy of the log replaces it, each tab reports it once, and continues with new events.
func TestGapAhead(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	tabs := openTabs(t, s, p, 2, `{"name":"me"}`)
	s.publish(t, "orders", 5)
	backup := t.TempDir() + "/backup"
	if out, err := exec.Command(binary, "backup", backup, "--url",
		s.server.URL()).CombinedOutput(); err != nil {
		t.Fatalf("back up: %v\n%s", err, out)
	}
	cursor := s.publish(t, "orders", 5)
	for _, tb := range tabs {
		tb.await(t, "event", "id", cursor)
	}
	given := s.log(t, "")
	s.server.Kill()
	s.options.DataDir = t.TempDir() + "/restored"
	cmd := exec.Command(binary, "restore", backup, "--data-dir", s.options.DataDir)
	cmd.Env = e2e.Environ()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("restore: %v\n%s", err, out)
	}
	s.start(t)
	for _, tb := range tabs {
		tb.await(t, "state", "state", "connecting")
		tb.eval(t, `pass(5_000)`)
	}
	for _, tb := range tabs {
		tb.await(t, "gap", "reason", "ahead")
		tb.await(t, "live")
	}
	next := p.openClient(t, s, `{"name":"me"}`) // starts where the others are by now
	next.await(t, "live")
	s.publish(t, "orders", 2)
	last := s.publish(t, "orders", 1)
	want := append(given, s.log(t, "")[5:]...)
	for _, tb := range tabs {
		tb.await(t, "event", "id", last)
		if diff := cmp.Diff(want, tb.given("event")); diff != "" {
			t.Errorf("the tab is not given what came after the gap (-log +given):\n%.2000s", diff)
		}
		tb.expectGap(t, "ahead", 10)
	}
	s.check(t, given[4]["id"].(string), next)
	if gaps := next.given("gap"); gaps != nil {
		t.Errorf("a tab that was opened later is told of %v", gaps)
	}
}

// TestEnd: when all topics have ended, each tab reports it, and leaves the server alone.
func TestEnd(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	tabs := openTabs(t, s, p, 2, `{"name":"me","topics":["orders","tickets"]}`)
	s.publish(t, "orders", 3)
	s.ask(t, http.MethodPost, "/v1/topics/orders/end", "", "", nil)
	tabs[0].await(t, "end", "topic", "orders")
	s.publish(t, "tickets", 3)
	s.ask(t, http.MethodPost, "/v1/topics/tickets/end", "", "", nil)
	tabs[0].await(t, "end", "topic", "tickets")
	tabs[0].await(t, "state", "state", "connecting")
	tabs[0].eval(t, `pass(5_000)`) // it makes one more request
	for _, tb := range tabs {
		if tb != tabs[0] {
			tb.await(t, "end", "topic", "tickets")
		}
		tb.await(t, "state", "state", "ended")
		if diff := cmp.Diff(s.log(t, ""), tb.given("event", "end")); diff != "" {
			t.Errorf("the tab is not given the log (-log +given):\n%.2000s", diff)
		}
	}
	for _, tb := range tabs {
		tb.eval(t,
			`dispatchEvent(new Event('online')); document.dispatchEvent(new Event('visibilitychange'))`)
		s.expectQuiet(t, tb)
	}
	// the stream that ended, and the request that got 204
	if n := len(s.streams()); n != 2 {
		t.Errorf("the tabs asked for %d streams, want 2", n)
	}
	later := p.openClient(t, s, `{"name":"me","topics":["orders","tickets"]}`)
	later.await(t, "state", "state", "ended")
}

// TestCloseAtGap: a client that a listener closes at a gap hands over nothing that follows.
func TestCloseAtGap(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	tb := p.openClient(t, s, `{"name":"me"}`, clock(t))
	tb.await(t, "live")
	tb.await(t, "event", "id", s.publish(t, "orders", 1))
	s.set(cut)
	tb.await(t, "state", "state", "connecting")
	s.publish(t, "orders", 5)
	s.trim(t, "orders", s.publish(t, "orders", 5))
	s.set(none)
	tb.eval(t, `client.addEventListener('gap', () => client.close()); pass(5_000)`)
	tb.await(t, "gap", "reason", "expired")
	tb.await(t, "state", "state", "closed")
	s.expectQuiet(t, tb)
	if events := tb.given("event"); len(events) != 1 {
		t.Errorf("the closed client gives %v", events[1:])
	}
}
