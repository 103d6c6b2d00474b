package console_test

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"tidings/internal/e2e"
)

// TestServerKilled: after a server is killed during a replay and restarted, the client resumes where it was.
func TestServerKilled(t *testing.T) {
	t.Parallel()
	for _, away := range []struct {
		name string
		fault
	}{{"connections break", cut}, {"a proxy answers 502", badGateway}} {
		t.Run(away.name, func(t *testing.T) {
			t.Parallel()
			s, p := newSite(t), newProfile(t)
			s.publish(t, "orders", 1000)
			tb := p.openClient(t, s, `{"name":"me","since":"earliest"}`)
			tb.await(t, "event")
			s.server.Kill()
			s.set(away.fault)
			tb.await(t, "state", "state", "connecting")
			s.start(t)
			s.publish(t, "orders", 100)
			s.set(none)
			tb.await(t, "live")
			s.check(t, "", tb)
		})
	}
}

// burst publishes one event after another until the returned function is called.
func (s *site) burst(t *testing.T) (end func()) {
	t.Helper()
	stop, ended := make(chan struct{}), make(chan struct{})
	address := s.server.URL()
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, _, err := e2e.Publish(t.Context(), s.client, address, "orders",
				[]byte(`{}`)); err != nil {
				t.Errorf("publish: %v", err)
				return
			}
		}
	}()
	return func() { close(stop); <-ended }
}

// TestReload: a page that is reloaded again and again while events arrive gets each of them once.
func TestReload(t *testing.T) {
	t.Parallel()
	for _, options := range []string{`{"name":"me"}`, `{"name":"me","shared":false}`} {
		t.Run(options, func(t *testing.T) {
			t.Parallel()
			s, p := newSite(t), newProfile(t)
			tb := p.openClient(t, s, options)
			tb.await(t, "live")
			end := s.burst(t)
			for range 5 {
				tb.await(t, "event")
				tb.do(t, chromedp.Reload())
				tb.await(t, "made")
			}
			tb.await(t, "live")
			end()
			s.check(t, "", tb)
		})
	}
}

// TestClosedTab: a tab that is reopened in the same browser gets what arrived meanwhile.
func TestClosedTab(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	before := p.openClient(t, s, `{"name":"me"}`)
	before.await(t, "live")
	cursor := s.publish(t, "orders", 20)
	before.await(t, "event", "id", cursor)
	before.close(t)
	s.publish(t, "orders", 500)
	after := p.openClient(t, s, `{"name":"me"}`)
	after.await(t, "live", "missed", 500.)
	s.check(t, cursor, after)
	if diff := cmp.Diff(s.log(t, "")[:20], before.given("event")); diff != "" {
		t.Errorf("before it was closed the tab was not given the log (-log +given):\n%.2000s", diff)
	}
}

// TestStart: where a client without a stored cursor starts, and that a stored one wins.
func TestStart(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	s.publish(t, "orders", 10)
	middle := s.publish(t, "orders", 1)
	s.publish(t, "orders", 5)
	end := s.log(t, "")[15]["id"].(string)
	ninth := s.log(t, "")[12]["id"].(string)
	tabs := []struct{ options, after string }{
		{`{"name":"new"}`, end},
		{`{}`, end},
		{`{"name":"last","last":3}`, ninth},
		{`{"name":"since","since":"1h"}`, ""},
		{`{"name":"after","after":"` + middle + `"}`, middle},
	}
	var opened []*tab
	for _, row := range tabs {
		tb := p.openClient(t, s, row.options)
		tb.await(t, "live")
		opened = append(opened, tb)
	}
	for i, row := range tabs {
		s.check(t, row.after, opened[i])
	}

	again := p.openClient(t, s, `{"name":"last","last":3}`)
	again.await(t, "live", "missed", 0.)
}

// TestClose: a client that a listener closes gets nothing more, and the next one of its name gets what follows.
func TestClose(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	tb := p.openClient(t, s, `{"name":"me"}`)
	tb.await(t, "live")
	tb.eval(t,
		`client.addEventListener('event', ({ detail }) => { if (detail.data.n === 4) client.close(); })`)
	s.publish(t, "orders", 10)
	tb.await(t, "state", "state", "closed")
	tb.eval(t,
		`client.close(); client.reconnect(); dispatchEvent(new Event('online')); dispatchEvent(new Event('pageshow'))`)
	if diff := cmp.Diff(s.log(t, "")[:5], tb.given("event")); diff != "" {
		t.Errorf("until it was closed the client was not given the log (-log +given):\n%.2000s",
			diff)
	}
	next := p.openClient(t, s, `{"name":"me"}`)
	next.await(t, "live")
	s.check(t, s.log(t, "")[4]["id"].(string), next)
}
