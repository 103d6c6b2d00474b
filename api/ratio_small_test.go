//go:build bench

package api_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"tidings/api"
	"tidings/internal/ratio"
	"tidings/store"
)

// TestRatioSmallTopic measures in turns, in one run: subscribers who come back, or read everything, wait as long when
// their topic is 1 % of the log as when it is the whole log.
func TestRatioSmallTopic(t *testing.T) {
	const events, pairs = 5000, 15
	whole, small := newServer(t, openLog(t), 0, api.Options{}), newServer(t, openLog(t), 0, api.Options{})
	of := map[*server][]store.ID{whole: fillAmong(t, whole.log, events, 1), small: fillAmong(t, small.log, events, 100)}
	for _, c := range []struct {
		name          string
		clients, back int
	}{
		{"storm, 500 missed each", 500, 500},
		{"replay", 50, events - 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			took := func(s *server) func() float64 {
				ids := of[s]
				after := ids[len(ids)-1-c.back]
				return func() float64 { return comeBack(t, s, c.clients, after, ids[len(ids)-1]).Seconds() }
			}
			if got := ratio.Median(t, pairs, took(small), took(whole)); got > 1.3 {
				t.Errorf("it takes %.2f times as long on a topic that is 1 %% of the log, want at most 1.3", got)
			}
		})
	}
}

// fillAmong appends events of a topic, each after others of as many topics as make it one in so many.
func fillAmong(t *testing.T, log store.Log, events, oneIn int) (ids []store.ID) {
	t.Helper()
	const atOnce = 10
	drafts := make([]store.Draft, atOnce*oneIn)
	for i := range drafts {
		topic := benchTopic
		if i%oneIn != oneIn-1 {
			topic = fmt.Sprintf("other.%d", i%oneIn)
		}
		drafts[i] = store.Draft{Topic: topic, Data: []byte(benchBody)}
	}
	for range events / atOnce {
		batch, err := store.Append(context.Background(), log, drafts)
		if err != nil {
			t.Fatal(err)
		}
		for i := oneIn - 1; i < len(batch); i += oneIn {
			ids = append(ids, batch[i])
		}
	}
	return ids
}

// comeBack returns how long it takes until clients that have this event have the last one, too.
func comeBack(t *testing.T, s *server, clients int, after, last store.ID) time.Duration {
	t.Helper()
	request := fmt.Appendf(nil, "GET /v1/topics/%s/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nLast-Event-ID: %s\r\n\r\n",
		benchTopic, after)
	conns := make([]net.Conn, clients)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for i := range conns {
		conns[i] = s.connect()
	}
	start := time.Now()
	var all sync.WaitGroup
	for _, c := range conns {
		all.Go(func() {
			if _, err := c.Write(request); err != nil {
				t.Error(err)
			}
			if err := readTo(c, fmt.Appendf(nil, "id: %s\n", last)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	return time.Since(start)
}

// readTo reads up to a text.
func readTo(r io.Reader, text []byte) error {
	buf, kept := make([]byte, 64<<10), 0
	for {
		n, err := r.Read(buf[kept:])
		if err != nil {
			return fmt.Errorf("%w after %q", err, buf[:kept])
		}
		n += kept
		if bytes.Contains(buf[:n], text) {
			return nil
		}
		kept = copy(buf, buf[max(0, n-200):n])
	}
}
