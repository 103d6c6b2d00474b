package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"tidings/internal/e2e"
)

const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// TestDeliveriesUnderKill: the server is killed again and again while receivers take its webhooks and drop connections,
// respond with 5xx, slowly or not at all. A receiver that drops repeats by ID has every event of the log once, in the
// order of its delivery; without dropping, order goes back only by repeating. The official library verifies each
// request.
func TestDeliveriesUnderKill(t *testing.T) {
	kills, events := 20, 2000
	if full() {
		kills, events = 500, 50_000
	}
	n := seed(t)
	var receivers []*hooks
	for _, order := range []string{"strict", "topic", "parallel"} {
		receivers = append(receivers, newHooks(t, order, n))
	}
	random := rand.New(rand.NewPCG(n, 0))
	d := newDesk(t)
	for round := range kills {
		server := d.start(t)
		for _, r := range receivers {
			if round == 0 {
				r.subscribe(t, d, server.URL())
			}
		}
		var wg sync.WaitGroup
		for publisher := range 4 {
			wg.Go(func() {
				for i := range events / kills / 4 {
					topic := fmt.Sprintf("hooks.%d.%d", publisher, i%3)
					data := fmt.Appendf(nil, `{"topic":%q,"publisher":%d,"seq":%d}`, topic, publisher, i)
					if _, _, err := e2e.Publish(d.ctx, d.client, server.URL(), topic, data); err != nil {
						return
					}
				}
			})
		}
		<-time.After(time.Duration(random.Int64N(int64(400 * time.Millisecond)))) // any moment will do
		server.Kill()
		wg.Wait()
		d.client.CloseIdleConnections()
	}
	for _, r := range receivers {
		r.calm()
	}
	server := d.start(t)
	for range events - len(readLog(t, d.ctx, d.client, server.URL())) { // prevented by kills
		data := []byte(`{"topic":"hooks.last"}`)
		if _, _, err := e2e.Publish(d.ctx, d.client, server.URL(), "hooks.last", data); err != nil {
			t.Fatal(err)
		}
	}
	log := readLog(t, d.ctx, d.client, server.URL())
	for _, r := range receivers {
		r.await(t, log)
		r.check(t, log)
	}
	server.Stop()
}

// hooks is a receiver of webhooks that outlives the server.
type hooks struct {
	url     string
	order   string
	verify  *webhooks.Webhook
	arrived chan struct{}
	quit    chan struct{}

	mu     sync.Mutex
	faults *rand.Rand // nil: no more faults
	ids    []string   // of all requests
	topics []string   // of the same requests
	seen   map[string]bool
	bad    []error
}

func newHooks(t *testing.T, order string, seed uint64) *hooks {
	verify, err := webhooks.NewWebhook(hookSecret)
	if err != nil {
		t.Fatal(err)
	}
	r := &hooks{order: order, verify: verify, faults: rand.New(rand.NewPCG(seed, 1)), seen: make(map[string]bool),
		arrived: make(chan struct{}, 1), quit: make(chan struct{})}
	server := httptest.NewServer(r)
	t.Cleanup(func() {
		close(r.quit)
		server.CloseClientConnections()
		server.Close()
	})
	r.url = server.URL
	return r
}

// ServeHTTP takes a request, and may then act as if it had not.
func (r *hooks) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the server was killed
	}
	fault := r.take(req, body)
	select {
	case r.arrived <- struct{}{}:
	default:
	}
	switch fault {
	case 0, 1:
		panic(http.ErrAbortHandler) // the connection is reset
	case 2:
		w.WriteHeader(http.StatusServiceUnavailable)
	case 3:
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	case 4:
		select { // until the server is killed
		case <-req.Context().Done():
		case <-r.quit:
		}
	case 5, 6, 7, 8, 9:
		<-time.After(20 * time.Millisecond) // slow
		w.WriteHeader(http.StatusAccepted)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// take records the request, and draws what happens to it.
func (r *hooks) take(req *http.Request, body []byte) (fault int) {
	id := req.Header.Get("Webhook-Id")
	err := r.verify.Verify(body, req.Header)
	if err == nil && !bytes.Contains(body, []byte(id)) {
		err = fmt.Errorf("the event is another one: %s", body)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids, r.topics = append(r.ids, id), append(r.topics, req.Header.Get("Tidings-Topic"))
	r.seen[id] = true
	if err != nil {
		r.bad = append(r.bad, fmt.Errorf("request %s: %w", id, err))
	}
	if r.faults == nil {
		return -1
	}
	return r.faults.IntN(300)
}

// calm ends the faults.
func (r *hooks) calm() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = nil
}

// subscribe creates the delivery.
func (r *hooks) subscribe(t *testing.T, d *desk, url string) {
	t.Helper()
	d.put(t, url, "/v1/deliveries/"+r.order, fmt.Sprintf(
		`{"url":%q,"topics":["hooks.>"],"secret":%q,"from":"earliest","order":%q}`, r.url+"/in", hookSecret, r.order))
}

// await waits until all events have arrived, as long as any do.
func (r *hooks) await(t *testing.T, log []e2e.Entry) {
	t.Helper()
	for i, e := range log {
		for !r.has(e.ID.String()) {
			select {
			case <-r.arrived:
			case <-time.After(e2e.Patience):
				t.Fatalf("%s: event %d of %d has not come", r.order, i, len(log))
			}
		}
	}
}

func (r *hooks) has(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[id]
}

// key returns the key within which an event has to be in order.
func (r *hooks) key(id, topic string) string {
	return map[string]string{"strict": "", "topic": topic, "parallel": id}[r.order]
}

// check compares the requests with the log, for each key.
func (r *hooks) check(t *testing.T, log []e2e.Entry) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, err := range r.bad {
		t.Error(err)
	}
	wanted, next := make(map[string][]string), make(map[string]int)
	for _, e := range log {
		key := r.key(e.ID.String(), e.Topic)
		wanted[key] = append(wanted[key], e.ID.String())
	}
	repeats := 0
	for i, id := range r.ids {
		key := r.key(id, r.topics[i])
		switch want, n := wanted[key], next[key]; {
		case n < len(want) && id == want[n]:
			next[key]++
		case n > 0 && id <= want[n-1]:
			repeats++ // a repeat, since IDs increase
		default:
			t.Fatalf("%s: request %d is %s of %q; expected number %d of it, or a repeat of what came before", r.order, i,
				id, key, n)
		}
	}
	for key, want := range wanted {
		if next[key] != len(want) {
			t.Errorf("%s: of %q %d events came, %d are in the log", r.order, key, next[key], len(want))
		}
	}
	t.Logf("%s: %d events, %d requests, of which %d repeat", r.order, len(log), len(r.ids), repeats)
}
