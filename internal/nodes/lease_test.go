package nodes_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidings/internal/nodes"
	"tidings/store"
)

// TestLease: one of three sends. When it ends another does at once; when it is cut off, another does within 40 s, after
// the first has stopped; once back, the first does not send, and what it still writes is refused.
func TestLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t, 3)
		first := c.watch(5 * time.Second)
		if first == nil {
			t.Fatal("nobody sends")
		}
		if last := c.watch(time.Hour); last != first {
			t.Errorf("after an hour without a fault %s sends, %s did", last.node.Name(), first.node.Name())
		}
		for _, p := range c.peers {
			if p.Holder() != first.node.Self() {
				t.Errorf("%s has read that %q has the lease", p.node.Name(), p.Holder())
			}
		}
		if err := first.set("progress", "1"); err != nil {
			t.Error(err)
		}
		first.stop()
		<-first.done
		first.node.Close()
		second := c.watch(3 * time.Second)
		if second == nil || second == first {
			t.Fatal("nobody sends when the one that did has ended")
		}
		if err := first.set("progress", "old"); !errors.Is(err, nodes.ErrNoLease) {
			t.Errorf("one that has ended writes: %v", err)
		}
		c.cut(second, true)
		if got := c.watch(nodes.LeaseFor + time.Second); got == second && second.Holds() {
			t.Error("one that is cut off goes on for longer than its lease is good")
		}
		third := c.watch(40 * time.Second)
		if third == nil || third == second {
			t.Fatal("nobody has taken over within 40 s")
		}
		c.cut(second, false)
		if err := second.set("progress", "old"); !errors.Is(err, nodes.ErrNoLease) {
			t.Errorf("one that comes back writes: %v", err)
		}
		if got := c.watch(time.Hour); got != third {
			t.Errorf("the one that came back sends")
		}
		if err := third.set("progress", "2"); err != nil || string(c.rows.all["progress"]) != "2" {
			t.Errorf("the one that sends writes %q, %v", c.rows.all["progress"], err)
		}
	})
}

// TestLeaseUnheard: nodes that do not hear the holder take the lease from it although it continues; it learns this from
// the log, and stops before they begin.
func TestLeaseUnheard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t, 2)
		first := c.watch(5 * time.Second)
		c.bus.Mute(first.node.Self(), true)
		if got := c.watch(time.Minute); got == first || got == nil {
			t.Error("nobody has taken the lease of a node that is not heard")
		}
	})
}

// TestLeaseDeaf: nodes that hear nothing of each other, because NATS does not let them, do not take the lease from each
// other, and log which permission is missing.
func TestLeaseDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t, 2)
		first := c.watch(5 * time.Second)
		for _, p := range c.peers {
			c.bus.Mute(p.node.Self(), true)
		}
		for range 60 {
			if got := c.watch(10 * time.Second); got != first {
				t.Fatal("another one sends, or none")
			}
		}
		if n := strings.Count(c.lines.String(), "tidings.<stream>.nodes.>"); n != 2 {
			t.Errorf("%d lines say what they lack, want one of each", n)
		}
	})
}

// TestLeaseStuck: a node that is heard but cannot send, because the log does not answer it or its disk is full, loses
// the lease like one that is not heard. A node that waits to take over is not robbed of it.
func TestLeaseStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t, 3)
		first := c.watch(5 * time.Second)
		first.link.set(true, 0)
		if got := c.watch(time.Minute); got == nil || got == first {
			t.Error("nobody has taken the lease of a node that does not send")
		}
		if row := c.rows.all["\x00lease"]; !bytes.Contains(row, []byte(`"term":2}`)) {
			t.Errorf("it was taken more than once: %s", row)
		}
	})
}

// TestLeaseCannotBegin: a node that has the lease but cannot begin to send leaves it to another; while none can, it
// keeps trying.
func TestLeaseCannotBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t, 2)
		first := c.watch(5 * time.Second)
		fail := func(p *peer, fails bool) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.fails = fails
		}
		for _, p := range c.peers {
			fail(p, true)
		}
		first.stop()
		<-first.done
		first.node.Close()
		if c.watch(time.Minute) != nil {
			t.Error("one sends that cannot begin")
		}
		able := c.add("able")
		if c.watch(30*time.Second) != able {
			t.Error("it is not left to the one that can")
		}
	})
}

// TestLeaseSlow: a lease that takes seconds to read, as holders may, can still be taken.
func TestLeaseSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t, 2)
		first := c.watch(5 * time.Second)
		for _, p := range c.peers {
			p.link.mu.Lock()
			p.link.slow = 2500 * time.Millisecond
			p.link.mu.Unlock()
		}
		if c.watch(time.Minute) != first {
			t.Error("it has stopped")
		}
		c.cut(first, true)
		if got := c.watch(time.Minute); got == nil || got == first {
			t.Error("nobody has taken over")
		}
	})
}

