package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"tidings/internal/e2e"
	"tidings/internal/natstest"
)

// house is two servers of one log, and a receiver of their deliveries.
type house struct {
	*desk
	t       *testing.T
	servers []*e2e.Server
	options []e2e.Options
	url     string // of the receiver

	mu   sync.Mutex
	ids  []string      // of all requests, in order of arrival
	hold chan struct{} // requests get no response until it is closed; nil: they get one at once
}

func newHouse(t *testing.T) *house {
	h := &house{desk: newDesk(t), t: t}
	c := natstest.Start(t, 1)
	key := filepath.Join(t.TempDir(), "secrets.key")
	receiver := httptest.NewServer(h)
	t.Cleanup(func() {
		receiver.CloseClientConnections()
		receiver.Close()
	})
	h.url = receiver.URL
	for i := range 2 {
		o := h.desk.options
		o.DataDir = t.TempDir()
		o.Args = append(slices.Clone(o.Args), "--store", "nats", "--nats-url", c.URLs()[0], "--nats-replicas", "1",
			"--nats-allow-lossy", "--secrets-key-file", key, "--node-name", fmt.Sprint(i))
		h.options = append(h.options, o)
		h.servers = append(h.servers, e2e.Start(t, o))
	}
	h.holder(-1)
	return h
}

// ServeHTTP takes a delivery.
func (h *house) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.ids = append(h.ids, r.Header.Get("Webhook-Id"))
	hold := h.hold
	h.mu.Unlock()
	if hold != nil {
		<-hold
	}
	w.WriteHeader(http.StatusNoContent)
}

// came returns what was delivered so far.
func (h *house) came() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.ids)
}

// holder waits until a server other than the given one sends, and returns which.
func (h *house) holder(not int) (holder int) {
	h.t.Helper()
	e2e.Eventually(h.t, "server that sends", func() bool {
		for i, s := range h.servers {
			if i != not {
				status, answer := h.do(http.MethodGet, s.URL()+"/v1/log", "", "")
				var log struct {
					Nodes []struct{ Self, Sends bool }
				}
				if status == http.StatusOK && json.Unmarshal(answer, &log) == nil {
					for _, n := range log.Nodes {
						if n.Self && n.Sends {
							holder = i
							return true
						}
					}
				}
			}
		}
		return false
	})
	return holder
}

// set sets a delivery or a rule, once the server has heard which one sends.
func (h *house) set(by int, path, body string) {
	h.t.Helper()
	e2e.Eventually(h.t, "delivery or rule", func() bool {
		status, answer := h.do(http.MethodPut, h.servers[by].URL()+path, body, "")
		if status != 0 && status != http.StatusCreated {
			h.t.Fatalf("%s: %d %s", path, status, answer)
		}
		return status != 0
	})
}

// publish publishes to a topic by one of the servers, and returns the IDs.
func (h *house) publish(by, n int, topic string) (ids []string) {
	h.t.Helper()
	for range n {
		id, _, err := e2e.Publish(h.ctx, h.client, h.servers[by].URL(), topic, []byte("{}"))
		if err != nil {
			h.t.Fatal(err)
		}
		ids = append(ids, id.String())
	}
	return ids
}

// await waits until all of these have been delivered.
func (h *house) await(ids []string) {
	h.t.Helper()
	e2e.Eventually(h.t, "delivery of all events", func() bool {
		came := h.came()
		return !slices.ContainsFunc(ids, func(id string) bool { return !slices.Contains(came, id) })
	})
}

// repeats checks that the requests are the events in order, going back only by repeating, and returns how many of them
// from the n-th on were repeats.
func (h *house) repeats(log []string, from int) (repeated int) {
	h.t.Helper()
	next := 0
	for i, id := range h.came() {
		at := slices.Index(log, id)
		switch {
		case at == next:
			next++
		case at < 0 || at > next:
			h.t.Fatalf("request %d is event %d, expected %d or a repeat", i, at, next)
		case i >= from:
			repeated++
		}
	}
	if next != len(log) {
		h.t.Errorf("%d of %d events came", next, len(log))
	}
	return repeated
}

