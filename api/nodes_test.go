package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"tidings/api"
	"tidings/internal/e2e"
	cluster "tidings/internal/nodes"
	"tidings/internal/nodes/nodestest"
)

// known is one of several servers of a log.
type known struct {
	*server
	node *cluster.Cluster
}

// startKnown starts servers of one log, with these names, which know each other.
func startKnown(t *testing.T, bus cluster.Bus, o api.Options, names ...string) (all []known) {
	t.Helper()
	log := newLog(t)
	for _, name := range names {
		node, err := cluster.New(bus, cluster.Options{Name: name, Version: "1",
			State: func() cluster.State { return cluster.State{Lag: 7, Behind: time.Second, Clock: -time.Hour} }})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(node.Close)
		o.Nodes = node
		all = append(all, known{newServer(t, log, 0, o), node})
	}
	for _, k := range all {
		e2e.Eventually(t, "servers that know each other", func() bool { return len(k.node.List()) == len(names) })
	}
	return all
}

// everybody is a list of subscribers, with their servers.
type everybody struct {
	Subscribers []struct{ ID, Node string }
	Unanswered  []struct{ Node, Detail string }
}

func (k known) everybody() (l everybody) {
	k.t.Helper()
	k.do("GET", "/v1/subscribers", "").decode(k.t, &l)
	return l
}

// TestNodes: any server lists the subscribers of all servers, and ends those of any.
func TestNodes(t *testing.T) {
	var bus nodestest.Bus
	all := startKnown(t, &bus, api.Options{}, "a", "b")
	a, b := all[0], all[1]
	first := b.open(t.Context(), "/v1/stream", "")
	first.until("tidings.live")
	second := a.open(t.Context(), "/v1/stream", "")
	second.until("tidings.live")
	c := newContract(t, a.server)
	c.response(t, "GET", "/v1/subscribers", a.do("GET", "/v1/subscribers", ""))
	var ids []string
	for _, k := range all {
		l := k.everybody()
		if len(l.Subscribers) != 2 || l.Subscribers[0].Node != "b" || l.Subscribers[1].Node != "a" ||
			l.Unanswered == nil || len(l.Unanswered) != 0 {
			t.Fatalf("%s lists %+v", k.node.Name(), l)
		}
		ids = []string{l.Subscribers[0].ID, l.Subscribers[1].ID}
	}
	for i, k := range all { // each ends the other's
		if got := k.do("DELETE", "/v1/subscribers/"+ids[i], ""); got.status != http.StatusNoContent {
			t.Errorf("%s: %d %s", k.node.Name(), got.status, got.body)
		}
	}
	first.until("tidings.bye")
	second.until("tidings.bye")
	for _, id := range []string{strings.Repeat("A", 16), "x"} {
		if got := a.do("DELETE", "/v1/subscribers/"+id, ""); got.status != http.StatusNotFound {
			t.Errorf("a stream %s that nobody has: %d %s", id, got.status, got.body)
		}
	}
	var log struct{ Nodes []map[string]any }
	got := a.do("GET", "/v1/log", "")
	c.response(t, "GET", "/v1/log", got)
	got.decode(t, &log)
	if len(log.Nodes) != 2 || log.Nodes[0]["self"] != true || log.Nodes[1]["node"] != "b" ||
		log.Nodes[1]["lag_commits"] != 7.0 || log.Nodes[1]["lag_seconds"] != 1.0 ||
		log.Nodes[1]["clock_seconds"] != -3600.0 {
		t.Errorf("the log's nodes are %v", log.Nodes)
	}
	wantSamples(t, a.metrics(), map[string]string{`tidings_cluster_nodes{state="there"}`: "2",
		`tidings_cluster_nodes{state="lost"}`: "0", `tidings_cluster_clock_seconds`: "-3600", `tidings_sends`: "1"})
}

// TestNodesOfOneName: servers of one name are told apart in every list.
func TestNodesOfOneName(t *testing.T) {
	var bus nodestest.Bus
	all := startKnown(t, &bus, api.Options{}, "a", "a")
	one, two := all[0], all[1]
	for _, k := range all {
		k.open(t.Context(), "/v1/stream", "").until("tidings.live")
	}
	label := func(k known) string { return "a#" + k.node.Self() }
	l := one.everybody()
	if len(l.Subscribers) != 2 || l.Subscribers[0].Node != label(one) || l.Subscribers[1].Node != label(two) {
		t.Errorf("listed %+v", l)
	}
	var log struct{ Nodes []struct{ Node string } }
	one.do("GET", "/v1/log", "").decode(t, &log)
	if len(log.Nodes) != 2 || log.Nodes[0].Node == log.Nodes[1].Node ||
		log.Nodes[0].Node != min(label(one), label(two)) {
		t.Errorf("the log's nodes are %+v", log.Nodes)
	}
	wantSamples(t, one.metrics(), map[string]string{`tidings_cluster_nodes{state="there"}`: "2"})
	bus.Hang(two.node.Self(), true)
	defer bus.Hang(two.node.Self(), false)
	if l := one.everybody(); len(l.Unanswered) != 1 || l.Unanswered[0].Node != label(two) {
		t.Errorf("unanswered is %+v", l.Unanswered)
	}
}

