//go:build bench

package api_test

import (
	"net"
	"slices"
	"testing"
	"time"

	"tidings/api"
)

// TestRatioStuckClients measures in turns, A B A B …, in one run: 100 clients that requested the whole log and do not
// read must affect neither a publisher nor ten subscribers who read.
func TestRatioStuckClients(t *testing.T) {
	const pairs, stuck, subscribers = 15, 100, 10
	const halfTime = 400 * time.Millisecond
	s := newServer(t, openLog(t), 0, api.Options{})
	fillTopic(t, s.log, stuckEvents)
	publishers := dialPublishers(t, s, 8)
	all, published := newReaders(t, s, subscribers), 0
	measure := func() (p50, rate float64) {
		start := time.Now()
		took := publishWhile(t, publishers, func(int) bool { return time.Since(start) < halfTime })
		published += len(took)
		all.wait(published)
		return microseconds(took, 50), float64(len(took)*subscribers) / time.Since(start).Seconds()
	}
	measure() // warms up
	latencies, rates := make([]float64, pairs), make([]float64, pairs)
	for i := range pairs {
		p50, rate := measure()
		conns := make([]net.Conn, stuck)
		for i := range conns {
			conns[i] = subscribeStuck(t, s)
		}
		measure() // until they are stuck
		withP50, withRate := measure()
		for _, c := range conns {
			c.Close()
		}
		measure() // until they are gone
		latencies[i], rates[i] = withP50/p50, withRate/rate
	}
	slices.Sort(latencies)
	slices.Sort(rates)
	t.Logf("with stuck clients ÷ without, medians of %d pairs: publish p50 %.2f, deliveries/s %.2f",
		pairs, latencies[pairs/2], rates[pairs/2])
	if got := latencies[pairs/2]; got > 1.2 {
		t.Errorf("with %d stuck clients a publish takes %.2f of the time without, want at most 1.2",
			stuck, got)
	}
	if got := rates[pairs/2]; got < 1/1.2 {
		t.Errorf(
			"with %d stuck clients ten subscribers get %.2f of the rate without, want at least 0.83",
			stuck,
			got)
	}
}