// TestLeaseEndsUnheard: a node that has lost the lease has nothing to give back, and when it ends does not wait for a
// log that does not answer.
func TestLeaseEndsUnheard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t, 1)
		only := c.watch(5 * time.Second)
		only.link.set(true, 0)
		c.watch(2 * nodes.LeaseFor)
		began := time.Now()
		only.stop()
		<-only.done
		if took := time.Since(began); took > 0 {
			t.Errorf("it has ended after %v", took)
		}
	})
}

// TestLeaseAlone: a node that hears nothing for a while, and from which nobody has taken the lease, continues by itself
// under a new term: what it began to write before is refused.
func TestLeaseAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t, 1)
		only := c.watch(5 * time.Second)
		old := only.fence
		only.link.set(true, 0)
		if c.watch(time.Minute); only.Holds() {
			t.Error("it sends though it hears nothing")
		}
		only.link.set(false, 0)
		if c.watch(3*time.Second) != only {
			t.Error("it does not go on")
		}
		err := old.Fenced(only.link).SetDeliveries(t.Context(), []store.NamedDelivery{{Name: "x"}}, false)
		if !errors.Is(err, nodes.ErrNoLease) {
			t.Errorf("a write of the term before: %v", err)
		}
		if err := only.set("x", "1"); err != nil {
			t.Error(err)
		}
	})
}

// TestLeaseOfAnotherLog: in a restored log, or if its row is damaged, the lease is free at once.
func TestLeaseOfAnotherLog(t *testing.T) {
	other := `{"version":1,"log":"` + store.ID{2}.String() + `","node":"x","name":"x","term":9}`
	for _, row := range []string{other, ""} {
		synctest.Test(t, func(t *testing.T) {
			c := newCrew(t, 0)
			c.rows.all["\x00lease"] = []byte(row)
			only := c.add("a")
			if c.watch(3*time.Second) != only {
				t.Errorf("%q keeps a node from sending", row)
			}
		})
	}
}

// TestLeaseOfANewerRelease: a row that this release cannot read is not touched.
func TestLeaseOfANewerRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t, 0)
		const row = `{"version":2,"holder":"x"}`
		c.rows.all["\x00lease"] = []byte(row)
		c.add("a")
		if c.watch(time.Hour) != nil || string(c.rows.all["\x00lease"]) != row {
			t.Errorf("the row is %q now", c.rows.all["\x00lease"])
		}
		if n := strings.Count(c.lines.String(), "this release reads 1"); n < 59 || n > 61 {
			t.Errorf("in an hour it is said %d times, want once a minute", n)
		}
	})
}

// TestLeaseLate: an answer that comes after the lease has expired does not revive it: requests held up meanwhile are
// over. The node begins again.
func TestLeaseLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t, 1)
		only := c.watch(5 * time.Second)
		only.link.mu.Lock()
		only.link.slow = nodes.LeaseFor - 200*time.Millisecond
		only.link.mu.Unlock()
		for range 3 {
			held := true
			for end := time.Now().Add(time.Minute); held && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
				held = only.Holds()
			}
			only.mu.Lock()
			old := only.fence
			only.mu.Unlock()
			if held || c.watch(20*time.Second) != only {
				t.Fatalf("it holds the lease all the time: %v", held)
			}
			err := old.Fenced(only.link).SetDeliveries(t.Context(), []store.NamedDelivery{{Name: "x"}}, false)
			if !errors.Is(err, nodes.ErrNoLease) {
				t.Errorf("a write of the term before: %v", err)
			}
		}
	})
}

// TestLeaseStale: a leader of the stream that is cut off from its peers together with the holder confirms the holder's
// lease for twenty seconds more. The others wait that long.
func TestLeaseStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t, 3)
		first := c.watch(5 * time.Second)
		c.bus.Mute(first.node.Self(), true)
		time.Sleep(nodes.LostAfter - nodes.HelloEvery) // it is lost some time before it is taken
		first.link.stale()
		if c.watch(20*time.Second) != first {
			t.Error("it has stopped, and could not know")
		}
		c.cut(first, true)
		if got := c.watch(time.Minute); got == nil || got == first {
			t.Error("nobody has taken over")
		}
	})
}

// TestLeaseRandom: whatever is cut off, mute, slow or ended, for hours, two never send at once, and when all is well
// one does.
func TestLeaseRandom(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			c := newCrew(t, 3)
			for range 60 {
				p := c.peers[random.IntN(len(c.peers))]
				select {
				case <-p.done:
					continue
				default:
				}
				switch random.IntN(6) {
				case 0:
					c.cut(p, true)
				case 1:
					c.bus.Mute(p.node.Self(), true)
				case 2:
					p.link.set(false, time.Duration(random.Int64N(int64(20*time.Second))))
				case 3:
					p.link.set(true, 0)
				case 4:
					c.cut(p, false)
				case 5:
					p.stop()
					<-p.done
					p.node.Close()
					c.add(fmt.Sprintf("%s'", p.node.Name()))
				}
				c.watch(time.Duration(random.Int64N(int64(30 * time.Second))))
			}
			for _, p := range c.peers {
				c.cut(p, false)
			}
			if c.watch(time.Minute) == nil {
				t.Errorf("seed %d: all is well, and nobody sends", seed)
			}
		})
	}
}
