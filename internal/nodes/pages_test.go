package nodes_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
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

const heartbeat, settle = 15 * time.Second, 45 * time.Second

// paged is a node with pages.
type paged struct {
	*nodes.Cluster
	own *presence.Registry
	all *nodes.AllPages
}

func joinPaged(t *testing.T, bus nodes.Bus, name string) paged {
	t.Helper()
	own := presence.New(heartbeat)
	c, err := nodes.New(bus, nodes.Options{Name: name, Pages: own})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return paged{c, own, c.AllPages(settle)}
}

// expect checks whether it counts that nobody hears, and what is heard.
func (p paged) expect(t *testing.T, when string, settled bool, heard string, unheard ...string) {
	t.Helper()
	synctest.Wait()
	if got := p.all.Settled(); got != settled {
		t.Errorf("%s: settled is %v", when, got)
	}
	if !p.all.Hears(topicsOf(t, heard)) {
		t.Errorf("%s: nobody hears %s", when, heard)
	}
	for _, topics := range unheard {
		if p.all.Hears(topicsOf(t, topics)) {
			t.Errorf("%s: somebody hears %s", when, topics)
		}
	}
}

// TestHeardElsewhere: an alarm is heard if it is on any node, each pattern on one of them. For a while after
// a node has gone it does not count that nobody hears.
func TestHeardElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bus nodestest.Bus
		a, b := joinPaged(t, &bus, "a"), joinPaged(t, &bus, "b")
		armed := true
		here, there := a.own.Open("ada", topicsOf(t, "orders.>")), b.own.Open("bo", topicsOf(t, "tickets"))
		report := func() {
			here.Report(presence.State{Armed: &armed})
			there.Report(presence.State{Armed: &armed})
		}
		pass := func(d time.Duration) {
			for ; d > 0; d -= heartbeat {
				report()
				time.Sleep(min(d, heartbeat))
			}
			report()
		}
		report()
		time.Sleep(nodes.HelloEvery)
		a.expect(t, "at the start", false, "orders.eu tickets", ">", "orders.eu >", "tickets.x")
		pass(2 * settle)
		a.expect(t, "later", true, "orders.eu tickets", ">")

		bus.Mute(b.Self(), true)
		pass(nodes.LostAfter)
		a.expect(t, "a node is lost", false, "orders.eu", "tickets")
		pass(settle)
		a.expect(t, "for long", true, "orders.eu", "tickets")
		bus.Mute(b.Self(), false)
		pass(settle)
		a.expect(t, "it is back", true, "orders.eu tickets")
		b.Close()
		a.expect(t, "it ends", false, "orders.eu", "tickets")
		pass(settle)
		a.expect(t, "it has ended", true, "orders.eu", "tickets")
	})
}

// TestSettledInTurns: many nodes that take turns at losing their pages, at ending and at starting excuse it for three
// heartbeats at most, and for half of the time.
func TestSettledInTurns(t *testing.T) {
	armed := true
	for name, turn := range map[string]func(t *testing.T, bus nodes.Bus, p paged) paged{
		"their pages go": func(t *testing.T, _ nodes.Bus, p paged) paged {
			page := p.own.Open("", topicsOf(t, ">"))
			page.Report(presence.State{Armed: &armed})
			page.Close()
			return p
		},
		"they start": func(t *testing.T, bus nodes.Bus, p paged) paged {
			p.Close()
			return joinPaged(t, bus, p.Name())
		},
		"they end": func(t *testing.T, bus nodes.Bus, p paged) paged {
			page := p.own.Open("", topicsOf(t, ">"))
			page.Report(presence.State{Armed: &armed})
			p.Changed()
			synctest.Wait()
			p.Close()
			page.Close()
			time.Sleep(settle / 4)
			return joinPaged(t, bus, p.Name())
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { takeTurns(t, turn) })
		})
	}
}

func takeTurns(t *testing.T, turn func(*testing.T, nodes.Bus, paged) paged) {
	const long = 20 * time.Minute
	var bus nodestest.Bus
	var all []paged
	for i := range 8 {
		all = append(all, joinPaged(t, &bus, fmt.Sprint("node ", i)))
	}
	var turns sync.WaitGroup
	var nothing, longest, total time.Duration // it means nothing: by now, at most, and in all
	for at := range int(long / time.Second) {
		time.Sleep(time.Second)
		if i := at / 8 % len(all); at%8 == 0 && i > 0 {
			turns.Go(func() { all[i] = turn(t, &bus, all[i]) })
		}
		if all[0].all.Settled() {
			nothing = 0
			continue
		}
		nothing += time.Second
		total += time.Second
		longest = max(longest, nothing)
	}
	turns.Wait()
	if longest > settle || total > long/2+settle || total < settle {
		t.Errorf("it means nothing for %v, and for %v of %v", longest, total, long)
	}
}

