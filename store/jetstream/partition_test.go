package jetstream_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"tidings/internal/natstest"
	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/jetstream"
	"tidings/store/storetest"
)

// seed returns the seed of all random choices of a test, and logs it so that they can be repeated.
func seed(t *testing.T) uint64 {
	t.Helper()
	n := rand.Uint64()
	if text := os.Getenv("TIDINGS_SEED"); text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("TIDINGS_SEED: %v", err)
		}
	}
	t.Logf("repeat with TIDINGS_SEED=%d", n)
	return n
}

// fault is something that happens to the servers or to a node, and its end.
type fault struct {
	name         string
	strike, mend func()
	without      int           // the node that cannot store anything until the end; -1: all can
	patience     time.Duration // until someone stores an event before the end; 0: continuePatience
}

// faults returns every fault in random order, each to be drawn when its turn comes.
func (c *crowd) faults(t *testing.T, js natsjs.JetStream) []func() fault {
	heal, all, nodes := c.servers.Heal, -1, len(c.nodes)
	faults := []func() fault{
		func() fault {
			i, who := c.server()
			strike := func() { c.servers.Cut(i, (i+1)%3); c.servers.Cut(i, (i+2)%3) }
			return fault{who + " is cut off from its peers", strike, heal, all, 0}
		},
		func() fault {
			i, who := c.server()
			strike := func() { c.servers.Cut(i, (i+1)%3) }
			// The one that does not hear the leader calls election after election, and the third takes part.
			return fault{who + " is cut off from one peer", strike, heal, all, time.Minute}
		},
		func() fault {
			i, who := c.server()
			return fault{who + " is cut off from the nodes", func() { c.servers.CutClients(i) }, heal, all, 0}
		},
		func() fault {
			i, who := c.server()
			return fault{who + " is killed", func() { c.servers.Kill(i) }, func() { c.servers.Run(i) }, all, 0}
		},
		func() fault {
			i, who := c.server()
			return fault{who + " is stopped", func() { c.servers.Stop(i) }, func() { c.servers.Continue(i) }, all, 0}
		},
		func() fault { return fault{"the leader steps down", func() { stepDown(t, js) }, func() {}, all, 0} },
		func() fault {
			i := c.random.IntN(nodes)
			return fault{fmt.Sprintf("node %d is cut off from all servers", i), c.nodes[i].door.Cut, heal, i, 0}
		},
		func() fault {
			i := c.random.IntN(nodes)
			return fault{fmt.Sprintf("node %d is closed", i), func() { c.shut(i) }, func() { c.open(t, i) }, i, 0}
		},
	}
	c.random.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
	return faults
}

// server draws a server; every other time it is the one that leads the stream.
func (c *crowd) server() (i int, who string) {
	i = c.random.IntN(3)
	if lead := c.servers.Leader("LOG"); lead >= 0 && c.random.IntN(2) == 0 {
		return lead, fmt.Sprintf("server %d, which leads the stream,", lead)
	}
	return i, fmt.Sprintf("server %d", i)
}

// stepDown asks the stream's leader to step down.
func stepDown(t *testing.T, js natsjs.JetStream) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := js.Conn().RequestWithContext(ctx, "$JS.API.STREAM.LEADER.STEPDOWN.LOG", nil); err != nil {
		t.Log("step down:", err) // there is no leader, or it answers late
	}
}

// TestPartitions: whatever happens to one of three servers or to one of several nodes, no acknowledged event is lost
// or stored twice, each is where its publisher was answered, and readers that take another node at each page get all.
// Two servers and the nodes that reach them continue meanwhile.
func TestPartitions(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for servers to elect a leader")
	}
	rounds, nodes, publishers, readers := 4, 3, 3, 9 // publishers with keys
	if os.Getenv("TIDINGS_FULL") != "" {
		rounds, nodes, publishers, readers = 200, 4, 64, 200
	}
	if text := os.Getenv("TIDINGS_ROUNDS"); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil {
			t.Fatalf("TIDINGS_ROUNDS: %v", err)
		}
	}
	c := newCrowd(t, seed(t), nodes, publishers, readers)
	js := operator(t, c.servers)
	var faults []func() fault
	for round := range rounds {
		if len(faults) == 0 {
			faults = c.faults(t, js)
		}
		f := faults[0]()
		faults = faults[1:]
		t.Logf("round %d: %s", round, f.name)
		c.begin()
		c.acknowledge(t, "before it", -1, 0)
		f.strike()
		c.acknowledge(t, "meanwhile", f.without, f.patience)
		time.Sleep(time.Duration(c.random.IntN(3000)) * time.Millisecond) // long enough for some to notice, not for all
		f.mend()
		c.acknowledge(t, "afterwards", -1, 0)
		c.end(t)
		c.audit(t)
	}
	c.close(t)
}

// newCrowd starts three servers and the nodes.
func newCrowd(t *testing.T, seed uint64, nodes, publishers, readers int) *crowd {
	c := &crowd{servers: natstest.StartRelayed(t), random: rand.New(rand.NewPCG(seed, 0)), keyers: publishers,
		acks: make(map[string]store.ID), refused: make(map[string]bool), stream: newRecord()}
	c.servers.Await()
	for range nodes {
		c.nodes = append(c.nodes, &member{door: c.servers.Door(), dir: t.TempDir()})
	}
	for i := range nodes {
		c.open(t, i)
	}
	for i := range readers {
		r := &reader{random: rand.New(rand.NewPCG(seed, uint64(i+1))), filter: filterOf(t, i)}
		r.at.Store(new(store.ID))
		c.readers = append(c.readers, r)
	}
	return c
}

