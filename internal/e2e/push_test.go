package e2e_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings/internal/e2e"
	"tidings/internal/webpush/pushtest"
)

// TestPushesUnderKill: the server is killed again and again while it pushes to browsers whose push service sometimes
// responds with 503 or drops connections. At the end each browser has been notified of the newest event, and never of
// one that the log does not have.
func TestPushesUnderKill(t *testing.T) {
	kills := 10
	if full() {
		kills = 200
	}
	n := seed(t)
	p := newPushService(t, n, 16)
	random := rand.New(rand.NewPCG(n, 2))
	d := newDesk(t)
	d.options.Args = []string{"--push-to", "127.0.0.1/32", "--push-contact", "mailto:ops@example.com"}
	last := ""
	for round := range kills {
		server := d.start(t)
		if round == 0 {
			p.subscribe(t, d, server.URL())
		}
		for i := range 1 + random.IntN(4) {
			data := fmt.Appendf(nil, `{"topic":"orders.eu","seq":%d}`, i)
			id, outcome, err := e2e.Publish(d.ctx, d.client, server.URL(), "orders.eu", data)
			if err != nil || outcome != e2e.Stored {
				t.Fatalf("publish: %v, %v", outcome, err)
			}
			last = id.String()
		}
		<-time.After(time.Duration(random.Int64N(int64(200 * time.Millisecond)))) // any moment will do
		server.Kill()
		d.client.CloseIdleConnections()
	}
	p.calm()
	server := d.start(t)
	e2e.Eventually(t, "push of the newest event to each browser", func() bool { return p.told(last) })
	log := make(map[string]bool)
	for _, e := range readLog(t, d.ctx, d.client, server.URL()) {
		log[e.ID.String()] = true
	}
	p.check(t, log)
	server.Stop()
}

// pushService is a push service that has browsers, and outlives the server.
type pushService struct {
	url string

	mu       sync.Mutex
	faults   *rand.Rand // nil: no more faults
	browsers map[string]*pushtest.Browser
	ids      map[string][]string // of which each was notified, by path
	bad      []error
}

func newPushService(t *testing.T, seed uint64, n int) *pushService {
	p := &pushService{faults: rand.New(rand.NewPCG(seed, 3)), browsers: make(map[string]*pushtest.Browser),
		ids: make(map[string][]string)}
	for i := range n {
		p.browsers[fmt.Sprintf("/send/%d", i)] = pushtest.NewBrowser()
	}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

// ServeHTTP takes a push, and may then act as if it had not.
func (p *pushService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the server was killed
	}
	p.mu.Lock()
	m, err := p.browsers[r.URL.Path].Read(body)
	if err != nil || !strings.HasPrefix(r.Header.Get("Authorization"), "vapid t=") {
		p.bad = append(p.bad, fmt.Errorf("%s: %v %w", r.URL.Path, r.Header, err))
	}
	p.ids[r.URL.Path] = append(p.ids[r.URL.Path], m.Notification.Data.ID)
	fault := 2
	if p.faults != nil {
		fault = p.faults.IntN(20)
	}
	p.mu.Unlock()
	switch fault {
	case 0:
		panic(http.ErrAbortHandler) // the connection is reset
	case 1:
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		w.WriteHeader(http.StatusCreated)
	}
}

func (p *pushService) subscribe(t *testing.T, d *desk, url string) {
	t.Helper()
	for path, b := range p.browsers {
		body := fmt.Sprintf(`{"subscription":{"endpoint":%q,"keys":{"p256dh":%q,"auth":%q}},"topics":["orders.>"],`+
			`"page":"https://shop.example.com/"}`, p.url+path, b.P256dh(), b.Auth())
		status, answer := d.do(http.MethodPost, url+"/v1/devices", body, "")
		if status != http.StatusCreated {
			t.Fatalf("%s: %d %s", path, status, answer)
		}
	}
}

func (p *pushService) calm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = nil
}

// told reports whether the last notification of each browser was of this event.
func (p *pushService) told(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for path := range p.browsers {
		if ids := p.ids[path]; len(ids) == 0 || ids[len(ids)-1] != id {
			return false
		}
	}
	return true
}

func (p *pushService) check(t *testing.T, log map[string]bool) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, err := range p.bad {
		t.Error(err)
	}
	pushes := 0
	for path, ids := range p.ids {
		pushes += len(ids)
		for _, id := range ids {
			if !log[id] {
				t.Errorf("%s was told of %s, which the log does not have", path, id)
			}
		}
	}
	t.Logf("%d browsers, %d events, %d pushes", len(p.browsers), len(log), pushes)
}
