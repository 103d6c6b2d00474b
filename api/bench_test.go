package api_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidings/api"
	"tidings/store"
	"tidings/store/bolt"
)

// The cost of a publish and a delivery through HTTP, with client and server in one process. docs/BENCHMARKS.md has
// figures; ratio_test.go has the ratios that they must keep.

func BenchmarkPublish(b *testing.B) {
	for _, n := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("connections=%d", n), func(b *testing.B) {
			s := newServer(b, openLog(b), 0, api.Options{})
			publishers := dialPublishers(b, s, n)
			b.ReportAllocs()
			b.ResetTimer()
			took := publishWhile(b, publishers, func(begun int) bool { return begun <= b.N })
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(microseconds(took, 50), "p50-µs")
			b.ReportMetric(microseconds(took, 99), "p99-µs")
		})
	}
}

// BenchmarkDeliver publishes from 8 connections, with subscribers that read and others that do not.
func BenchmarkDeliver(b *testing.B) {
	for _, c := range []struct{ subscribers, stuck int }{{10, 0}, {10, 100}, {100, 0}} {
		b.Run(fmt.Sprintf("subscribers=%d/stuck=%d", c.subscribers, c.stuck), func(b *testing.B) {
			s := newServer(b, openLog(b), 0, api.Options{})
			fillTopic(b, s.log, stuckEvents)
			publishers := dialPublishers(b, s, 8)
			for range c.stuck {
				subscribeStuck(b, s)
			}
			all := newReaders(b, s, c.subscribers)
			b.ResetTimer()
			took := publishWhile(b, publishers, func(begun int) bool { return begun <= b.N })
			all.wait(b.N)
			b.StopTimer()
			b.ReportMetric(float64(c.subscribers*b.N)/b.Elapsed().Seconds(), "deliveries/s")
			b.ReportMetric(microseconds(took, 50), "publish-p50-µs")
		})
	}
}

const (
	benchTopic  = "orders.eu"
	benchBytes  = 256
	stuckEvents = 20_000 // far more than the kernel buffers for a client that does not read
)

var benchBody = strings.Repeat("x", benchBytes)

// openLog is newLog without the full check at the end, which would outlast the benchmark.
func openLog(tb testing.TB) store.Log {
	tb.Helper()
	log, err := bolt.Open(tb.TempDir(), bolt.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := log.Close(); err != nil {
			tb.Error(err)
		}
	})
	return log
}

func fillTopic(tb testing.TB, log store.Log, events int) {
	tb.Helper()
	drafts := slices.Repeat([]store.Draft{{Topic: benchTopic, Data: []byte(benchBody)}}, 1000)
	for range events / len(drafts) {
		if _, err := store.Append(context.Background(), log, drafts); err != nil {
			tb.Fatal(err)
		}
	}
}

func (s *server) dial(tb testing.TB) net.Conn {
	tb.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	return c
}

// publisher is a keep-alive connection that publishes the same event repeatedly.
type publisher struct {
	conn    net.Conn
	in      *bufio.Reader
	request []byte
	prepare func() []byte // returns the next request, if set
}

func dialPublishers(tb testing.TB, s *server, n int) []*publisher {
	tb.Helper()
	publishers := make([]*publisher, n)
	for i := range publishers {
		c := s.dial(tb)
		publishers[i] = &publisher{conn: c, in: bufio.NewReader(c), request: fmt.Appendf(nil,
			"POST /v1/topics/%s/events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s",
			benchTopic, len(benchBody), benchBody)}
	}
	return publishers
}

func (p *publisher) publish() error {
	if p.prepare != nil {
		p.request = p.prepare()
	}
	if _, err := p.conn.Write(p.request); err != nil {
		return err
	}
	resp, err := http.ReadResponse(p.in, nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusCreated {
		return fmt.Errorf("publish: %s", resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// publishWhile publishes from all at once for as long as more returns true, and returns how long each publish took,
// sorted. more gets the number of publishes that have begun, including this one.
func publishWhile(tb testing.TB, publishers []*publisher, more func(int) bool) []time.Duration {
	took := make([][]time.Duration, len(publishers))
	var begun atomic.Int64
	var wg sync.WaitGroup
	for i, p := range publishers {
		wg.Go(func() {
			for more(int(begun.Add(1))) {
				start := time.Now()
				if err := p.publish(); err != nil {
					tb.Error(err)
					return
				}
				took[i] = append(took[i], time.Since(start))
			}
		})
	}
	wg.Wait()
	all := slices.Concat(took...)
	slices.Sort(all)
	return all
}

func microseconds(sorted []time.Duration, percentile int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[len(sorted)*percentile/100].Microseconds())
}

// requestStream requests the topic's stream and returns when the response has begun.
func requestStream(tb testing.TB, c net.Conn, query string) *bufio.Reader {
	tb.Helper()
	if _, err := fmt.Fprintf(c, "GET /v1/topics/%s/stream%s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
		benchTopic, query); err != nil {
		tb.Fatal(err)
	}
	in := bufio.NewReaderSize(c, 4<<10)
	if line, err := in.ReadString('\n'); err != nil || !strings.Contains(line, " 200 ") {
		tb.Fatalf("stream: %q %v", line, err)
	}
	return in
}

// subscribeStuck requests everything from the beginning and then never reads.
func subscribeStuck(tb testing.TB, s *server) net.Conn {
	tb.Helper()
	c := s.dial(tb)
	if err := c.(*net.TCPConn).SetReadBuffer(16 << 10); err != nil {
		tb.Fatal(err)
	}
	requestStream(tb, c, "?since=earliest")
	return c
}

// readers are subscribers that read as fast as they can.
type readers struct {
	got  atomic.Int64 // deliveries
	n    int
	bell chan struct{}
}

func newReaders(tb testing.TB, s *server, n int) *readers {
	tb.Helper()
	r := &readers{n: n, bell: make(chan struct{}, 1)}
	var live sync.WaitGroup
	for range n {
		c := s.dial(tb)
		in := requestStream(tb, c, "")
		live.Add(1)
		go r.read(in, live.Done) // ends when the connection is closed
	}
	live.Wait()
	return r
}

// read counts events: each begins with an id line, and so does a stream's open frame.
func (r *readers) read(in *bufio.Reader, live func()) {
	for caughtUp := false; ; {
		line, err := in.ReadSlice('\n')
		switch {
		case err != nil:
			return
		case !caughtUp && bytes.HasPrefix(line, []byte("event: tidings.live")):
			caughtUp = true
			live()
		case caughtUp && bytes.HasPrefix(line, []byte("id: ")):
			r.got.Add(1)
			select {
			case r.bell <- struct{}{}:
			default:
			}
		}
	}
}

// wait returns when each has received that many events since the streams were opened.
func (r *readers) wait(events int) {
	for r.got.Load() < int64(r.n*events) {
		<-r.bell
	}
}
