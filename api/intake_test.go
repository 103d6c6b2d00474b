package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"tidings/api"
	"tidings/internal/e2e"
	"tidings/internal/nodes/nodestest"
)

// rowsOf is an answer with n streams.
func rowsOf(n int) []byte {
	const row = `{"id":"AAAAAAAAAAAAAAAA","topics":["a"],"format":"data","subject":"","remote":"","user_agent":"",` +
		`"since":"2026-01-01T00:00:00Z","cursor":"00000000000000000000000000","lag_events":0,"lag_seconds":0,` +
		`"bytes":0,"state":"live","hearing":null}`
	return []byte(`{"subscribers":[` + strings.Repeat(row+",", n-1) + row + `]}`)
}

// TestNodesMemory: what other servers answer to one request is bounded by the memory for responses, also while the
// request is alone. A server whose streams have no room is named, and the streams of the others are listed.
func TestNodesMemory(t *testing.T) {
	var bus nodestest.Bus
	all := startKnown(t, &bus, api.Options{BufferBytes: 1 << 20}, "a", "b", "c")
	a := all[0]
	for name, x := range map[string]struct {
		n          int
		unanswered int
		detail     string
	}{
		"both fit":                  {500, 0, ""},
		"one of them does":          {1000, 1, "no room for"},
		"neither: the text is long": {5000, 2, "no room for its answer"},
		"neither: the rows are":     {1700, 2, "no room for"},
	} {
		t.Run(name, func(t *testing.T) {
			bus.Forge(func([]byte) []byte { return rowsOf(x.n) })
			defer bus.Forge(nil)
			got := a.do("GET", "/v1/subscribers", "")
			newContract(t, a.server).response(t, "GET", "/v1/subscribers", got)
			var l everybody
			if got.decode(t, &l); got.status != 200 || len(l.Subscribers) != (2-x.unanswered)*x.n ||
				len(l.Unanswered) != x.unanswered {
				t.Fatalf("%d with %d streams, unanswered %+v", got.status, len(l.Subscribers), l.Unanswered)
			}
			for _, u := range l.Unanswered {
				if !strings.Contains(u.Detail, x.detail) || !strings.Contains(u.Detail, "--buffer-bytes") {
					t.Errorf("%s: %s", u.Node, u.Detail)
				}
			}
		})
	}
	e2e.Eventually(t, "memory that is given back", func() bool { return a.metrics()["tidings_answers_bytes"] == "0" })
}

// TestNodesMemoryOfAnswers: what a server answers others counts as its response until it is sent.
func TestNodesMemoryOfAnswers(t *testing.T) {
	var bus nodestest.Bus
	all := startKnown(t, &bus, api.Options{}, "a", "b")
	a, b := all[0], all[1]
	for range 3 {
		b.open(t.Context(), "/v1/stream", "").until("tidings.live")
	}
	for _, question := range []string{`{"ask":"subscribers"}`,
		`{"ask":"request","request":{"method":"GET","uri":"/v1/subscribers","client":"127.0.0.1"}}`} {
		ctx, cancel := context.WithTimeout(t.Context(), e2e.Patience)
		body, err := a.node.Ask(ctx, b.node.Self(), []byte(question), func(int) bool { return true })
		var said struct {
			Subscribers []struct{ ID string }
			Answer      struct{ Status int }
		}
		if err != nil || json.Unmarshal(body, &said) != nil || len(said.Subscribers) != 3 && said.Answer.Status != 200 {
			t.Errorf("%s: %v, %s", question, err, body)
		}
		var held int
		if _, err := fmt.Sscan(b.metrics()["tidings_answers_bytes"], &held); err != nil || held < len(body) {
			t.Errorf("%s: %d bytes of an answer of %d count, %v", question, held, len(body), err)
		}
		cancel() // as when it is sent
		e2e.Eventually(t, "memory that is given back",
			func() bool { return b.metrics()["tidings_answers_bytes"] == "0" })
	}
}

// TestPassedMemory: the response to a request that was passed on is refused when there is no room for it.
func TestPassedMemory(t *testing.T) {
	s := newShop(t, api.Options{BufferBytes: 8 << 20})
	b := s.nodes[1]
	long, err := json.Marshal(map[string]any{"answer": map[string]any{"status": 200, "body": make([]byte, 16<<20)}})
	if err != nil {
		t.Fatal(err)
	}
	s.bus.Forge(func([]byte) []byte { return long })
	defer s.bus.Forge(nil)
	stuck, err := http.Get(b.url + "/v1/deliveries") // alone, it may have more than its share; and it is not read
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Body.Close()
	got := b.do("GET", "/v1/deliveries", "")
	newContract(t, b.server).response(t, "GET", "/v1/deliveries", got)
	if problem := wrong(got, 503, "node-unavailable"); problem != "" || !strings.Contains(got.body, "--buffer-bytes") {
		t.Errorf("%s %s", problem, got.body)
	}
}
