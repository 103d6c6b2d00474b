package main

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"tidings/internal/clock"
	"tidings/internal/e2e"
	"tidings/internal/natstest"
	"tidings/store"
	"tidings/store/bolt"
)

// TestClocksOfNodes: one server's clock is an hour fast and one's an hour slow. No server makes IDs dated before
// the round they are made in, or more than two seconds ahead; the fast one takes nothing for older than it is. Both
// are warned about, and their offset is reported.
func TestClocksOfNodes(t *testing.T) {
	c := natstest.Start(t, 1)
	flags := clusterFlags{Store: "nats", NATSURL: c.URLs(), NATSStream: "TIDINGS", NATSReplicas: 1,
		NATSAllowLossy: true, NATSTimeout: 10 * time.Second}
	offs := []time.Duration{time.Hour, -time.Hour, 0}
	logs, wrote := make([]*clustered, len(offs)), make([]e2e.Output, len(offs))
	for i, off := range offs {
		logger := slog.New(slog.NewTextHandler(&wrote[i], nil))
		clk := clock.New(clock.Options{Wall: func() time.Time { return time.Now().Add(off) }, Logger: logger})
		log, err := flags.open(t.Context(), t.TempDir(), clk, bolt.Options{Logger: logger})
		if err != nil {
			t.Fatal(err)
		}
		logs[i] = log.(*clustered)
		defer log.Close()
	}
	for round := range 5 {
		began := time.Now().Truncate(time.Millisecond) // as IDs are
		for i, log := range logs {
			ids, err := store.Append(t.Context(), log, []store.Draft{{Topic: "orders", Data: fmt.Append(nil, round)}})
			if err != nil {
				t.Fatal(err)
			}
			// The slow one, too, continues after the last ID, which is another server's, of this round.
			if at, latest := ids[0].Time(), time.Now().Add(2*time.Second); at.Before(began) || at.After(latest) {
				t.Errorf("round %d: an ID of the server that is %v off is of %v, want %v to %v", round, offs[i], at,
					began, latest)
			}
		}
	}
	for i, log := range logs {
		if past := log.clk.Past(time.Minute); time.Since(past) < time.Minute-2*time.Second {
			t.Errorf("the server that is %v off takes what is %v old for a minute old", offs[i], time.Since(past))
		}
		if off := log.state().Clock - offs[i]; off.Abs() > time.Second {
			t.Errorf("the server that is %v off says %v", offs[i], log.state().Clock)
		}
		if warned := strings.Contains(wrote[i].String(), "differs from that of the cluster"); warned != (offs[i] != 0) {
			t.Errorf("the server that is %v off: warned is %v", offs[i], warned)
		}
	}
}
