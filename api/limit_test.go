package api_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tidings/api"
)

// overload expects the whole stream of a client that there is no room for.
func (st *stream) overload() {
	st.t.Helper()
	if e := st.next(); e.Type != "tidings.bye" || string(e.Data) != `{"reason":"overloaded"}` {
		st.t.Errorf("got %+v, want a bye for overload", e)
	}
	if retry, ok := st.Retry(); !ok || retry < time.Second {
		st.t.Errorf("retry %v, want a second or more", retry)
	}
	if e, err := st.Next(); err == nil {
		st.t.Errorf("after the bye: %+v", e)
	}
}

// TestRates: N requests per second, and as many at once, per token; the response reports which limit, and for how
// long.
func TestRates(t *testing.T) {
	bubble(t, api.Options{RatePublish: 3, RateRead: 2, RetryMin: time.Second},
		func(t *testing.T, s *piped) {
			publish := func() answer { return s.do("POST /v1/topics/a/events", "1") }
			read := func() answer { return s.do("GET /v1/log", "") }
			for _, c := range []struct {
				name  string
				do    func() answer
				limit int
				flag  string
			}{{"publish", publish, 3, "--rate-publish"}, {"read", read, 2, "--rate-read"}} {
				for round := range 3 {
					for i := range c.limit {
						if a := c.do(); a.status >= 300 {
							t.Errorf("%s %d of round %d: %d %s", c.name, i+1, round,
								a.status, a.body)
						}
					}
					a := c.do()
					p := a.problem(t)
					if a.status != http.StatusTooManyRequests || p.Code != "rate-limited" ||
						a.header.Get("Retry-After") != "1" || !strings.Contains(p.Detail, c.flag) {
						t.Errorf("%s, one too many: %d, Retry-After %q, %s", c.name, a.status,
							a.header.Get("Retry-After"), a.body)
					}
					if want := map[string]string{"publish": "not_stored"}[c.name]; p.Outcome != want {
						t.Errorf("%s: outcome %q, want %q", c.name, p.Outcome, want)
					}
					time.Sleep(time.Second) // the bubble's clock
				}
			}
			read()
			read()
			s.stream("/v1/stream").overload()
			if a := s.do("HEAD /v1/stream", ""); a.status != 200 {
				t.Errorf("HEAD: %d, want 200", a.status)
			}
			if a := s.do("GET /healthz", ""); a.status != 200 {
				t.Errorf("health is limited: %d", a.status)
			}
		})
}

// TestSlowRate: less than one per second is one at a time, with the pause in whole seconds.
func TestSlowRate(t *testing.T) {
	bubble(t, api.Options{RatePublish: 0.4}, func(t *testing.T, s *piped) {
		publish := func() answer { return s.do("POST /v1/topics/a/events", "1") }
		publish()
		if a := publish(); a.status != 429 || a.header.Get("Retry-After") != "3" {
			t.Errorf("%d, Retry-After %q, want 429 and 3", a.status, a.header.Get("Retry-After"))
		}
		time.Sleep(2500 * time.Millisecond)
		if a := publish(); a.status != 201 {
			t.Errorf("after the pause: %d", a.status)
		}
	})
}

// TestRatePerOwner: one subject's requests do not count for another, whatever the tokens; a token without a subject
// counts by itself.
func TestRatePerOwner(t *testing.T) {
	s := newServer(t, newLog(t), 0, keyed(t, api.Options{RateRead: 1, Now: func() time.Time {
		return time.Unix(1_800_000_000, 0)
	}}))
	token := func(subject string, hours time.Duration) string {
		return bearer(holder{subject: subject, expires: hours * time.Hour}.token(t))
	}
	one, renewed, two := token("one", 1e6), token("one", 1e6+1), token("two", 1e6)
	nobody, noOther := token("", 1e6), token("", 1e6+1)
	for _, c := range []struct {
		token string
		want  int
	}{{one, 200}, {one, 429}, {two, 200}, {two, 429}, {renewed, 429}, {nobody, 200}, {nobody, 429},
		{noOther, 200}} {
		if a := s.do("GET", "/v1/log", "", c.token); a.status != c.want {
			t.Errorf("%d, want %d", a.status, c.want)
		}
	}
}

