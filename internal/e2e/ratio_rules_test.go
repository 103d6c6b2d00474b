//go:build bench

package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidings/internal/e2e"
	"tidings/internal/ratio"
)

const manyRules = 100

// newRules starts a server with manyRules rules, each for a topic of its own.
func newRules(t *testing.T) (*desk, *e2e.Server) {
	t.Helper()
	d := newDesk(t)
	server := d.start(t)
	for i := range manyRules {
		d.put(t, server.URL(), fmt.Sprintf("/v1/alerts/rule-%d", i), fmt.Sprintf(`{"topics":["desk.%d"]}`, i))
	}
	return d, server
}

// publishTurn is how long one measurement takes.
const publishTurn = 500 * time.Millisecond

// publishRate returns how many events a second 64 publishers get stored over HTTP/1.1. Each one-th event (none if one
// is 0) is for a rule's topic.
func publishRate(t *testing.T, d *desk, url string, one int) float64 {
	t.Helper()
	var total atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for i := range 64 {
		all.Go(func() {
			for n := i; time.Since(began) < publishTurn; n++ {
				topic := "orders"
				if one > 0 && n%one == 0 {
					topic = fmt.Sprintf("desk.%d", n/one%manyRules)
				}
				if _, _, err := e2e.Publish(d.ctx, d.client, url, topic, missedData()); err != nil {
					t.Error(err)
					return
				}
				total.Add(1)
			}
		})
	}
	all.Wait()
	return float64(total.Load()) / time.Since(began).Seconds()
}

// TestRatioRules measures, in turns, what rules cost publishers whose events match none of them.
func TestRatioRules(t *testing.T) {
	with, ruled := newRules(t)
	without := newDesk(t)
	plain := without.start(t)
	rules := func() float64 { return publishRate(t, with, ruled.URL(), 0) }
	none := func() float64 { return publishRate(t, without, plain.URL(), 0) }
	if got := ratio.Median(t, 31, rules, none); got < 0.95 {
		t.Errorf("with %d rules that match nothing %.2f of the events are stored, want at least 0.95", manyRules, got)
	}
}

// TestRatioAlerting measures, in turns, what it costs publishers that one event in ten opens an alert, beside up to
// 1,000 stored claims a second, each of which takes an alert over. The control has no rules; up to 1,000 events a
// second are published beside it.
func TestRatioAlerting(t *testing.T) {
	with, ruled := newRules(t)
	without := newDesk(t)
	plain := without.start(t)
	for range 100 {
		id, _, err := e2e.Publish(with.ctx, with.client, ruled.URL(), "desk.0", missedData())
		if err != nil {
			t.Fatal(err)
		}
		with.ids = append(with.ids, id.String())
	}
	var claims, events atomic.Int64
	claimed := func() float64 {
		return beside(t, with, ruled.URL(), &claims, func(n int) int {
			path := ruled.URL() + "/v1/events/" + with.ids[n%len(with.ids)] + "/claim"
			status, _ := with.do(http.MethodPost, path, fmt.Sprintf(`{"name":"clerk-%d","force":true}`, n), "")
			return status
		})
	}
	published := func() float64 {
		return beside(t, without, plain.URL(), &events, func(n int) int {
			path := plain.URL() + "/v1/topics/answers/events"
			status, _ := without.do(http.MethodPost, path, fmt.Sprintf(`{"name":"clerk-%d","force":true}`, n), "")
			return status
		})
	}
	const pairs = 61
	if got := ratio.Median(t, pairs, claimed, published); got < 0.8 {
		t.Errorf("while one event in ten alerts %.2f of the events are stored, want at least 0.8", got)
	}
	t.Logf("%d claims were stored, and %d events beside the control, in %v each", claims.Load(), events.Load(),
		pairs*publishTurn)
	if claims.Load() == 0 || events.Load() == 0 {
		t.Error("nothing was stored beside")
	}
}

// beside returns the rate of publishers, one in ten of whose events is for a rule's topic, while ask is called 1,000
// times a second. stored counts the calls that got 201.
func beside(t *testing.T, d *desk, url string, stored *atomic.Int64, ask func(n int) (status int)) float64 {
	t.Helper()
	var clerks sync.WaitGroup
	var n atomic.Int64
	pace, over := time.NewTicker(time.Millisecond), make(chan struct{})
	defer pace.Stop()
	for range 64 {
		clerks.Go(func() {
			for {
				select {
				case <-pace.C:
				case <-over:
					return
				}
				if ask(int(n.Add(1))) == http.StatusCreated {
					stored.Add(1)
				}
			}
		})
	}
	rate := publishRate(t, d, url, 10)
	close(over)
	clerks.Wait()
	return rate
}

// TestRatioOpenAlerts measures in turns how much longer a server with a million events takes after a kill until it
// reports the open alerts, if there are 10,000: at most a second.
func TestRatioOpenAlerts(t *testing.T) {
	const pairs = 9
	with, without := newDesk(t), newDesk(t)
	fillDesk(t, with, true)
	fillDesk(t, without, false)
	longer := make([]time.Duration, pairs)
	for i := range longer {
		a, b := startUntilOpen(t, with, openAlerts), startUntilOpen(t, without, 0)
		longer[i] = a - b
		t.Logf("%d open alerts: %v, none: %v", openAlerts, a, b)
	}
	slices.Sort(longer)
	if got := longer[pairs/2]; got > time.Second {
		t.Errorf("with %d open alerts a start takes %v longer, want at most a second", openAlerts, got)
	}
}

const openAlerts = 10_000

// fillDesk creates a log of a million events; with a rule, openAlerts in the middle are alerts.
func fillDesk(t *testing.T, d *desk, rule bool) {
	t.Helper()
	fill(t, d.options.DataDir, 500_000)
	server := d.start(t)
	if rule {
		d.put(t, server.URL(), "/v1/alerts/all", `{"topics":["desk"]}`)
	}
	lines := strings.Repeat(`{"topic":"desk","data":{}}`+"\n", 1000)
	for range openAlerts / 1000 {
		req, err := http.NewRequestWithContext(d.ctx, http.MethodPost, server.URL()+"/v1/events",
			strings.NewReader(lines))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-ndjson")
		resp, err := d.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusCreated {
			t.Fatal(resp.Status)
		}
	}
	server.Stop()
	fill(t, d.options.DataDir, 490_000)
}

// startUntilOpen returns how long a server takes to start and count the open alerts.
func startUntilOpen(t *testing.T, d *desk, want int) time.Duration {
	t.Helper()
	began := time.Now()
	server := d.start(t)
	status, body := d.do(http.MethodGet, server.URL()+"/v1/open?limit=1", "", "")
	took := time.Since(began)
	defer server.Kill()
	if !strings.Contains(string(body), fmt.Sprintf(`"open":%d,`, want)) {
		t.Fatalf("%d %s", status, body)
	}
	return took
}
