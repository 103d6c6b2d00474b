package api_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidings/alert"
	"tidings/api"
	"tidings/internal/e2e"
	cluster "tidings/internal/nodes"
	"tidings/internal/nodes/nodestest"
	"tidings/replay"
)

// claim says whether a server has the lease, and whether it claims so to others.
type claim struct {
	holds, says atomic.Bool
	holder      string // according to the log
}

func (c *claim) Holds() bool    { return c.holds.Load() }
func (c *claim) Holder() string { return c.holder }

// shop is two servers of one log, of which the first has the deliveries and alerts.
type shop struct {
	bus    nodestest.Bus
	nodes  [2]known
	claims [2]claim
}

func newShop(t *testing.T, o api.Options) *shop {
	t.Helper()
	s := &shop{}
	log := newLog(t)
	s.claims[0].holds.Store(true)
	s.claims[0].says.Store(true)
	o.QueueTimeout = time.Second
	for i := range s.nodes {
		node, err := cluster.New(&s.bus, cluster.Options{Name: string(rune('a' + i)),
			State: func() cluster.State { return cluster.State{Sends: s.claims[i].says.Load()} }})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(node.Close)
		o.Nodes, o.Lease = node, &s.claims[i]
		if i == 0 {
			s.claims[0].holder, s.claims[1].holder = node.Self(), node.Self()
			tail := replay.NewTail(log, replay.TailOptions{})
			board, err := alert.New(log, tail, alert.Options{})
			if err != nil {
				t.Fatal(err)
			}
			o.Alerts, o.Deliveries = board, newSender(t, log, tail, nil, board.Wants)
			t.Cleanup(tail.Close)
		}
		if i == 1 {
			o.AllowHosts = []string{"second.example"}
		}
		s.nodes[i] = known{newServer(t, log, 0, o), node}
		o.Alerts, o.Deliveries, o.Devices = nil, nil, nil
	}
	s.nodes[1].api.Sit(api.Desk{})
	s.hears(t, true)
	return s
}

// hears waits until the second server knows whether the first one claims to send.
func (s *shop) hears(t *testing.T, sends bool) {
	t.Helper()
	s.nodes[0].node.Changed()
	e2e.Eventually(t, "word of who sends", func() bool {
		for _, n := range s.nodes[1].node.List() {
			if !n.Self {
				return n.Sends == sends
			}
		}
		return false
	})
}

// TestPassedOn: a server that does not have the deliveries and alerts passes requests about them on, with the
// caller's token and everything else that counts, and returns the other server's response.
func TestPassedOn(t *testing.T) {
	s := newShop(t, keyed(t, api.Options{}))
	a, b := s.nodes[0], s.nodes[1]
	c := newContract(t, b.server)
	all := holder{subject: "ada", publish: ">", subscribe: ">", answer: ">", admin: true}.token(t)
	const hook = `{"url":"http://127.0.0.1:1/in","topics":["orders"],"secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}`
	ask := func(method, path, body string, status int, want string, headers ...string) answer {
		t.Helper()
		got := b.do(method, path, body, headers...)
		if problem := wrong(got, status, want); problem != "" {
			t.Errorf("%s %s: %s", method, path, problem)
		}
		c.response(t, method, path, got)
		return got
	}
	ask("PUT", "/v1/deliveries/shop", hook, 201, `"created_by":"ada"`, bearer(all))
	ask("GET", "/v1/deliveries/shop", "", 200, `"name":"shop"`, bearer(all))
	ask("GET", "/v1/deliveries/shop", "", 200, `"name":"shop"`, "Cookie: "+api.DefaultCookieName+"="+all)
	ask("PUT", "/v1/deliveries/shop", "{", 400, "json-invalid", bearer(all))
	ask("GET", "/v1/deliveries/none", "", 404, "delivery-not-found", bearer(all))
	ask("PUT", "/v1/deliveries/large", strings.Repeat(" ", 1<<20), 413, "body-too-large", bearer(all))
	ask("GET", "/v1/deliveries", "", 403, "admin-required", bearer(holder{subscribe: ">"}.token(t)))
	ask("GET", "/v1/deliveries", "", 401, "token-missing")
	if got := a.do("GET", "/v1/deliveries/shop", "", bearer(all)); got.status != 200 {
		t.Errorf("the server that sends: %d %s", got.status, got.body)
	}
	ask("PUT", "/v1/alerts/all", `{"topics":["alarms"]}`, 201, "alarms", bearer(all))
	id := a.publishOf("alarms", "alarm", bearer(all))
	e2e.Eventually(t, "alert", func() bool {
		return strings.Contains(ask("GET", "/v1/open", "", 200, "alerts", bearer(all)).body, id)
	})
	claimed := ask("POST", "/v1/events/"+id+"/claim", `{"name":"Ana"}`, 201, "Ana", bearer(all))
	var handle struct{ Handle string }
	claimed.decode(t, &handle)
	if got := a.do("POST", "/v1/events/"+id+"/claim", `{"name":"Bo"}`, bearer(all)); got.status != http.StatusConflict {
		t.Errorf("claimed twice: %d %s", got.status, got.body)
	}
	ask("POST", "/v1/events/"+id+"/done", `{"name":"Ana"}`, 412, "condition-failed", bearer(all), ifMatch(id))
	ask("POST", "/v1/events/"+id+"/done", `{"name":"Ana"}`, 200, "Ana", bearer(all), ifMatch(handle.Handle))
}

