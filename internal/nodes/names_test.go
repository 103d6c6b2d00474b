package nodes_test

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidings/internal/nodes"
	"tidings/internal/nodes/nodestest"
)

// labels returns what a node calls those that it knows, with a question mark after lost ones.
func labels(c *nodes.Cluster) string {
	var all []string
	for _, n := range c.List() {
		if n.Lost() {
			n.Label += "?"
		}
		all = append(all, n.Label)
	}
	return strings.Join(all, " ")
}

// TestSameName: two nodes of one name are told apart by their IDs, and each logs an error, once a minute. If one falls
// silent, it is lost; the other one does not count as its return.
func TestSameName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bus nodestest.Bus
		var wrote lines
		logger := slog.New(slog.NewTextHandler(&wrote, &slog.HandlerOptions{Level: slog.LevelError}))
		none := func() nodes.State { return nodes.State{} }
		other := joinAs(t, &bus, "b", logger, none)
		one, two := joinAs(t, &bus, "a", logger, none), joinAs(t, &bus, "a", nil, none)
		wantLabels := func(list string, all ...*nodes.Cluster) {
			t.Helper()
			time.Sleep(nodes.HelloEvery)
			synctest.Wait()
			for _, c := range all {
				if got := labels(c); got != list {
					t.Errorf("%s lists %q, want %q", c.Self(), got, list)
				}
			}
		}
		first, second := "a#"+min(one.Self(), two.Self()), "a#"+max(one.Self(), two.Self())
		wantLabels(first+" "+second+" b", one, two, other)
		if one.Label() != "a#"+one.Self() || other.Label() != "b" || one.Name() != "a" {
			t.Errorf("they call themselves %s, named %s, and %s", one.Label(), one.Name(), other.Label())
		}
		if n, ok := other.Other(two.Self()); !ok || n.Label != "a#"+two.Self() {
			t.Errorf("b knows %+v", n)
		}
		time.Sleep(3*time.Minute - 2*nodes.HelloEvery)
		synctest.Wait()
		if text := wrote.String(); strings.Count(text, "--node-name") != 3 || strings.Count(text, two.Self()) != 3 {
			t.Errorf("in three minutes a logged:\n%s", text)
		}

		bus.Mute(two.Self(), true)
		time.Sleep(nodes.LostAfter)
		lost := strings.Replace(first+" "+second+" b", two.Self(), two.Self()+"?", 1)
		wantLabels(lost, one, other)
		bus.Mute(two.Self(), false)
		wantLabels(first+" "+second+" b", one, other)
		two.Close()
		wantLabels("a b", one, other)
	})
}

// TestSameNameReturns: a node that comes back at once under its name is no clash, and replaces the one that was killed
// as soon as that is lost.
func TestSameNameReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bus nodestest.Bus
		var wrote lines
		logger := slog.New(slog.NewTextHandler(&wrote, &slog.HandlerOptions{Level: slog.LevelError}))
		none := func() nodes.State { return nodes.State{} }
		other, killed := joinAs(t, &bus, "b", nil, none), joinAs(t, &bus, "a", nil, none)
		time.Sleep(nodes.HelloEvery)
		bus.Mute(killed.Self(), true)
		time.Sleep(nodes.HelloEvery)
		joinAs(t, &bus, "a", logger, none)
		synctest.Wait()
		if got := len(other.List()); got != 3 {
			t.Errorf("b lists %d nodes, want the killed one, too, until it is lost", got)
		}
		time.Sleep(nodes.LostAfter)
		synctest.Wait()
		if got := labels(other); got != "a b" {
			t.Errorf("b lists %s", got)
		}
		if wrote.String() != "" {
			t.Errorf("logged %s", wrote.String())
		}
	})
}
