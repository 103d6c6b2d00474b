package jetstream_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"tidings/internal/natstest"
	"tidings/store"
	"tidings/store/jetstream"
	"tidings/store/storetest"
)

// TestStaleLeader: a leader that is cut off from its peers answers for up to 20 s although another one has been
// elected. A node that reaches no other server is not up to date by its answers, and one that does leaves it.
func TestStaleLeader(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for servers to elect a leader")
	}
	c := natstest.StartRelayed(t)
	c.Await()
	first := open(t, t.TempDir(), storetest.Options{}, connect(t, c, "LOG", 3))
	publish(t, first, 1, 10)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	lead := c.Leader("LOG")
	stuck, leaves, other := joinedAt(t, c, lead), joinedAt(t, c, lead), joinedAt(t, c, (lead+1)%3, (lead+2)%3)
	leaves.door.Heal()
	c.Cut(lead, (lead+1)%3)
	c.Cut(lead, (lead+2)%3)
	c.Eventually("LOG", "event that a majority has", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := store.Append(ctx, other.log, []store.Draft{{Topic: "a"}})
		return err == nil
	})
	head := other.log.Head()
	upToDate := func(n *member) bool {
		if n.log.CatchUp(t.Context()) != nil {
			return false
		}
		if at := n.log.Head(); at.Before(head) {
			t.Errorf("caught up with %s, after %s was stored", at, head)
		}
		return true
	}
	upToDate(stuck)
	c.Eventually("LOG", "event at the node that reaches others", func() bool { return upToDate(leaves) || t.Failed() })
	for _, n := range []*member{stuck, leaves, other} {
		if err := n.log.Close(); err != nil {
			t.Error(err)
		}
	}
}

// joinedAt opens a node that reaches only these servers.
func joinedAt(t *testing.T, c *natstest.Cluster, servers ...int) *member {
	t.Helper()
	door := c.Door()
	for i := range 3 {
		if !slices.Contains(servers, i) {
			door.CutFrom(i)
		}
	}
	seq := connectTo(t, jetstream.Options{URLs: door.URLs(), Stream: "LOG", Lossy: true, Logger: logger(t)})
	return &member{door: door, log: open(t, t.TempDir(), storetest.Options{}, seq)}
}
