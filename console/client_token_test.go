package console_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// setTokens sets the tokens that the page's token function gets from now on: these, then valid ones.
func (s *site) setTokens(tokens ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = tokens
}

// TestTokenExpires: when the server says that the token has expired, the client gets another one, and nobody else
// notices.
func TestTokenExpires(t *testing.T) {
	t.Parallel()
	s, p := newGuardedSite(t), newProfile(t)
	s.setTokens(s.token(30*time.Second, ">"))
	tb := p.openClient(t, s, `{"name":"me","tokens":true}`)
	tb.await(t, "live")
	s.publish(t, "orders", 5)
	tb.await(t, "bye", "reason", "expired-token")
	s.publish(t, "orders", 5)
	tb.await(t, "live")
	s.check(t, "", tb)
	if errors := tb.given("error"); errors != nil {
		t.Errorf("the client reports %v", errors)
	}
}

// TestTokenInNoAddress: a page of another origin reads with the tokens of a function, and continues after the
// connection broke and the server was killed. The tokens are in headers, and in nothing that anyone stores.
func TestTokenInNoAddress(t *testing.T) {
	t.Parallel()
	pages, p := newSite(t), newProfile(t)
	s := newGuardedSite(t, "--cors-origin", pages.URL, "--log-level", "debug")
	var tokens []string
	for i := range 8 {
		tokens = append(tokens, s.token(time.Hour+time.Duration(i)*time.Minute, ">"))
	}
	pages.setTokens(tokens...)
	s.publish(t, "orders", 3)
	var tabs []*tab
	for range 2 {
		tb := p.open(t, pages.URL+"/test/open?"+url.PathEscape(fmt.Sprintf(
			`{"url":%q,"tokens":true,"since":"earliest"}`, s.URL)))
		tb.await(t, "live")
		tabs = append(tabs, tb)
	}
	s.set(cut)
	s.publish(t, "orders", 3)
	s.set(none)
	tabs[0].await(t, "live", "missed", 3.)
	logs := s.server.Log
	s.server.Kill()
	s.start(t)
	s.publish(t, "orders", 3)
	tabs[0].await(t, "live", "missed", 3.)
	tabs[1].eval(t, `client.reconnect()`) // with another token
	tabs[1].await(t, "state", "leads", true, "state", "live")
	s.check(t, "", tabs...)

	seen := logs() + s.server.Log()
	paths := map[string]bool{}
	used := map[string]bool{}
	for _, r := range s.requests.all() {
		seen += "\n" + r.Open
		paths[r.Path] = true
		token, _ := strings.CutPrefix(r.Authorization, "Bearer ")
		used[token] = true
		if !slices.Contains(tokens, token) {
			t.Errorf("%s with the token %q", r.Open, token)
		}
	}
	if !paths["/v1/stream"] || !paths["/v1/events"] || len(used) < 3 || !strings.Contains(seen, pages.URL+"/") ||
		!strings.Contains(seen, "/v1/stream") {
		t.Errorf("%d tokens in requests for %v: the test shows nothing\n%s", len(used), paths, seen)
	}
	for _, token := range tokens {
		for _, part := range strings.Split(token, ".")[1:] { // claims, signature
			if strings.Contains(seen, part) {
				t.Errorf("a token is in an address, a referrer or the log:\n%s", seen)
			}
		}
	}
}

// TestTokenRefused: a refused token is reported as an error, and another one is fetched at once. If that is refused,
// too, the next one is fetched only after a while.
func TestTokenRefused(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name     string
		lifetime time.Duration
		grant    string
		status   float64
		code     string
	}{
		{"expired", -time.Hour, ">", 401, "token-invalid"},
		{"without the grant", time.Hour, "tickets", 403, "topic-forbidden"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s, p := newGuardedSite(t), newProfile(t)
			bad := s.token(row.lifetime, row.grant)
			s.setTokens(bad)
			tb := p.openClient(t, s, `{"name":"me","topics":["orders"],"tokens":true}`, clock(t))
			tb.await(t, "error", "status", row.status, "code", row.code)
			tb.await(t, "live")
			s.check(t, "", tb)

			s.setTokens(bad, bad)
			tb.eval(t, `client.reconnect()`)
			tb.await(t, "error", "status", row.status, "code", row.code)
			tb.await(t, "error", "status", row.status, "code", row.code)
			tb.eval(t, `pass(10_000)`)
			tb.await(t, "live")
			s.check(t, "", tb)
		})
	}
}