// TestReportElsewhere: a page's report to another server than its stream's reaches that one, but only from its owner.
func TestReportElsewhere(t *testing.T) {
	for name, o := range map[string]api.Options{"without keys": {}, "with keys": keyed(t, api.Options{})} {
		t.Run(name, func(t *testing.T) {
			var bus nodestest.Bus
			all := startKnown(t, &bus, o, "a", "b")
			a, b := all[0], all[1]
			ana := bearer(holder{subject: "ana", subscribe: ">", admin: true}.token(t))
			id := b.open(t.Context(), "/v1/stream", "", ana).subscriberOf()
			path, report := "/v1/subscribers/"+id+"/state", `{"visible":true,"allowed":false,"armed":true}`
			got := a.do("PUT", path, report, ana)
			newContract(t, a.server).response(t, "PUT", path, got)
			if got.status != http.StatusNoContent {
				t.Errorf("%d %s", got.status, got.body)
			}
			if hearing := a.hearingOf(id, ana); !strings.Contains(hearing, `"state":"able"`) {
				t.Errorf("the page is %s", hearing)
			}
			if o.Verifier != nil {
				bo := bearer(holder{subject: "bo", subscribe: ">"}.token(t))
				if problem := wrong(a.do("PUT", path, report, bo), 404, "subscriber-not-found"); problem != "" {
					t.Errorf("somebody else's: %s", problem)
				}
			}
			bus.Hang(b.node.Self(), true)
			got = a.do("PUT", path, report, ana)
			newContract(t, a.server).response(t, "PUT", path, got)
			if problem := wrong(got, 503, "node-unavailable"); problem != "" {
				t.Error(problem)
			}
			bus.Hang(b.node.Self(), false)
		})
	}
}

// TestErrorsNodes: a server that does not answer, or not as it should, is named, and nothing is reported on its
// behalf.
func TestErrorsNodes(t *testing.T) {
	var bus nodestest.Bus
	all := startKnown(t, &bus, api.Options{}, "a", "b")
	a, b := all[0], all[1]
	b.open(t.Context(), "/v1/stream", "").until("tidings.live")
	silent := func(t *testing.T, detail string) {
		t.Helper()
		got := a.do("GET", "/v1/subscribers", "")
		newContract(t, a.server).response(t, "GET", "/v1/subscribers", got)
		var l everybody
		if got.decode(t, &l); len(l.Subscribers) != 0 || len(l.Unanswered) != 1 || l.Unanswered[0].Node != "b" ||
			!strings.Contains(l.Unanswered[0].Detail, detail) {
			t.Errorf("listed %+v, want b, for %q", l, detail)
		}
	}
	forged := func(t *testing.T, change func(map[string]any)) func([]byte) []byte {
		var row map[string]any
		got := b.do("GET", "/v1/subscribers", "")
		var l struct{ Subscribers []map[string]any }
		got.decode(t, &l)
		row = l.Subscribers[0]
		change(row)
		text, err := json.Marshal(map[string]any{"subscribers": []any{row}})
		if err != nil {
			t.Fatal(err)
		}
		return func([]byte) []byte { return text }
	}
	for what, change := range map[string]func(map[string]any){
		"a state": func(row map[string]any) { row["state"] = "dead" },
		"an ID":   func(row map[string]any) { row["id"] = "../../1" },
		"topics":  func(row map[string]any) { row["topics"] = []string{"a..b"} },
		"a lag":   func(row map[string]any) { row["lag_events"] = -1 },
		"hearing": func(row map[string]any) { row["hearing"] = map[string]any{"state": "x"} },
		"no ID":   func(row map[string]any) { row["cursor"] = "x" },
	} {
		t.Run("row 253: "+what, func(t *testing.T) {
			bus.Forge(forged(t, change))
			defer bus.Forge(nil)
			silent(t, "cannot be read")
		})
	}
	t.Run("row 253: an error", func(t *testing.T) {
		bus.Forge(func([]byte) []byte { return []byte(`{"error":"no memory"}`) })
		defer bus.Forge(nil)
		silent(t, "no memory")
	})
	t.Run("row 253: it hangs", func(t *testing.T) {
		bus.Hang(b.node.Self(), true)
		silent(t, "in time")
		began := time.Now()
		got := a.do("DELETE", "/v1/subscribers/"+strings.Repeat("A", 16), "")
		newContract(t, a.server).response(t, "DELETE", "/v1/subscribers/"+strings.Repeat("A", 16), got)
		if problem := wrong(got, 503, "node-unavailable"); problem != "" {
			t.Error(problem)
		}
		if took := time.Since(began); took < cluster.AskWithin {
			t.Errorf("was told after %v, before b had its time", took)
		}
		bus.Hang(b.node.Self(), false)
	})
	if got := string(askOf(t, a, b, `{"ask":"anything"}`)); !strings.Contains(got, "does not know") {
		t.Errorf("an unknown question is answered %s", got)
	}
	if got := string(askOf(t, a, b, `{`)); !strings.Contains(got, "cannot read the question") {
		t.Errorf("a broken question is answered %s", got)
	}
}

func askOf(t *testing.T, a, b known, question string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), e2e.Patience)
	defer cancel()
	answer, err := a.node.Ask(ctx, b.node.Self(), []byte(question), func(int) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// TestNodesOfAdmins: only administrators see where the servers are.
func TestNodesOfAdmins(t *testing.T) {
	var bus nodestest.Bus
	a := startKnown(t, &bus, keyed(t, api.Options{}), "a")[0]
	for admin, want := range map[bool]bool{true: true, false: false} {
		got := a.do("GET", "/v1/log", "", bearer(holder{subscribe: ">", admin: admin}.token(t)))
		if has := strings.Contains(got.body, `"nodes":[{"node":"a"`); has != want {
			t.Errorf("admin %v: %s", admin, got.body)
		}
	}
	got := newServer(t, newLog(t), 0, api.Options{}).do("GET", "/v1/log", "")
	if strings.Contains(got.body, `"nodes"`) {
		t.Errorf("a server that is alone has nodes: %s", got.body)
	}
}
