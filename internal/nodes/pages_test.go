package nodes_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidings/internal/nodes"
	"tidings/internal/nodes/nodestest"
	"tidings/internal/presence"
	"tidings/store"
)

func topicsOf(t *testing.T, patterns string) store.Filter {
	t.Helper()
	f, err := store.NewFilter(strings.Fields(patterns)...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestAllPages: an alarm is heard when it is on any node, each pattern on one of them; a person has a page in view
// wherever it is. When a node goes it means nothing for a while that nobody hears.
func TestAllPages(t *testing.T) {
	const heartbeat, settle = 15 * time.Second, 45 * time.Second
	synctest.Test(t, func(t *testing.T) {
		var bus nodestest.Bus
		var all [2]*nodes.AllPages
		var own [2]*presence.Registry
		var clusters [2]*nodes.Cluster
		for i := range all {
			own[i] = presence.New(heartbeat)
			c, err := nodes.New(&bus, nodes.Options{Name: string(rune('a' + i)), Pages: own[i]})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			clusters[i], all[i] = c, c.AllPages(settle)
		}
		expect := func(when string, settled bool, heard string, unheard ...string) {
			t.Helper()
			synctest.Wait()
			if got := all[0].Settled(); got != settled {
				t.Errorf("%s: settled is %v", when, got)
			}
			if !all[0].Hears(topicsOf(t, heard)) {
				t.Errorf("%s: nobody hears %s", when, heard)
			}
			for _, topics := range unheard {
				if all[0].Hears(topicsOf(t, topics)) {
					t.Errorf("%s: somebody hears %s", when, topics)
				}
			}
		}
		armed := true
		page := own[0].Open("ada", topicsOf(t, "orders.>"))
		far := own[1].Open("bo", topicsOf(t, "tickets"))
		report := func() {
			page.Report(presence.State{Visible: true, Armed: &armed})
			far.Report(presence.State{Visible: true, Armed: &armed})
		}
		report()
		time.Sleep(nodes.HelloEvery)
		expect("at the start", false, "orders.eu tickets", ">", "orders.eu >", "tickets.x")
		if !all[0].Visible("bo", store.All()) || !all[1].Visible("ada", store.All()) ||
			all[0].Visible("cy", store.All()) {
			t.Error("who has a page in view is not known")
		}
		for range 4 {
			time.Sleep(heartbeat)
			report()
		}
		expect("later", true, "orders.eu tickets", ">")

		bus.Mute(clusters[1].Self(), true)
		time.Sleep(nodes.LostAfter)
		page.Report(presence.State{Visible: true, Armed: &armed})
		expect("a node is lost", false, "orders.eu", "tickets")
		time.Sleep(settle)
		page.Report(presence.State{Armed: &armed})
		expect("for long", true, "orders.eu", "tickets")
		bus.Mute(clusters[1].Self(), false)
		far.Report(presence.State{Armed: &armed})
		time.Sleep(nodes.HelloEvery)
		expect("it is back", true, "orders.eu tickets")
		if all[0].Visible("bo", store.All()) || all[1].Visible("ada", store.All()) {
			t.Error("a page that is not in view is taken for one that is")
		}
		clusters[1].Close()
		expect("it ends", false, "orders.eu", "tickets")
		time.Sleep(settle)
		page.Report(presence.State{Armed: &armed})
		expect("it has ended", true, "orders.eu", "tickets")
	})
}