// TestTokenFunctionFails: what the token function throws is reported, and it is called again.
func TestTokenFunctionFails(t *testing.T) {
	t.Parallel()
	s, p := newGuardedSite(t), newProfile(t)
	tb := p.openClient(t, s, `{"name":"me","tokens":true}`, `
		const before = globalThis.fetch;
		globalThis.fetch = () => {
			globalThis.fetch = before;
			throw new Error('signed out');
		};`)
	tb.await(t, "error", "message", "signed out")
	tb.await(t, "live")
	s.check(t, "", tb)
}

// TestFixedToken: without a function there is no other token. The client reports that it is refused, and leaves the
// server alone until reconnect is called.
func TestFixedToken(t *testing.T) {
	t.Parallel()
	s, p := newGuardedSite(t), newProfile(t)
	tb := p.openClient(t, s, fmt.Sprintf(`{"name":"me","topics":["orders"],"token":%q}`,
		s.token(30*time.Second, ">")), clock(t))
	tb.await(t, "live")
	tb.await(t, "bye", "reason", "expired-token")
	for len(tb.given("error")) == 0 { // for some seconds the server still accepts it
		tb.reports.await(t, "end of an attempt", func(r []report) bool {
			last := r[len(r)-1]
			return last.is("state", "state", "connecting") || last.is("state", "state", "refused")
		})
		tb.eval(t, `pass(5_000)`)
	}
	tb.await(t, "error", "status", 401.)
	tb.await(t, "state", "state", "refused")
	s.expectQuiet(t, tb)
	tb.eval(t, `client.reconnect()`)
	tb.await(t, "error", "status", 401.)
	tb.await(t, "state", "state", "refused")

	forbidden := p.openClient(t, s, fmt.Sprintf(`{"name":"other","topics":["orders"],"token":%q}`,
		s.token(time.Hour, "tickets")), clock(t))
	forbidden.await(t, "error", "status", 403., "code", "topic-forbidden")
	forbidden.await(t, "state", "state", "refused")
	s.expectQuiet(t, forbidden)
}

// expectQuiet expects that a client makes no request in ten minutes.
func (s *site) expectQuiet(t *testing.T, tb *tab) {
	t.Helper()
	seen := s.requests.len()
	tb.eval(t, `pass(600_000)`)
	value[bool](t, tb, `fetch('/v1/log').then(() => true)`) // follows the client's requests
	if n := s.requests.len() - seen - 1; n != 0 {
		t.Errorf("the client made %d requests", n)
	}
}

// TestSignIn: with a cookie, one tab signs in and all tabs continue.
func TestSignIn(t *testing.T) {
	t.Parallel()
	s, p := newGuardedSite(t), newProfile(t)
	leader := p.openClient(t, s, `{"name":"me","since":"earliest"}`)
	leader.await(t, "error", "status", 401., "code", "token-missing")
	leader.await(t, "state", "state", "refused")
	follower := p.openClient(t, s, `{"name":"me","since":"earliest"}`)
	follower.await(t, "state", "state", "refused")
	s.publish(t, "orders", 5)

	follower.eval(t,
		fmt.Sprintf(
			`fetch('/v1/session', { method: 'PUT', headers: { Authorization: 'Bearer %s' } }).then(() => client.reconnect())`,
			s.token(time.Hour, ">")))
	follower.await(t, "state", "state", "live")
	s.publish(t, "orders", 5)
	leader.await(t, "state", "state", "live")
	s.check(t, "", leader, follower)
	s.awaitSubscribers(t, 1)
}
