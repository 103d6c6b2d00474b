package deliver_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidings/deliver"
	"tidings/replay"
	"tidings/store"
)

func (s *scene) replay(name string, what deliver.Replay) deliver.Status {
	s.t.Helper()
	status, err := s.Replay(name, what)
	if err != nil {
		s.t.Fatalf("replay: %v", err)
	}
	return status
}

func (s *scene) expectRun(name string, want deliver.RunStatus) {
	s.t.Helper()
	synctest.Wait()
	run := s.get(name).Run
	if run == nil || run.Kind != want.Kind || run.Number != want.Number || run.State != want.State ||
		run.Sent != want.Sent || run.Gone != want.Gone {
		s.t.Errorf("the run is %+v, want %+v", run, want)
	}
}

// TestReplay: from an ID, from a time, and named events, each under its number, in log order, up to the delivery's
// position, which does not move.
func TestReplay(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.put("shop", settings("orders"))
		id := strings.Fields(s.publish(6, "orders", "tickets"))
		time.Sleep(time.Minute)
		since := time.Now()
		id = append(id, strings.Fields(s.publish(2, "orders"))...)
		s.expectSent(strings.Join([]string{id[0], id[2], id[4], id[6], id[7]}, " "))
		for i, c := range []struct {
			what   deliver.Replay
			want   string
			number string
			gone   int
		}{
			{deliver.Replay{Start: replay.After(id[1])}, id[2] + " " + id[4] + " " + id[6] + " " + id[7], "1", 0},
			{deliver.Replay{Start: replay.Earliest(), Through: *parseID(t, id[3])}, id[0] + " " + id[2], "2", 0},
			{deliver.Replay{Start: replay.Since(since), NewIDs: true}, id[6] + "-r3 " + id[7] + "-r3", "3", 0},
			{deliver.Replay{IDs: []store.ID{*parseID(t, id[4]), *parseID(t, id[0]), *parseID(t, id[1]),
				*parseID(t, id[0])}}, id[0] + " " + id[4], "4", 1},
			{deliver.Replay{Start: replay.After(id[7])}, "", "5", 0},
		} {
			before := s.get("shop").At
			s.replay("shop", c.what)
			for _, g := range s.expectSent(c.want) {
				if n := g.header.Get("Tidings-Replay"); n != c.number || !strings.Contains(g.body, g.id[:26]) {
					t.Errorf("replay %d sends %s as number %q: %s", i, g.id, n, g.body)
				}
			}
			s.expectRun("shop", deliver.RunStatus{Kind: deliver.Replayed, Number: i + 1, State: deliver.RunDone,
				Sent: len(strings.Fields(c.want)), Gone: c.gone})
			if at := s.get("shop").At; at != before {
				t.Errorf("replay %d has moved the cursor from %s to %s", i, before, at)
			}
		}
		next := s.publish(1, "orders")
		if g := s.expectSent(next); len(g) == 1 && g[0].header.Get("Tidings-Replay") != "" {
			t.Error("what is no replay says that it is one")
		}
		s.kill()
		synctest.Wait()
		s.receiver.take()
		s.replay("shop", deliver.Replay{IDs: []store.ID{*parseID(t, id[0])}, NewIDs: true})
		s.expectSent(id[0] + "-r6") // no number is used twice
	})
}

// TestReplayBeside: during a replay the delivery sends new events, and no second run starts. It can be ended, a request
// under way included, and a restart ends it.
func TestReplayBeside(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.put("shop", settings("orders"))
		if _, err := s.EndRun("shop"); !errors.Is(err, deliver.ErrState) {
			t.Errorf("end of nothing: %v", err)
		}
		id := strings.Fields(s.publish(3, "orders"))
		synctest.Wait()
		s.receiver.take()
		s.receiver.set(func(n int, r got) *http.Response {
			if r.header.Get("Tidings-Replay") != "" {
				return slow(10*time.Second)(n, r)
			}
			return status(200)
		})
		began := time.Now()
		s.replay("shop", deliver.Replay{Start: replay.Earliest()})
		time.Sleep(15 * time.Second)
		live := s.publish(1, "orders")
		s.expectSent(id[0] + " " + live)
		if run := s.get("shop").Run; run.Sent != 1 || run.At.String() != id[1] || run.State != deliver.RunUnderWay {
			t.Errorf("under way it is %+v", run)
		}
		if _, err := s.Replay("shop", deliver.Replay{Start: replay.Earliest()}); !errors.Is(err, deliver.ErrState) {
			t.Errorf("a second one: %v", err)
		}
		if _, err := s.EndRun("shop"); err != nil || time.Since(began) != 15*time.Second {
			t.Errorf("%v after %v, want it ended at once", err, time.Since(began))
		}
		s.expectRun("shop", deliver.RunStatus{Kind: deliver.Replayed, Number: 1, State: deliver.RunEnded, Sent: 1})
		s.receiver.take()
		s.replay("shop", deliver.Replay{Start: replay.Earliest()})
		time.Sleep(3 * time.Second)
		s.kill()
		s.receiver.take()
		time.Sleep(time.Hour)
		if s.expectSent(""); s.get("shop").Run != nil {
			t.Error("a replay has survived a restart")
		}
		s.Pause(t.Context(), "shop")
		if _, err := s.Replay("shop", deliver.Replay{Start: replay.Earliest()}); !errors.Is(err, deliver.ErrState) {
			t.Errorf("of what is paused: %v", err)
		}
	})
}

// TestRefusalsDisturbNothing: a refused Put or Skip ends no replay, and cuts off no request.
func TestRefusalsDisturbNothing(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.put("shop", settings("orders"))
		old := s.publish(1, "orders")
		s.expectSent(old)
		s.receiver.set(slow(10 * time.Second))
		s.replay("shop", deliver.Replay{Start: replay.Earliest()})
		live := s.publish(1, "orders")
		time.Sleep(5 * time.Second)
		for _, set := range []deliver.Settings{{GiveUpAfter: time.Millisecond}, {URL: "ftp://example.com"},
			{Secret: "short"}, {From: &store.ID{}}, {May: func(store.Filter) error { return errors.New("no") }}} {
			if _, _, err := s.Put(t.Context(), "shop", set); err == nil {
				t.Errorf("%+v is accepted", set)
			}
		}
		if _, err := s.Skip(t.Context(), "shop", live); !errors.Is(err, deliver.ErrState) {
			t.Errorf("skipping what has not failed: %v", err)
		}
		s.expectRun("shop", deliver.RunStatus{Kind: deliver.Replayed, Number: 1, State: deliver.RunUnderWay})
		time.Sleep(6 * time.Second)
		s.expectRun("shop", deliver.RunStatus{Kind: deliver.Replayed, Number: 1, State: deliver.RunDone, Sent: 1})
		all := s.takeAll()
		for _, g := range all {
			if !g.ok {
				t.Errorf("the request for %s was cut off", g.id)
			}
		}
		if len(all) != 2 || s.get("shop").At.String() != live {
			t.Errorf("sent %q, want %s and %s", ids(all), old, live)
		}
	})
}

// TestReplayIsNumbered: nothing is sent under a number that could be used again.
func TestReplayIsNumbered(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.put("shop", settings("orders"))
		s.publish(1, "orders")
		time.Sleep(5 * time.Second)
		s.receiver.take()
		s.log.fail(store.ErrNoSpace)
		s.replay("shop", deliver.Replay{Start: replay.Earliest(), NewIDs: true})
		s.expectSent("")
		s.expectRun("shop", deliver.RunStatus{Kind: deliver.Replayed, Number: 1, State: deliver.RunEnded})
		s.log.fail(nil)
	})
}