// TestRatePerAddress: the address is the client's, which only a trusted proxy may report; guessing tokens counts.
func TestRatePerAddress(t *testing.T) {
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"),
		netip.MustParsePrefix("10.0.0.0/8")}
	fixed := func() time.Time { return time.Unix(1_800_000_000, 0) }
	const f = "X-Forwarded-For: "
	for _, c := range []struct {
		name    string
		proxies []netip.Prefix
		first   []string
		second  []string
		same    bool // the same client
	}{
		{"no proxy", nil, nil, nil, true},
		{"a peer that is not trusted", nil, headers(f + "1.1.1.1"), headers(f + "2.2.2.2"), true},
		{"two clients", loopback, headers(f + "1.1.1.1"), headers(f + "2.2.2.2"), false},
		{"what the client wrote before", loopback, headers(f + "8.8.8.8, 1.1.1.1"),
			headers(f + "9.9.9.9, 1.1.1.1"), true},
		{"two proxies", loopback, headers(f + "8.8.8.8, 1.1.1.1, 10.0.0.7"),
			headers(f+"1.1.1.1", f+"10.0.0.8"), true},
		{"garbage of the client", loopback, headers(f + "<script>, 1.1.1.1"),
			headers(f + "1.1.1.1"), true},
		{"garbage alone", loopback, headers(f + "unknown"), nil, true},
		{"one network of version 6", loopback, headers(f + "2001:db8::1"),
			headers(f + "2001:db8::ffff:1"), true},
		{"two networks of version 6", loopback, headers(f + "2001:db8::1"),
			headers(f + "2001:db8:0:1::1"), false},
		{"version 4 in version 6", loopback, headers(f + "::ffff:1.1.1.1"),
			headers(f + "1.1.1.1"), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := api.Options{RatePublish: 1, RatePerAddress: true,
				TrustedProxies: c.proxies, Now: fixed}
			s := newServer(t, newLog(t), 0, keyed(t, o))
			if a := s.do("POST", "/v1/topics/a/events", "1", c.first...); a.status != 401 {
				t.Fatalf("first: %d, want 401", a.status)
			}
			want := map[bool]int{true: 429, false: 401}[c.same]
			if a := s.do("POST", "/v1/topics/a/events", "1", c.second...); a.status != want {
				t.Errorf("second: %d, want %d", a.status, want)
			}
		})
	}
}

// TestRatePerSite: the many networks of one IPv6 site together have sixteen times the rate of one.
func TestRatePerSite(t *testing.T) {
	s := newServer(t, newLog(t), 0, keyed(t, api.Options{RateRead: 1, RatePerAddress: true,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Now:            func() time.Time { return time.Unix(1_800_000_000, 0) }}))
	ask := func(client string) int { return s.do("GET", "/v1/log", "", "X-Forwarded-For: "+client).status }
	for network := range 16 {
		if got := ask(fmt.Sprintf("2001:db8:7:%x::1", network)); got != http.StatusUnauthorized {
			t.Errorf("network %d: %d", network, got)
		}
	}
	for _, client := range []string{"2001:db8:7:10::1", "[2001:db8:7:ffff::1]:443", "2001:db8:7:11:1::"} {
		if got := ask(client); got != http.StatusTooManyRequests {
			t.Errorf("%s, of the same site: %d, want 429", client, got)
		}
	}
	for _, client := range []string{"2001:db8:8::1", "192.0.2.1", "192.0.2.2"} {
		if got := ask(client); got != http.StatusUnauthorized {
			t.Errorf("%s, of another site: %d", client, got)
		}
	}
}