// TestVisibleTopics: a page on another node spares only pushes about what it shows, as one on the same node does.
func TestVisibleTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bus nodestest.Bus
		a, b := joinPaged(t, &bus, "a"), joinPaged(t, &bus, "b")
		for owner, topics := range map[string][]string{"ada": {"orders.>", "tickets invoices"}, "bo": {"orders.>"},
			"cy": {"> $alerts.>"}} {
			for _, patterns := range topics {
				b.own.Open(owner, topicsOf(t, patterns)).Report(presence.State{Visible: true})
			}
		}
		time.Sleep(nodes.HelloEvery)
		synctest.Wait()
		for _, x := range []struct {
			owner, topics string
			want          bool
		}{{"ada", "orders.eu", true}, {"ada", "orders.eu orders.us", true}, {"ada", "tickets", true},
			{"ada", "tickets orders.eu", false}, // on no single page
			{"ada", ">", false}, {"bo", "orders.*", true}, {"bo", "tickets", false}, {"cy", "tickets orders.eu", true},
			{"cy", "$alerts.orders", true}, {"dee", "orders.eu", false}} {
			for _, n := range []paged{a, b} {
				if got := n.all.Visible(x.owner, topicsOf(t, x.topics)); got != x.want {
					t.Errorf("%s: %s sees %s: %v, want %v", n.Name(), x.owner, x.topics, got, x.want)
				}
			}
		}
	})
}

// TestVisibleBounds: what a node reports of its pages fits into a message, whatever they show. Who has no room gets a
// push too many.
func TestVisibleBounds(t *testing.T) {
	for name, topics := range map[string]func(i int) string{
		"one topic":   func(int) string { return "orders.>" },
		"short ones":  func(i int) string { return fmt.Sprintf("%d.>", i) },
		"long topics": func(i int) string { return fmt.Sprintf("%0200d", i) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bus := &measured{}
				a, b := joinPaged(t, bus, "a"), joinPaged(t, bus, "b")
				const people = 3000
				for i := range people {
					b.own.Open(fmt.Sprint(i), topicsOf(t, topics(i))).Report(presence.State{Visible: true})
				}
				time.Sleep(nodes.HelloEvery)
				synctest.Wait()
				known := 0
				for i := range people {
					if a.all.Visible(fmt.Sprint(i), topicsOf(t, topics(i))) {
						known++
					}
				}
				if most := bus.most.Load(); most > 512<<10 || known > 2000 || known < 500 {
					t.Errorf("%d people are known of a message of %d bytes", known, most)
				}
			})
		})
	}
}

// measured is a bus that remembers the length of the longest message.
type measured struct {
	nodestest.Bus
	most atomic.Int64
}

func (m *measured) Tell(message []byte) error {
	m.most.Store(max(m.most.Load(), int64(len(message))))
	return m.Bus.Tell(message)
}

// TestVisibleElsewhere: a person has a page in view on whatever node it is, until it reports that it is not in view.
func TestVisibleElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bus nodestest.Bus
		a, b := joinPaged(t, &bus, "a"), joinPaged(t, &bus, "b")
		pages := make(map[string]*presence.Page)
		for i := range 10 {
			owner := fmt.Sprint("bo-", i)
			pages[owner] = b.own.Open(owner, topicsOf(t, "tickets"))
		}
		for _, visible := range []bool{true, false} {
			for _, page := range pages {
				page.Report(presence.State{Visible: visible})
			}
			time.Sleep(nodes.HelloEvery)
			synctest.Wait()
			for owner := range pages {
				for _, n := range []paged{a, b} {
					if got := n.all.Visible(owner, topicsOf(t, "tickets")); got != visible {
						t.Errorf("%s: a page of %s is in view: %v, want %v", n.Name(), owner, got, visible)
					}
				}
			}
			if a.all.Visible("ada", topicsOf(t, "tickets")) {
				t.Error("somebody who is not there has a page in view")
			}
		}
	})
}