// TestOneSends: of two servers one sends, whichever is asked for a delivery. If it is killed, or stopped in the middle
// of a request and resumed late, the other takes over: each event is sent, in order, and the server that resumes late
// sends nothing but the request it was in.
func TestOneSends(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for servers to be missed")
	}
	t.Parallel() // most of it is waiting
	h := newHouse(t)
	holder := h.holder(-1)
	h.set(1-holder, "/v1/deliveries/shop", fmt.Sprintf(`{"url":%q,"topics":["orders"],"secret":%q}`, h.url, hookSecret))
	for _, s := range h.servers {
		if status, answer := h.do(http.MethodGet, s.URL()+"/v1/deliveries/shop", "", ""); status != http.StatusOK {
			t.Errorf("asked for the delivery: %d %s", status, answer)
		}
	}
	log := h.publish(holder, 20, "orders")
	log = append(log, h.publish(1-holder, 20, "orders")...)
	h.await(log)

	h.servers[holder].Kill()
	log = append(log, h.publish(1-holder, 20, "orders")...)
	holder = h.holder(holder)
	h.await(log)
	h.servers[1-holder] = e2e.Start(t, h.options[1-holder])
	log = append(log, h.publish(1-holder, 20, "orders")...)
	h.await(log)
	t.Logf("after the kill %d of %d requests repeat", h.repeats(log, 0), len(h.came()))

	h.mu.Lock()
	h.hold = make(chan struct{})
	before := len(h.ids)
	h.mu.Unlock()
	log = append(log, h.publish(1-holder, 30, "orders")...)
	e2e.Eventually(t, "request under way", func() bool { return len(h.came()) > before })
	h.servers[holder].Signal(syscall.SIGSTOP)
	late := holder
	h.mu.Lock()
	close(h.hold)
	h.hold = nil
	h.mu.Unlock()
	holder = h.holder(late)
	h.await(log)
	woken := len(h.came())
	h.servers[late].Signal(syscall.SIGCONT)
	e2e.Eventually(t, "server that knows that it does not send", func() bool { // it passes the request on to the other
		status, _ := h.do(http.MethodGet, h.servers[late].URL()+"/v1/deliveries/shop", "", "")
		return status == http.StatusOK
	})
	log = append(log, h.publish(late, 20, "orders")...)
	h.await(log)
	if n := h.repeats(log, woken); n > 1 {
		t.Errorf("after it woke %d requests were repeated, want one at most", n)
	}
	if got := h.holder(-1); got != holder {
		t.Errorf("server %d sends, want %d still", got, holder)
	}
	for _, s := range h.servers {
		s.Stop()
	}
}

// TestOneEscalates: the steps of an alert are taken once although the server that takes them is killed meanwhile, and
// an alert is claimed once, whichever server is asked.
func TestOneEscalates(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for servers to be missed")
	}
	t.Parallel() // most of it is waiting
	h := newHouse(t)
	holder := h.holder(-1)
	other := 1 - holder
	h.set(other, "/v1/deliveries/pager",
		fmt.Sprintf(`{"url":%q,"topics":["$alerts.alarms"],"order":"parallel","secret":%q}`, h.url, hookSecret))
	h.set(other, "/v1/alerts/all", `{"topics":["alarms"],"steps":[{"after_seconds":2,"delivery":"pager"}]}`)
	early := h.publish(other, 20, "alarms")
	e2e.Eventually(t, "first step", func() bool { return len(h.steps(other)) > 0 })
	h.servers[holder].Kill()
	alarms := append(early, h.publish(other, 20, "alarms")...)
	if got := h.holder(holder); got != other {
		t.Fatalf("server %d sends, which is dead", got)
	}
	e2e.Eventually(t, "step of each alert", func() bool { return len(h.steps(other)) >= len(alarms) })
	h.servers[holder] = e2e.Start(t, h.options[holder])
	for _, alarm := range alarms {
		var claimed []int
		for _, s := range h.servers {
			var status int
			e2e.Eventually(t, "answer to a claim", func() bool { // the new one has to hear who sends
				status, _ = h.do(http.MethodPost, s.URL()+"/v1/events/"+alarm+"/claim",
					fmt.Sprintf(`{"name":"at %s"}`, s.URL()), "")
				return status != 0
			})
			claimed = append(claimed, status)
		}
		if !slices.Equal(claimed, []int{http.StatusCreated, http.StatusConflict}) {
			t.Errorf("claims of %s by two servers: %v", alarm, claimed)
		}
	}
	steps := h.steps(other)
	for _, alarm := range alarms {
		if n := steps[alarm]; n != 1 {
			t.Errorf("%d steps were taken for %s, want one", n, alarm)
		}
	}
}

// steps counts the steps of each alert in the log.
func (h *house) steps(by int) map[string]int {
	h.t.Helper()
	status, answer := h.do(http.MethodGet,
		h.servers[by].URL()+"/v1/events?topic=$alerts.alarms&since=earliest&limit=1000", "", "")
	var page struct {
		Events []struct {
			Type string
			Data struct{ Event string }
			CE   struct{ Subject string }
		}
	}
	if err := json.Unmarshal(answer, &page); status != http.StatusOK || err != nil {
		h.t.Fatalf("%d %s", status, answer)
	}
	steps := make(map[string]int)
	for _, e := range page.Events {
		if e.Type == "alert.step" {
			steps[e.CE.Subject]++
		}
	}
	return steps
}
