//go:build bench

package api_test

import (
	"bufio"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"tidings/api"
	"tidings/internal/ratio"
)

// TestRatioTrust measures in turns, in one run, what an HS256 token and a separate Idempotency-Key on each publish
// cost at 64 connections: at most 15 % of the throughput without them.
func TestRatioTrust(t *testing.T) {
	const pairs, connections = 11, 64
	const turn = 700 * time.Millisecond
	open := newServer(t, openLog(t), 0, api.Options{})
	guarded := newServer(t, openLog(t), 0, keyed(t, api.Options{}))
	var key atomic.Uint64
	authorization := bearer(everything(t)) + "\r\n"
	dial := func(s *server, headers func() string) []*trustedPublisher {
		all := make([]*trustedPublisher, connections)
		for i := range all {
			c := s.dial(t)
			all[i] = &trustedPublisher{publisher{conn: c, in: bufio.NewReader(c)}, headers}
		}
		return all
	}
	plain := dial(open, func() string { return "" })
	trusted := dial(guarded, func() string {
		return fmt.Sprintf("%sIdempotency-Key: order-%d\r\n", authorization, key.Add(1))
	})
	rate := func(all []*trustedPublisher) float64 {
		publishers := make([]*publisher, len(all))
		for i, p := range all {
			publishers[i] = &p.publisher
			publishers[i].prepare = p.next
		}
		start := time.Now()
		took := publishWhile(t, publishers, func(int) bool { return time.Since(start) < turn })
		return float64(len(took)) / time.Since(start).Seconds()
	}
	got := ratio.Median(t, pairs, func() float64 { return rate(trusted) },
		func() float64 { return rate(plain) })
	if got < 0.85 {
		t.Errorf("a token and a key leave %.2f of the throughput, want at least 0.85", got)
	}
}

// trustedPublisher is a publisher whose headers change with each request.
type trustedPublisher struct {
	publisher
	headers func() string
}

func (p *trustedPublisher) next() []byte {
	return fmt.Appendf(p.request[:0],
		"POST /v1/topics/%s/events HTTP/1.1\r\nHost: 127.0.0.1\r\n%sContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s",
		benchTopic, p.headers(), len(benchBody), benchBody)
}
