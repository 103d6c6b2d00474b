package e2e_test

import (
	"bytes"
	"context"
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

// TestDeliveriesUnderKill: the server is killed again and again while a receiver takes its webhooks and drops
// connections, answers 5xx, slowly or not at all. The receiver, dropping repeats by ID, has every event of the log
// once, in order; without dropping, order goes back only by repeating. The official library verifies each request.
func TestDeliveriesUnderKill(t *testing.T) {
	kills, events := 20, 2000
	if full() {
		kills, events = 500, 50_000
	}
	r := newHooks(t)
	dir := t.TempDir()
	ctx, client := newClient(t)
	o := e2e.Options{Binary: binary, DataDir: dir, Args: []string{"--deliver-http", "--deliver-to", "127.0.0.1/32"}}
	for round := range kills {
		server := e2e.Start(t, o)
		if round == 0 {
			r.subscribe(t, ctx, client, server.URL())
		}
		var wg sync.WaitGroup
		for publisher := range 4 {
			wg.Go(func() {
				for i := range events / kills / 4 {
					data := fmt.Appendf(nil, `{"publisher":%d,"n":%d}`, publisher, i)
					topic := fmt.Sprintf("hooks.%d", publisher)
					if _, _, err := e2e.Publish(ctx, client, server.URL(), topic, data); err != nil {
						return
					}
				}
			})
		}
		<-time.After(time.Duration(r.random.Int64N(int64(400 * time.Millisecond)))) // any moment will do
		server.Kill()
		wg.Wait()
		client.CloseIdleConnections()
	}
	r.calm()
	server := e2e.Start(t, o)
	for range events - len(readLog(t, ctx, client, server.URL())) { // kills have prevented
		if _, _, err := e2e.Publish(ctx, client, server.URL(), "hooks.last", []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	log := readLog(t, ctx, client, server.URL())
	r.await(t, log[len(log)-1].ID.String())
	r.check(t, log)
	server.Stop()
}

// hooks is a receiver of webhooks, which lives longer than the server.
type hooks struct {
	url     string
	verify  *webhooks.Webhook
	random  *rand.Rand // of the test's goroutine
	arrived chan struct{}
	quit    chan struct{}

	mu     sync.Mutex
	faults *rand.Rand // nil: none any more
	ids    []string   // of all requests
	bad    []error
}

func newHooks(t *testing.T) *hooks {
	n := seed(t)
	verify, err := webhooks.NewWebhook(hookSecret)
	if err != nil {
		t.Fatal(err)
	}
	r := &hooks{verify: verify, random: rand.New(rand.NewPCG(n, 0)), faults: rand.New(rand.NewPCG(n, 1)),
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

// ServeHTTP takes a request, and then perhaps does as if it had not.
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

// take notes the request, and draws what is to happen to it.
func (r *hooks) take(req *http.Request, body []byte) (fault int) {
	id := req.Header.Get("Webhook-Id")
	err := r.verify.Verify(body, req.Header)
	if err == nil && !bytes.Contains(body, []byte(id)) {
		err = fmt.Errorf("the event is another one: %s", body)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids = append(r.ids, id)
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

// subscribe makes the delivery.
func (r *hooks) subscribe(t *testing.T, ctx context.Context, client *http.Client, url string) {
	t.Helper()
	body := fmt.Sprintf(`{"url":%q,"topics":["hooks.>"],"secret":%q,"from":"earliest"}`, r.url+"/in", hookSecret)
	req, err := http.NewRequestWithContext(
		ctx,
		http.MethodPut,
		url+"/v1/deliveries/hooks",
		bytes.NewReader([]byte(body)),
	)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if answer, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusCreated {
		t.Fatalf("%s: %s", resp.Status, answer)
	}
}

// await waits until the last event has come.
func (r *hooks) await(t *testing.T, last string) {
	t.Helper()
	late := time.After(e2e.Patience)
	for {
		r.mu.Lock()
		n := len(r.ids)
		done := n > 0 && r.ids[n-1] == last
		r.mu.Unlock()
		if done {
			return
		}
		select {
		case <-r.arrived:
		case <-late:
			t.Fatalf("%d requests, and the last event, %s, has not come", n, last)
		}
	}
}

func (r *hooks) check(t *testing.T, log []e2e.Entry) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, err := range r.bad {
		t.Error(err)
	}
	next, repeats := 0, 0
	for i, id := range r.ids {
		switch {
		case next < len(log) && id == log[next].ID.String():
			next++
		case next > 0 && id <= log[next-1].ID.String():
			repeats++ // its own ID, so it was there
		default:
			t.Fatalf(
				"request %d is %s; expected %s, or a repeat of what came before",
				i,
				id,
				log[min(next, len(log)-1)].ID,
			)
		}
	}
	if next != len(log) {
		t.Errorf("%d events came, %d are in the log", next, len(log))
	}
	t.Logf("%d events, %d requests, of which %d repeat", len(log), len(r.ids), repeats)
}