// TestMaxStreams: one stream too many is asked to reconnect, and may when another ends. Row 76 of docs/ERRORS.md.
func TestMaxStreams(t *testing.T) {
	one, two := holder{subscribe: ">", subject: "one"}.token(t),
		holder{subscribe: ">", subject: "two"}.token(t)
	renewed := holder{subscribe: ">", subject: "one", expires: 2 * time.Hour}.token(t)
	for _, c := range []struct {
		name    string
		options api.Options
		open    []string // tokens of the streams that find a seat
		refused string   // whose stream finds none
	}{
		{"row 76: in all", keyed(t, api.Options{MaxStreams: 3}), []string{one, two, one}, two},
		{"row 76: of an owner", keyed(t, api.Options{MaxStreamsPerToken: 2}),
			[]string{one, two, one, two}, one},
		{"row 76: of a subject", keyed(t, api.Options{MaxStreamsPerToken: 2}),
			[]string{one, two, renewed}, one},
		{"row 76: without keys only the total counts",
			api.Options{MaxStreams: 3, MaxStreamsPerToken: 1}, []string{"", "", ""}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, newLog(t), 0, c.options)
			follow := func(token string) *stream {
				return s.open(t.Context(), "/v1/stream", "", bearer(token))
			}
			var open []*stream
			for i, token := range c.open {
				st := follow(token)
				st.until("tidings.live")
				open = append(open, st)
				if i == 0 {
					s.head("HEAD", "/v1/stream", "", bearer(token)) // takes no seat
				}
			}
			follow(c.refused).overload()
			follow(c.refused).overload()
			for _, st := range open {
				st.resp.Body.Close()
			}
			// The server notices each end by itself, so the seat becomes free in its own time.
			for {
				st := follow(c.refused)
				if st.next().Type == "tidings.open" {
					break
				}
			}
		})
	}
}

// TestMaxTopics: the configured number of patterns, and one more.
func TestMaxTopics(t *testing.T) {
	s := newServer(t, newLog(t), 0, api.Options{MaxSubscriptionTopics: 3})
	for n, want := range map[int]int{2: 200, 3: 200, 4: 400} {
		query := ""
		for i := range n {
			query += fmt.Sprintf("&topic=t%d", i)
		}
		if a := s.head("GET", "/v1/stream?"+query[1:], ""); a.status != want {
			t.Errorf("%d topics: %d, want %d", n, a.status, want)
		}
	}
}

// TestExpiry: a stream ends with its token, with the reason, and not long after. Row 89 of docs/ERRORS.md.
func TestExpiry(t *testing.T) {
	t.Run("row 89", func(t *testing.T) {
		const leeway = 5 * time.Second
		bubble(t, keyed(t, api.Options{Heartbeat: time.Hour}), func(t *testing.T, s *piped) {
			ends := make(map[time.Duration]bool)
			for range 5 {
				begin := time.Now()
				st := s.stream("/v1/stream", bearer(holder{subscribe: ">",
					expires: time.Minute}.token(t)))
				st.until("tidings.live")
				if e := st.next(); e.Type != "tidings.bye" ||
					string(e.Data) != `{"reason":"expired-token"}` {
					t.Fatalf("got %+v, want a bye for the token", e)
				}
				if e, err := st.Next(); err == nil {
					t.Errorf("after the bye: %+v", e)
				}
				lasted := time.Since(begin)
				if lasted < time.Minute-time.Second || lasted > time.Minute+leeway {
					t.Errorf("the stream of a minute's token lasted %v", lasted)
				}
				ends[lasted] = true
			}
			if len(ends) < 3 {
				t.Errorf("5 streams ended after %v: all at once", ends)
			}
		})
	})
	t.Run("a busy stream ends as well", func(t *testing.T) {
		bubble(t, keyed(t, api.Options{Heartbeat: time.Hour}), func(t *testing.T, s *piped) {
			token := holder{subscribe: ">", expires: time.Minute}.token(t)
			st := s.stream("/v1/stream", bearer(token))
			st.until("tidings.live")
			for range 120 {
				appendTo(t, s.log, "a")
				if st.next().Type == "tidings.bye" {
					return
				}
				time.Sleep(time.Second) // the bubble's clock
			}
			t.Error("the stream goes on two minutes after it was opened with a minute's token")
		})
	})
}