// TestPassedFromAnotherName: only the server that a client reached judges the name that the client used.
func TestPassedFromAnotherName(t *testing.T) {
	s := newShop(t, api.Options{})
	for i, want := range []int{421, 200} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.nodes[i].url+"/v1/deliveries", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "second.example"
		got, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		got.Body.Close()
		if got.StatusCode != want {
			t.Errorf("server %d: %s, want %d", i, got.Status, want)
		}
	}
}

// TestPassedToTheHolder: a request is passed on to the server that has the lease according to the log, not to another
// that claims to send: that would be given a token.
func TestPassedToTheHolder(t *testing.T) {
	s := newShop(t, api.Options{})
	forger, err := cluster.New(&s.bus, cluster.Options{Name: "0",
		State: func() cluster.State { return cluster.State{Sends: true} }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(forger.Close)
	forger.Answer(func(context.Context, []byte) []byte {
		t.Error("a server is asked that does not have the lease")
		return nil
	})
	e2e.Eventually(t, "word of the forger", func() bool { return len(s.nodes[1].node.List()) == 3 })
	if got := s.nodes[1].do("GET", "/v1/deliveries", ""); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestErrorsPassedOn: while no server sends, or the one that does is silent, the response says so, and to retry.
func TestErrorsPassedOn(t *testing.T) {
	s := newShop(t, api.Options{})
	a, b := s.nodes[0], s.nodes[1]
	c := newContract(t, b.server)
	unavailable := func(t *testing.T, k known, detail string) {
		t.Helper()
		for _, r := range []struct{ method, path, body string }{{"GET", "/v1/deliveries", ""}, {"GET", "/v1/open", ""},
			{"GET", "/v1/alerts", ""}, {"POST", "/v1/events/" + strings.Repeat("0", 26) + "/claim", `{"name":"Ana"}`}} {
			got := k.do(r.method, r.path, r.body)
			if problem := wrong(got, 503, "node-unavailable"); problem != "" || !strings.Contains(got.body, detail) ||
				got.header.Get("Retry-After") == "" {
				t.Errorf("%s: %s, want %q of %s", r.path, problem, detail, got.body)
			}
			c.response(t, r.method, r.path, got)
		}
	}
	wantSamples(t, a.metrics(), map[string]string{`tidings_sends`: "1", `tidings_deliveries{state="running"}`: "0"})
	wantSamples(t, b.metrics(), map[string]string{`tidings_sends`: "0", `tidings_deliveries{state="running"}`: ""})
	t.Run("row 255: it hangs", func(t *testing.T) {
		s.bus.Hang(a.node.Self(), true)
		unavailable(t, b, "may have done")
		s.bus.Hang(a.node.Self(), false)
	})
	for name, forged := range map[string]string{"nothing": "", "no answer": `{}`, "no status": `{"answer":{}}`,
		"no JSON": "x", "a fault": `{"error":"a fault"}`} {
		t.Run("row 255: "+name, func(t *testing.T) {
			s.bus.Forge(func([]byte) []byte { return []byte(forged) })
			defer s.bus.Forge(nil)
			unavailable(t, b, "may have done")
		})
	}
	t.Run("row 254: it has lost the lease", func(t *testing.T) {
		s.claims[0].holds.Store(false)
		unavailable(t, b, "usually takes over") // according to the other one
	})
	t.Run("row 254: nobody sends", func(t *testing.T) {
		s.claims[0].says.Store(false)
		s.hears(t, false)
		unavailable(t, a, "usually takes over")
		unavailable(t, b, "usually takes over")
	})
	t.Run("row 254: it begins", func(t *testing.T) { // and has not read from the log what to send
		s.claims[1].holds.Store(true)
		unavailable(t, b, "usually takes over")
		wantSamples(t, b.metrics(), map[string]string{`tidings_sends`: "0"})
	})
}
