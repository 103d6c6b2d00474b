package e2e_test

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path"
	"strings"
	"sync"
	"testing"
)

// cutter is a proxy that loses responses. It passes each request on whole, and cuts the client off before the response,
// or at a random byte of it. The first response to each Idempotency-Key is always lost, every later one with a
// probability of one half. A connection carries one request.
type cutter struct {
	listener net.Listener
	wg       sync.WaitGroup
	end      chan struct{}

	mu      sync.Mutex
	random  *rand.Rand
	server  string        // address
	up      chan struct{} // closed while there is a server
	tries   map[string]int
	ids     map[string]map[string]int // by key: how often the server responded with each location
	created map[string]int            // by key: responses of 201
	cuts    int
}

func newCutter(t *testing.T, random *rand.Rand) *cutter {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{
		listener: listener, end: make(chan struct{}), random: random, up: make(chan struct{}),
		tries: make(map[string]int), ids: make(map[string]map[string]int),
		created: make(map[string]int),
	}
	c.wg.Go(c.accept)
	t.Cleanup(func() {
		listener.Close()
		close(c.end)
		c.wg.Wait()
	})
	return c
}

func (c *cutter) url() string { return "http://" + c.listener.Addr().String() }

// to sets the server from now on.
func (c *cutter) to(url string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.server = strings.TrimPrefix(url, "http://")
	close(c.up)
}

// hold lets no request through until the next call of to; those already passed on are not affected.
func (c *cutter) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.up = make(chan struct{})
}

func (c *cutter) accept() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return // closed
		}
		c.wg.Go(func() {
			defer conn.Close()
			c.pass(conn)
		})
	}
}

// pass handles a connection. Any failure on the way serves the purpose: the client is cut off.
func (c *cutter) pass(client net.Conn) {
	var request bytes.Buffer
	r, err := http.ReadRequest(bufio.NewReader(io.TeeReader(client, &request)))
	if err != nil {
		return
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	c.mu.Lock()
	up := c.up
	c.mu.Unlock()
	select {
	case <-up:
	case <-c.end:
		return
	}
	key := r.Header.Get("Idempotency-Key")
	address, fate := c.draw(key)
	server, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer server.Close()
	if _, err := server.Write(request.Bytes()); err != nil || fate == loseRequest {
		return
	}
	var text bytes.Buffer
	resp, err := http.ReadResponse(bufio.NewReader(io.TeeReader(server, &text)), r)
	if err != nil {
		return // killed
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return
	}
	_, _ = client.Write(c.cut(text.Bytes(), key, resp, fate))
}

// fate is what happens to a response.
type fate int

const (
	deliver fate = iota
	loseAnswer
	loseRequest // cut off before the response: the server may notice while it works on it
)

func (c *cutter) draw(key string) (address string, f fate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tries[key]++
	if c.tries[key] > 1 && c.random.IntN(2) == 0 {
		return c.server, deliver
	}
	if c.random.IntN(4) == 0 {
		f = loseRequest
	} else {
		f = loseAnswer
	}
	c.cuts++
	return c.server, f
}

// cut records the response and returns the part of it that the client gets.
func (c *cutter) cut(text []byte, key string, resp *http.Response, f fate) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if location := resp.Header.Get("Location"); location != "" {
		if c.ids[key] == nil {
			c.ids[key] = make(map[string]int)
		}
		c.ids[key][path.Base(location)]++
	}
	if resp.StatusCode == http.StatusCreated {
		c.created[key]++
	}
	if f == loseAnswer {
		text = text[:c.random.IntN(len(text))]
	}
	return text
}
