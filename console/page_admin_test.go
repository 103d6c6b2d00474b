package console_test

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"tidings/internal/auth"
)

// TestConsoleConnections: the page shows who is connected, to what, and how far behind; a client that it disconnects is
// told so, and reconnects.
func TestConsoleConnections(t *testing.T) {
	t.Parallel()
	s, p := newGuardedSite(t), newProfile(t)
	client := newProfile(t).openClient(t, s,
		`{"name":"me","topics":["orders","tickets.>"],"tokens":true}`)
	client.await(t, "live")
	tb := p.openConsole(t, s, "/#token="+s.mint(t,
		auth.Grant{Subject: "ada", Subscribe: filter(">"), Admin: true}))
	tb.isLive(t)
	tb.eval(t, `location.hash = '#/connections'`)
	tb.sees(t, ".connections .state", "3 connections")
	tb.holds(t, `globalThis.row = $$('tbody tr').find(row => row.innerText.includes('tickets.>'))`)
	for _, want := range []string{"test", "127.0.0.1", "Chrome/", "orders", "live", "nothing"} {
		if text := value[string](t, tb, `row.innerText`); !strings.Contains(text, want) {
			t.Errorf("%s is not shown in %s", want, text)
		}
	}
	if !value[bool](t,
		tb, `$$('tbody tr').some(row => row.querySelector('strong')?.innerText === 'ada')`) {
		t.Error("the console's own connection is not shown as ada's")
	}

	// A client that does not read is behind.
	for range 3 {
		s.post(t, "big", "", "text/plain", strings.Repeat("x", 1<<20))
	}
	s.stall(t, "big")
	tb.holds(t,
		`$$('tbody tr').some(row => row.innerText.includes('slow') && /\d events?,/.test(row.innerText))`)

	tb.eval(t, `row.querySelector('button').click()`)
	tb.sees(t, "dialog", "This is not a ban")
	tb.sees(t, "dialog strong", "test") // the client's name
	tb.presses(t, "Disconnect")
	client.await(t, "bye")
	client.await(t, "live")
	tb.holds(t, `!$('dialog') && !row.isConnected`)
	client.await(t, "event", "id", s.publish(t, "orders", 1))
}

// stall opens a stream of a topic, from its beginning, and reads nothing of it.
func (s *site) stall(t *testing.T, topic string) {
	t.Helper()
	server, err := url.Parse(s.server.URL())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn,
		"GET /v1/stream?topic=%s&since=earliest HTTP/1.1\r\nAuthorization: Bearer %s\r\nHost: %s\r\nUser-Agent: slow\r\n\r\n",
		topic, s.mint(t, auth.Grant{Subscribe: filter(">")}), server.Host)
}

// TestConsoleTopics: every topic with its numbers, in the requested order, and whether it has ended.
func TestConsoleTopics(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	s.publish(t, "orders", 3)
	s.publish(t, "orders.eu", 600)
	s.publish(t, "tickets", 20)
	s.ask(t, http.MethodPost, "/v1/topics/tickets/end", "", "", nil)
	tb := p.openConsole(t, s, "/#/topics")
	tb.sees(t, ".topics .state", "3 topics")
	rows := func() [][]string {
		return value[[][]string](t, tb,
			`$$('tbody tr').map(row => [row.querySelector('a').innerText, row.cells[1].innerText, row.innerText.includes('ended') ? 'ended' : ''])`)
	}
	orders, eu, tickets := []string{"orders", "3", ""}, []string{"orders.eu", "600", ""},
		[]string{"tickets", "21", "ended"}
	for _, row := range []struct {
		press string
		want  [][]string
	}{
		{"Topic", [][]string{tickets, eu, orders}}, {"Topic", [][]string{orders, eu, tickets}},
		{"Events", [][]string{eu, tickets, orders}}, {"Events", [][]string{orders, tickets, eu}},
	} {
		tb.presses(t, row.press)
		if diff := cmp.Diff(row.want, rows()); diff != "" {
			t.Errorf("after %s (-want +got):\n%s", row.press, diff)
		}
	}
	s.publish(t, "refunds", 1)
	tb.sees(t, ".topics .state", "4 topics")
	tb.enters(t, "[name=filter]", "ORDERS")
	tb.sees(t, ".topics .state", "2 of 4 topics")
	tb.do(t, chromedp.Reload())
	tb.sees(t, ".topics .state", "2 of 4 topics")
	if diff := cmp.Diff([][]string{orders, eu}, rows()); diff != "" {
		t.Errorf("after the filter (-want +got):\n%s", diff)
	}
	tb.presses(t, "orders.eu")
	tb.holds(t, `location.hash === '#/log?topic=orders.eu' && $$('.log-row').length > 0`)
	tb.eval(t, `history.back()`)
	tb.sees(t, ".topics .state", "2 of 4 topics")
}

// TestConsoleServer: the page shows what the server reports about itself.
func TestConsoleServer(t *testing.T) {
	t.Parallel()
	s, p := newSite(t, "--retain-events", "9000", "--retain-age", "orders.>=36h",
		"--max-event-bytes", "2MiB", "--heartbeat", "7s"), newProfile(t)
	s.publish(t, "orders", 12)
	var log struct{ Log, Engine, Version, Last string }
	s.ask(t, http.MethodGet, "/v1/log", "", "", &log)
	if log.Engine == "" || log.Version == "" {
		t.Fatalf("the server says of itself %+v", log)
	}
	tb := p.openConsole(t, s, "/#/server")
	facts := fmt.Sprintf(`(() => {
		const facts = Object.fromEntries($$('.server .facts > div').map(fact => [fact.querySelector('dt').innerText, fact.querySelector('dd').innerText]));
		return facts['Accepts events'] === 'yes' && facts.Version === %q && facts.Engine === %q && facts['Log ID'] === %q && facts.Events === '12' &&
			facts['Newest event'].endsWith(%q) && facts['Whole log'] === 'the newest 9,000 events' && facts['orders.>'] === 'the last 36 hours' &&
			facts['Data per event'] === '2 MiB' && facts['Heartbeat after silence of'] === '7 seconds' && facts.Commits > 0 && / [KMGT]iB$/.test(facts['Free disk']);
	})()`, log.Version, log.Engine, log.Log, log.Last)
	tb.holds(t, facts)
	s.publish(t, "orders", 1)
	tb.holds(t, `$$('.server .facts > div').some(fact => fact.innerText.match(/Events\s+13$/))`)
}