// open opens a node.
func (c *crowd) open(t *testing.T, i int) {
	t.Helper()
	n := c.nodes[i]
	seq := connectTo(t, jetstream.Options{URLs: n.door.URLs(), Stream: "LOG", Lossy: true, Logger: logger(t)})
	var log *bolt.Log
	c.servers.Eventually("LOG", "node that opens", func() bool { // it may have to wait for a consumer
		var err error
		log, err = bolt.Open(n.dir, bolt.Options{Sequencer: seq, Logger: logger(t),
			SequencerTimeout: 2 * time.Second, QueueTimeout: 3 * time.Second, // less than a fault takes
			SequenceSlack: 1 << 40}) // nobody purges what the audit is still to read
		if err != nil && !errors.Is(err, store.ErrUnavailable) {
			t.Fatal(err)
		}
		return err == nil
	})
	n.mu.Lock()
	defer n.mu.Unlock()
	n.log = &node{log, seq}
}

// shut closes a node.
func (c *crowd) shut(i int) {
	n := c.nodes[i]
	n.mu.Lock()
	log := n.log
	n.log = nil
	n.mu.Unlock()
	_ = log.Close()
}

// acknowledge waits until each node, except one, has stored an event that it was given after the call. The first of
// them must do so within patience.
func (c *crowd) acknowledge(t *testing.T, when string, except int, patience time.Duration) {
	t.Helper()
	patience = cmp.Or(patience, continuePatience())
	began := time.Now()
	var before []int64
	for _, n := range c.nodes {
		before = append(before, n.begun.Load())
	}
	missing := func() (nodes []int) {
		for i, n := range c.nodes {
			if i != except && n.stored.Load() <= before[i] {
				nodes = append(nodes, i)
			}
		}
		return nodes
	}
	all := len(missing())
	if !within(patience, func() bool { return len(missing()) < all }) {
		t.Fatalf("%s: nothing was stored for %v", when, time.Since(began))
	}
	first := time.Since(began)
	c.servers.Eventually("LOG", fmt.Sprint("event of each node but ", except),
		func() bool { return len(missing()) == 0 })
	t.Logf("%s: stored after %v, by all after %v", when, first.Round(time.Millisecond),
		time.Since(began).Round(time.Millisecond))
}

// within waits until is returns true. A step that takes long because the machine is busy counts as twice a step.
func within(patience time.Duration, is func() bool) bool {
	const step = 20 * time.Millisecond
	for waited := time.Duration(0); !is(); {
		if waited >= patience {
			return false
		}
		from := time.Now()
		time.Sleep(step)
		waited += min(time.Since(from), 2*step)
	}
	return true
}

// continuePatience is how long a majority of the servers that hear each other, and no other, may take to acknowledge
// again. An election takes rounds of 4 to 9 s, and more than one where other tests need the processor.
func continuePatience() time.Duration {
	if os.Getenv("TIDINGS_FULL") != "" {
		return 15 * time.Second
	}
	return time.Minute
}

// audit checks everything that was answered and read against the stream, which it reads.
func (c *crowd) audit(t *testing.T) {
	t.Helper()
	seq := connect(t, c.servers, "LOG", 3)
	defer seq.Close()
	c.stream.catchUp(t, c, seq)
	for what, err := range map[string]error{"stored": c.checkStored(), "read": c.checkReaders()} {
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	if n := len(c.stream.placed); 4*n >= 5*c.joined { // not each round, or the last ones would take minutes
		c.joined = n
		c.join(t)
	}
}

// join checks all nodes against one that joins.
func (c *crowd) join(t *testing.T) {
	t.Helper()
	late := open(t, t.TempDir(), storetest.Options{}, connect(t, c.servers, "LOG", 3))
	storetest.Check(t, late)
	for _, n := range c.nodes {
		storetest.Check(t, n.log)
		storetest.Agree(t, n.log, late)
	}
	if err := late.Close(); err != nil {
		t.Error(err)
	}
}

// close reads all of the stream again, and closes the nodes.
func (c *crowd) close(t *testing.T) {
	t.Helper()
	seq := connect(t, c.servers, "LOG", 3)
	defer seq.Close()
	c.join(t)
	again := newRecord()
	again.catchUp(t, c, seq)
	if again.at != c.stream.at {
		t.Errorf("read again, the stream ends at %+v, want %+v", again.at, c.stream.at)
	}
	for _, n := range c.nodes {
		if err := n.log.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d events, %d of them trimmed, %d publishes refused", len(c.stream.placed), len(c.stream.trimmed),
		len(c.refused))
}

// retriable reports whether a publisher may go to another node after this error. stored: it may be stored.
func retriable(err error) (ok, stored bool) {
	unknown := errors.Is(err, store.ErrOutcomeUnknown)
	return errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrQueueFull) ||
		errors.Is(err, store.ErrClosed) || unknown && !errors.Is(err, store.ErrFailed), unknown
}
