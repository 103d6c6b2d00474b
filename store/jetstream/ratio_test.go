//go:build bench

package jetstream_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"tidings/internal/e2e"
	"tidings/internal/natstest"
	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/jetstream"
)

// TestRatioCluster compares nodes with a log on one machine, and with what the servers can do, in turns of a second, on
// three servers that sync always. All nodes, and their publishers, are in this process: its CPU is theirs.
func TestRatioCluster(t *testing.T) {
	for _, publishers := range []int{1, 64, 256} {
		t.Run(fmt.Sprint(publishers), func(t *testing.T) {
			c := natstest.Start(t, 3)
			c.Await()
			ways := []*way{bareWay(t, c), aloneWay(t), nodesWay(t, c, 1), nodesWay(t, c, 2), nodesWay(t, c, 4)}
			all := measureAll(t, c, ways, publishers)
			for i, w := range ways {
				t.Logf("%-10s %s", w.name, &all[i])
			}
			if publishers == 1 {
				return // each event has its commit, and only one node is busy
			}
			if got := all[2].cpuPerEvent() / all[1].cpuPerEvent(); got > 3 {
				t.Errorf("a node takes %.2f of the CPU of a log without servers, want at most 3 (the goal is 1.5)", got)
			}
			if got := all[4].attemptsPerCommit(); got > 2 {
				t.Errorf("four nodes make %.2f attempts for a commit, want at most 2", got)
			}
		})
	}
}

// measureAll measures all ways in turns.
func measureAll(t *testing.T, c *natstest.Cluster, ways []*way, publishers int) []figures {
	t.Helper()
	const turns = 5
	all := make([]figures, len(ways))
	for turn := range turns + 1 {
		for i, w := range ways {
			f := w.measure(t, c, publishers)
			if turn > 0 { // else it warms up
				all[i].add(&f)
			}
		}
	}
	return all
}

// way is a way to make events durable.
type way struct {
	name   string
	append func(publisher int) error
	stats  func() (s store.SequenceStats)
}

const ratioBytes = 256

// bareWay is the least that makes events durable on the servers: everything queued is one message, with one in flight
// that names the message it follows.
func bareWay(t *testing.T, c *natstest.Cluster) *way {
	connectTo(t, jetstream.Options{URLs: c.URLs(), Stream: "BARE", Lossy: true}).Close() // makes the stream
	js := operator(t, c)
	stream, err := js.Stream(t.Context(), "BARE")
	if err != nil {
		t.Fatal(err)
	}
	info := stream.CachedInfo()
	in, last := make(chan chan error, 1024), info.State.LastSeq
	subject := strings.TrimSuffix(info.Config.Subjects[0], ">") + "bare"
	var over sync.WaitGroup
	over.Go(func() {
		for first := range in {
			waiting := []chan error{first}
			for len(in) > 0 {
				waiting = append(waiting, <-in)
			}
			m := nats.NewMsg(subject)
			m.Data = make([]byte, ratioBytes*len(waiting))
			m.Header.Set("Nats-Expected-Last-Sequence", fmt.Sprint(last))
			answer, err := js.Conn().RequestMsg(m, 10*time.Second)
			if err == nil && strings.Contains(string(answer.Data), "error") {
				err = fmt.Errorf("refused: %s", answer.Data)
			}
			last++
			for _, done := range waiting {
				done <- err
			}
		}
	})
	t.Cleanup(func() { close(in); over.Wait() })
	return &way{"bare", func(int) error {
		done := make(chan error, 1)
		in <- done
		return <-done
	}, nil}
}

// aloneWay is a log without servers.
func aloneWay(t *testing.T) *way {
	log, err := bolt.Open(t.TempDir(), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return &way{"no servers", func(int) error { return appendEvent(t, log) }, nil}
}

// nodesWay is n nodes, which the publishers share.
func nodesWay(t *testing.T, c *natstest.Cluster, n int) *way {
	var logs []*node
	for range n {
		seq := connectTo(t, jetstream.Options{URLs: c.URLs(), Stream: fmt.Sprint("NODES", n), Lossy: true})
		log, err := bolt.Open(t.TempDir(), bolt.Options{Sequencer: seq})
		if err != nil {
			t.Fatal(err)
		}
		logs = append(logs, &node{log, seq})
	}
	t.Cleanup(func() {
		for _, log := range logs {
			_ = log.Close()
		}
	})
	stats := func() (sum store.SequenceStats) {
		for _, log := range logs {
			s := log.Stats().Sequence
			sum.Attempts, sum.Conflicts = sum.Attempts+s.Attempts, sum.Conflicts+s.Conflicts
		}
		return sum
	}
	return &way{fmt.Sprint(n, " node(s)"), func(i int) error { return appendEvent(t, logs[i%n]) }, stats}
}

func appendEvent(t *testing.T, log store.Log) error {
	_, err := store.Append(t.Context(), log, []store.Draft{{Topic: "a", Data: make([]byte, ratioBytes)}})
	return err
}

// figures is what one way was measured to do.
type figures struct {
	took                    []time.Duration // each publish
	elapsed, nodes, servers time.Duration
	attempts, conflicts     uint64
}

// measure publishes for a second.
func (w *way) measure(t *testing.T, c *natstest.Cluster, publishers int) (f figures) {
	t.Helper()
	if w.stats == nil {
		w.stats = func() (none store.SequenceStats) { return none }
	}
	before, own, servers, began := w.stats(), e2e.OwnCPU(), c.CPU(), time.Now()
	took := make([][]time.Duration, publishers)
	var over sync.WaitGroup
	for i := range publishers {
		over.Go(func() {
			for time.Since(began) < time.Second {
				from := time.Now()
				if err := w.append(i); err != nil {
					t.Errorf("%s: %v", w.name, err)
					return
				}
				took[i] = append(took[i], time.Since(from))
			}
		})
	}
	over.Wait()
	after := w.stats()
	return figures{slices.Concat(took...), time.Since(began), e2e.OwnCPU() - own, c.CPU() - servers,
		after.Attempts - before.Attempts, after.Conflicts - before.Conflicts}
}

func (f *figures) add(more *figures) {
	f.took = append(f.took, more.took...)
	f.elapsed, f.nodes, f.servers = f.elapsed+more.elapsed, f.nodes+more.nodes, f.servers+more.servers
	f.attempts, f.conflicts = f.attempts+more.attempts, f.conflicts+more.conflicts
}

// cpuPerEvent is the nodes' CPU, in microseconds.
func (f *figures) cpuPerEvent() float64 { return f.nodes.Seconds() * 1e6 / float64(len(f.took)) }

func (f *figures) attemptsPerCommit() float64 {
	return float64(f.attempts) / float64(f.attempts-f.conflicts)
}

func (f *figures) String() string {
	slices.Sort(f.took)
	n := len(f.took)
	at := func(percent int) float64 { return f.took[n*percent/100].Seconds() * 1e3 }
	text := fmt.Sprintf("%6.0f/s  nodes %5.1f µs, servers %5.1f µs an event  p50 %5.2f, p99 %5.2f ms",
		float64(n)/f.elapsed.Seconds(), f.cpuPerEvent(), f.servers.Seconds()*1e6/float64(n), at(50), at(99))
	if f.attempts > 0 {
		text += fmt.Sprintf("  %.2f attempts, %.2f conflicts, %.1f events a commit", f.attemptsPerCommit(),
			f.attemptsPerCommit()-1, float64(n)/float64(f.attempts-f.conflicts))
	}
	return text
}
