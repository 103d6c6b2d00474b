package clients_test

import (
	"bufio"
	"bytes"
	"cmp"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"tidings/internal/e2e"
)

// relay passes TCP connections on to the server. It records the Last-Event-ID of each request for a stream, and
// cuts connections off on request. It changes nothing that passes.
type relay struct {
	listener net.Listener
	upstream string
	refused  chan struct{} // receives an element when a connection is refused

	mu       sync.Mutex
	refusing bool
	holding  bool              // withhold from new connections what follows the open event
	conns    map[net.Conn]bool // of clients
	ids      []string          // the Last-Event-ID of each GET, "" without one
	more     chan struct{}     // closed when another is recorded
}

func startRelay(t *testing.T, s *server) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{
		listener: listener, upstream: hostOf(t, s.URL()),
		refused: make(chan struct{}, 1), conns: make(map[net.Conn]bool), more: make(chan struct{}),
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { r.serve(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		r.refuse()
		wg.Wait()
	})
	return r
}

// stream returns the URL of the stream of topic "orders".
func (r *relay) stream() string {
	return "http://" + r.listener.Addr().String() + "/v1/topics/orders/stream"
}

// refuse cuts all connections, and refuses new ones until admit.
func (r *relay) refuse() { r.set(true, false) }

// admit lets connections pass again.
func (r *relay) admit() { r.set(false, false) }

// hold lets new connections pass only up to their open event.
func (r *relay) hold() { r.set(false, true) }

func (r *relay) set(refusing, holding bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refusing, r.holding = refusing, holding
	for conn := range maps.Keys(r.conns) {
		conn.Close()
	}
	clear(r.conns)
}

// awaitRefused waits until a connection has been refused.
func (r *relay) awaitRefused(t *testing.T) {
	t.Helper()
	select {
	case <-r.refused:
	case <-time.After(e2e.Patience):
		t.Fatal("the client does not try to come back")
	}
}

// awaitRequests waits for n requests for a stream and returns the Last-Event-IDs of all so far.
func (r *relay) awaitRequests(t *testing.T, n int) []string {
	t.Helper()
	timeout := time.After(e2e.Patience)
	for {
		r.mu.Lock()
		ids, more := slices.Clone(r.ids), r.more
		r.mu.Unlock()
		if len(ids) >= n {
			return ids
		}
		select {
		case <-more:
		case <-timeout:
			t.Fatalf("the client made %d requests, want %d", len(ids), n)
		}
	}
}

func (r *relay) serve(client net.Conn) {
	defer client.Close()
	r.mu.Lock()
	refusing, holding := r.refusing, r.holding
	if !refusing {
		r.conns[client] = true
	}
	r.mu.Unlock()
	if refusing {
		select {
		case r.refused <- struct{}{}:
		default:
		}
		return
	}
	server, err := net.Dial("tcp", r.upstream)
	if err != nil {
		return
	}
	defer server.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		r.passRequests(server, client)
		server.Close()
	})
	if holding {
		passUntilOpen(client, server)
		_, _ = io.Copy(io.Discard, server)
	} else {
		_, _ = io.Copy(client, server)
	}
	client.Close()
}

// passRequests passes requests without a body. It records a request before the server sees it.
func (r *relay) passRequests(server io.Writer, client io.Reader) {
	var raw bytes.Buffer
	reader := bufio.NewReader(io.TeeReader(client, &raw))
	for {
		req, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		if req.Method == http.MethodGet {
			r.note(cmp.Or(req.Header.Get("Last-Event-ID"), req.URL.Query().Get("lastEventId")))
		}
		if _, err := raw.WriteTo(server); err != nil {
			return
		}
	}
}

func (r *relay) note(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids = append(r.ids, id)
	close(r.more)
	r.more = make(chan struct{})
}

// passUntilOpen passes a response up to the end of its open event.
func passUntilOpen(client io.Writer, server io.Reader) {
	reader := bufio.NewReader(server)
	opening := false
	for {
		line, err := reader.ReadBytes('\n')
		if _, failed := client.Write(line); err != nil || failed != nil {
			return
		}
		opening = opening || bytes.HasPrefix(line, []byte("event: tidings.open"))
		if opening && len(line) == 1 {
			return
		}
	}
}
