package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"testing"

	"tidings/internal/e2e"
)

// What servers in these tests may owe to stuck streams, and cache of the newest events: their defaults.
const stuckBytes, tailBytes = 64 << 20, 64 << 20

// crowd is streams opened one after each event and never read, so that each is stuck at its own place.
type crowd struct {
	ctx       context.Context
	client    *http.Client
	url       string
	streams   []*e2e.Stream
	opened    []int // events published before each stream was opened
	published int
}

func gather(t *testing.T, server *e2e.Server, streams int) *crowd {
	t.Helper()
	c := &crowd{url: server.URL()}
	c.ctx, c.client = newClient(t)
	c.client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network,
		address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		// Two segments on loopback: with less the kernel drops data, and sends it again after half a minute.
		return conn, conn.(*net.TCPConn).SetReadBuffer(64 << 10)
	}
	for range streams {
		s, err := e2e.Subscribe(c.ctx, c.client, c.url, "topic=orders", "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		c.streams, c.opened = append(c.streams, s), append(c.opened, c.published)
		c.publish(t, 1)
	}
	c.publish(t, 200) // more than the kernels of both sides buffer for a client that does not read
	return c
}

// publish publishes events of 4 KiB.
func (c *crowd) publish(t *testing.T, n int) {
	t.Helper()
	data := fmt.Appendf(nil, `{"text":"%s"}`, bytes.Repeat([]byte("x"), 4<<10))
	for range n {
		if _, _, err := e2e.Publish(c.ctx, c.client, c.url, "orders", data); err != nil {
			t.Fatal(err)
		}
		c.published++
	}
}

// TestManyStuck: many clients that have stopped reading, each at another place, cost no more than the flags allow; and
// those that read on get everything, once and in order.
func TestManyStuck(t *testing.T) {
	streams := 300
	if full() {
		streams = 9_000 // limited by the file descriptors of both sides
	}
	server := start(t, t.TempDir(), "--stall-timeout", "1h")
	before := rssAnon(t, server.Pid())
	c := gather(t, server, streams)
	took := rssAnon(t, server.Pid()) - before
	t.Logf("%d stuck streams take %d KiB", streams, took>>10)
	// The garbage collector lets the heap grow to twice what is in use.
	if most := 2 * int64(stuckBytes+tailBytes+streams*(8<<10)); took > most {
		t.Errorf("%d stuck streams take %d KiB, want at most %d", streams, took>>10, most>>10)
	}
	for i := 0; i < streams; i += streams / 10 {
		want, got := c.published-c.opened[i], 0
		for last := ""; got < want; {
			e, err := c.streams[i].Next()
			if err != nil || e.Type == "tidings.gap" || e.Type == "tidings.bye" {
				t.Fatalf("stream %d, after %d of %d events: %v, %s %s", i, got, want, err, e.Type, e.Data)
			}
			if e2e.IsControl(e) {
				continue
			}
			if e.ID <= last {
				t.Fatalf("stream %d: %s after %s", i, e.ID, last)
			}
			last, got = e.ID, got+1
		}
	}
}
