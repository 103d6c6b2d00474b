//go:build bench

package e2e_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"tidings/internal/e2e"
)

// TestRatioSlowBackup measures in turns, A B A B …, in one run: publishers must not feel a client that reads a backup
// at 1 kB/s. The turns are short, because other load on the machine comes and goes; a run pools its turns.
func TestRatioSlowBackup(t *testing.T) {
	const runs, turns, publishers = 5, 12, 8
	const turn = 400 * time.Millisecond
	ctx, slow := newStuckClient(t)
	_, client := newClient(t)
	dir := t.TempDir()
	fill(t, dir, 30_000) // more than the buffers of a connection
	server := start(t, dir, "--stall-timeout", "1h")
	publish := func() []time.Duration {
		return publishFor(t, ctx, client, server.URL(), publishers, turn)
	}
	publish() // warms up
	ratios := make([]float64, runs)
	for i := range ratios {
		var without, with []time.Duration
		for range turns {
			without = append(without, publish()...)
			stop := readSlowly(openBackup(t, ctx, slow, server.URL()).Body)
			with = append(with, publish()...)
			stop()
		}
		ratios[i] = p99(with).Seconds() / p99(without).Seconds()
		t.Logf("publish p99 %v with a slow backup, %v without", p99(with), p99(without))
	}
	slices.Sort(ratios)
	t.Logf("publish p99 with a slow backup ÷ without, %d runs: median %.2f (%.2f to %.2f)", runs,
		ratios[runs/2], ratios[0], ratios[runs-1])
	if got := ratios[runs/2]; got > 1.2 {
		t.Errorf(
			"with a client that takes 1 kB/s of a backup the p99 of a publish is %.2f of that without, want at most 1.2",
			got)
	}
}

// publishFor returns how long each publish took.
func publishFor(t *testing.T, ctx context.Context, client *http.Client, url string, publishers int,
	turn time.Duration) []time.Duration {
	took := make([][]time.Duration, publishers)
	var wg sync.WaitGroup
	start := time.Now()
	for i := range took {
		wg.Go(func() {
			for began := time.Now(); began.Sub(start) < turn; began = time.Now() {
				if _, _, err := e2e.Publish(ctx, client, url, "orders", missedData()); err != nil {
					t.Error(err)
					return
				}
				took[i] = append(took[i], time.Since(began))
			}
		})
	}
	wg.Wait()
	return slices.Concat(took...)
}

// readSlowly reads 1 kB/s until the returned function is called.
func readSlowly(body io.ReadCloser) (stop func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if _, err := io.CopyN(io.Discard, body, 100); err != nil {
				return // closed
			}
		}
	}()
	return func() {
		body.Close()
		<-ended
	}
}

// TestRatioManyStuck measures in turns what thousands of clients that have stopped reading, each at another place, cost
// publishers. The target is nothing (1.2). docs/BENCHMARKS.md has the figure.
func TestRatioManyStuck(t *testing.T) {
	const runs, turns, publishers, streams = 5, 8, 8, 9_000
	const turn = 400 * time.Millisecond
	alone := start(t, t.TempDir())
	crowded := start(t, t.TempDir(), "--stall-timeout", "1h")
	c := gather(t, crowded, streams)
	_, client := newClient(t)
	publish := func(server *e2e.Server) []time.Duration {
		return publishFor(t, c.ctx, client, server.URL(), publishers, turn)
	}
	publish(alone)
	ratios := make([]float64, runs)
	for i := range ratios {
		var without, with []time.Duration
		for range turns {
			without = append(without, publish(alone)...)
			with = append(with, publish(crowded)...)
		}
		ratios[i] = p99(with).Seconds() / p99(without).Seconds()
		t.Logf("publish p99 %v with %d stuck streams, %v without", p99(with), streams, p99(without))
	}
	slices.Sort(ratios)
	t.Logf("publish p99 with %d stuck streams ÷ without, %d runs: median %.2f (%.2f to %.2f)", streams, runs,
		ratios[runs/2], ratios[0], ratios[runs-1])
	if got := ratios[runs/2]; got > 2 {
		t.Errorf("with %d stuck streams the p99 of a publish is %.2f of that without, want at most 2", streams, got)
	}
}
