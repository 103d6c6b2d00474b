package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"tidings/store"
)

// keyedGroup returns one event under a key.
func keyedGroup(topic, key string) []store.Group {
	return []store.Group{{Key: key, Drafts: []store.Draft{{Topic: topic, Data: []byte(key)}}}}
}

// once appends under the key, and returns where the event is.
func (n *node) once(topic, key string) store.Result {
	n.t.Helper()
	results, err := n.AppendOnce(context.Background(), keyedGroup(topic, key))
	if err != nil {
		n.t.Fatalf("append to %s under %s: %v", topic, key, err)
	}
	return results[0]
}

func sharedHistory(t testing.TB, open Factory) {
	_, nodes := startNodes(t, open, Options{}, 3)
	var want []store.Event
	for i := range 30 {
		n := nodes[i%len(nodes)]
		n.catchUp()
		want = append(want, n.append(drafts(1+i%4, "a", "b", fmt.Sprintf("c%d", i/7))...)...)
	}
	nodes[1].catchUp()
	nodes[1].trim(filter(t, "b"), want[20].ID, len(preceding(matching(want, filter(t, "b"), store.ID{}), want[20].ID)))
	mark := store.Mark{ID: want[9].ID, Topics: filter(t, "a")}
	if _, err := nodes[2].SetMark(t.Context(), "me", "inbox", mark); err != nil {
		t.Fatal(err)
	}
	for i, n := range nodes {
		n.catchUp()
		n.expect(filter(t, "a"), store.ID{}, matching(want, filter(t, "a"), store.ID{}))
		if got, err := n.Mark("me", "inbox"); err != nil || got.ID != mark.ID {
			t.Errorf("node %d has the mark %+v, %v", i, got, err)
		}
	}
}

// sharedKey publishes the same on all nodes at the same time.
func sharedKey(t testing.TB, open Factory) {
	_, nodes := startNodes(t, open, Options{}, 3)
	const keys = 20
	got := make([][keys]store.Result, len(nodes))
	var publishers sync.WaitGroup
	for i, n := range nodes {
		for k := range keys {
			publishers.Go(func() {
				results, err := n.AppendOnce(context.Background(), keyedGroup("a", fmt.Sprint(k)))
				if err != nil {
					t.Errorf("node %d, key %d: %v", i, k, err)
					return
				}
				got[i][k] = results[0]
			})
		}
	}
	publishers.Wait()
	for k := range keys {
		fresh := 0
		for i := range nodes {
			if len(got[i][k].IDs) != 1 || got[i][k].IDs[0] != got[0][k].IDs[0] {
				t.Fatalf("key %d is at %v on node %d, at %v on node 0", k, got[i][k], i, got[0][k])
			}
			if !got[i][k].Replayed {
				fresh++
			}
		}
		if fresh != 1 {
			t.Errorf("key %d was stored %d times", k, fresh)
		}
	}
	nodes[0].catchUp()
	if info := nodes[0].topic("a"); info.Count != keys {
		t.Errorf("%d events, want %d", info.Count, keys)
	}
}

// sharedTaken lets another commit take the place of each kind of commit.
func sharedTaken(t testing.TB, open Factory) {
	mark := func(n *node, name string, id store.ID) error {
		_, err := n.SetMark(context.Background(), "s", name, store.Mark{ID: id, Topics: filter(n.t, "a")})
		return err
	}
	end := func(n *node) error {
		_, err := store.Append(context.Background(), n, []store.Draft{{Topic: "a", Type: store.TypeEnd}})
		return err
	}
	for _, c := range []struct {
		name        string
		first, then func(n *node, events []store.Event) error
		want        error // of then
		count       uint64
	}{
		{"the same key", func(n *node, _ []store.Event) error {
			_, err := n.AppendOnce(context.Background(), keyedGroup("a", "k"))
			return err
		}, func(n *node, _ []store.Event) error {
			results, err := n.AppendOnce(context.Background(), keyedGroup("a", "k"))
			if err == nil && !results[0].Replayed {
				err = errors.New("stored again")
			}
			return err
		}, nil, 4},
		{"an end", func(n *node, _ []store.Event) error { return end(n) },
			func(n *node, _ []store.Event) error {
				_, err := store.Append(context.Background(), n, drafts(1, "a"))
				return err
			}, store.ErrEnded, 4},
		{"a condition", func(n *node, _ []store.Event) error {
			_, err := store.Append(context.Background(), n, drafts(1, "a"))
			return err
		}, func(n *node, events []store.Event) error {
			_, err := n.AppendOnce(context.Background(), []store.Group{{Drafts: drafts(1, "a"),
				Newest: &events[2].ID}})
			return err
		}, store.ErrCondition, 4},
		{"a trim of the same", func(n *node, events []store.Event) error {
			n.trim(store.All(), events[2].ID, 2)
			return nil
		}, func(n *node, events []store.Event) error {
			n.trim(store.All(), events[2].ID, 0)
			return nil
		}, nil, 1},
		{"a new topic", func(n *node, _ []store.Event) error {
			_, err := store.Append(context.Background(), n, drafts(2, "z", "b"))
			return err
		}, func(n *node, _ []store.Event) error {
			_, err := store.Append(context.Background(), n, drafts(2, "c", "b"))
			return err
		}, nil, 3},
		{"a mark that is further", func(n *node, events []store.Event) error {
			return mark(n, "m", events[2].ID)
		}, func(n *node, events []store.Event) error {
			return mark(n, "m", events[1].ID)
		}, nil, 3},
		{"the last mark there may be", func(n *node, events []store.Event) error {
			return mark(n, "m", events[2].ID)
		}, func(n *node, events []store.Event) error {
			return mark(n, "o", events[1].ID)
		}, store.ErrMarkLimit, 3},
	} {
		_, nodes := startNodes(t, open, Options{MaxMarks: 2}, 2)
		events := nodes[0].append(drafts(3, "a")...)
		nodes[1].catchUp()
		var once sync.Once
		var first error
		nodes[1].seat.OnAppend(func([]byte) Fate {
			once.Do(func() { first = c.first(nodes[0], events) })
			return Placed
		})
		err := c.then(nodes[1], events)
		if first != nil || !errors.Is(err, c.want) {
			t.Errorf("%s: %v, then %v, want %v", c.name, first, err, c.want)
		}
		if n := nodes[1].topic("a").Count; n != c.count {
			t.Errorf("%s: %d events, want %d", c.name, n, c.count)
		}
		if got, err := nodes[1].Mark("s", "m"); err == nil && got.ID != events[2].ID {
			t.Errorf("%s: the mark is at %s, want %s", c.name, got.ID, events[2].ID)
		}
	}
}

// sharedRefusal makes requests of a node that is behind which would be refused only there.
func sharedRefusal(t testing.TB, open Factory) {
	for name, c := range map[string]struct {
		before, ask func(n *node) error
	}{
		"a condition on an event that is not here yet": {func(n *node) error {
			return nil
		}, func(n *node) error {
			_, err := n.AppendOnce(context.Background(), []store.Group{{Drafts: drafts(1, "a"),
				Newest: new(store.MaxID)}})
			if e := (*store.ConditionError)(nil); errors.As(err, &e) && !e.Newest.IsZero() {
				return nil
			}
			return fmt.Errorf("it is refused for the newest event of a node behind: %w", err)
		}},
		"a mark that is not here yet": {func(n *node) error {
			_, err := n.SetMark(context.Background(), "s", "m", store.Mark{Topics: filter(n.t, "a")})
			return err
		}, func(n *node) error { return n.DeleteMark(context.Background(), "s", "m") }},
	} {
		_, nodes := startNodes(t, open, Options{}, 2)
		nodes[1].catchUp()
		nodes[1].seat.Pause()
		nodes[1].seat.OnEnd(nodes[1].seat.Resume)
		nodes[0].append(drafts(1, "a")...)
		if err := c.before(nodes[0]); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := c.ask(nodes[1]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// sharedLost loses answers, for commits that were placed and for commits that were not.
func sharedLost(t testing.TB, open Factory) {
	for _, fate := range []Fate{Unheard, Lost} {
		sequence, nodes := startNodes(t, open, Options{}, 2)
		var mu sync.Mutex
		left := 2
		nodes[0].seat.OnAppend(func([]byte) Fate {
			mu.Lock()
			defer mu.Unlock()
			if left--; left >= 0 {
				return fate
			}
			return Placed
		})
		before := sequence.Len()
		if r := nodes[0].once("a", "k"); r.Replayed {
			t.Errorf("fate %d: replayed at once: %+v", fate, r)
		}
		if n := sequence.Len() - before; n != 1 {
			t.Errorf("fate %d: placed %d times", fate, n)
		}
		if r := nodes[1].once("a", "k"); !r.Replayed {
			t.Errorf("fate %d: stored again: %+v", fate, r)
		}
	}

	// the answer is lost, and another commit has the place
	_, nodes := startNodes(t, open, Options{}, 2)
	var once sync.Once
	nodes[0].seat.OnAppend(func([]byte) (fate Fate) {
		once.Do(func() {
			fate = Lost
			nodes[1].once("a", "k")
		})
		return fate
	})
	if r := nodes[0].once("a", "k"); !r.Replayed {
		t.Errorf("stored again: %+v", r)
	}
}

func sharedNoRoom(t testing.TB, open Factory) {
	_, nodes := startNodes(t, open, Options{}, 2)
	nodes[0].seat.OnAppend(func([]byte) Fate { return NoSpace })
	_, err := store.Append(t.Context(), nodes[0], drafts(1, "a"))
	if !errors.Is(err, store.ErrNoSpace) || errors.Is(err, store.ErrOutcomeUnknown) {
		t.Fatalf("append to a sequence without room: %v", err)
	}
	nodes[0].seat.OnAppend(nil)
	nodes[0].append(drafts(1, "a")...)
	nodes[1].catchUp()
	if n := nodes[1].topic("a").Count; n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

func sharedUnavailable(t testing.TB, open Factory) {
	_, nodes := startNodes(t, open, Options{}, 2)
	want := nodes[0].append(drafts(3, "a")...)
	nodes[1].catchUp()
	nodes[1].seat.Cut()
	nodes[1].expect(store.All(), store.ID{}, want)
	if err := nodes[1].CatchUp(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("catch up: %v, want ErrUnavailable", err)
	}
	want = append(want, nodes[0].append(drafts(3, "a")...)...)
	nodes[1].seat.Mend()
	nodes[1].catchUp()
	nodes[1].expect(store.All(), store.ID{}, want)
	nodes[1].append(drafts(1, "a")...)
}

// sharedLimits applies the same limits on both nodes while both publish.
func sharedLimits(t testing.TB, open Factory) {
	_, nodes := startNodes(t, open, Options{}, 2)
	const keep, each = 20, 150
	limits := store.Limits{Events: keep}
	var running sync.WaitGroup
	for _, n := range nodes {
		running.Go(func() {
			for range each {
				if _, err := store.Append(context.Background(), n, drafts(1, "a", "b")); err != nil {
					t.Error(err)
				}
			}
		})
		running.Go(func() {
			for range 30 {
				if _, err := n.Retain(context.Background(), ofTopics(store.All(),
					func(string) store.Limits { return limits })); err != nil {
					t.Error(err)
				}
				if err := n.CatchUp(context.Background()); err != nil {
					t.Error(err)
				}
				for info := range n.Topics(store.All()) {
					if info.Count < keep && !info.Trimmed.IsZero() {
						t.Errorf("%d events of %s are left, %d are to stay", info.Count, info.Topic, keep)
					}
				}
			}
		})
	}
	running.Wait()
	nodes[0].catchUp()
	if _, err := nodes[0].Retain(t.Context(), ofTopics(store.All(),
		func(string) store.Limits { return limits })); err != nil {
		t.Fatal(err)
	}
	if n := nodes[0].topic("a").Count; n != keep {
		t.Errorf("%d events are left, %d are to stay", n, keep)
	}
}

// sharedPlan: another node trims between the moment when a pass counts and the moment when it reads.
func sharedPlan(t testing.TB, open Factory) {
	_, nodes := startNodes(t, open, Options{}, 2)
	nodes[0].append(drafts(30, "a")...)
	nodes[1].catchUp()
	keep := func(do func()) store.Retention {
		return ofTopics(store.All(), func(string) store.Limits {
			do()
			return store.Limits{Events: 20}
		})
	}
	var once sync.Once
	if _, err := nodes[1].Retain(t.Context(), keep(func() {
		once.Do(func() {
			nodes[0].retain(keep(func() {}), 10)
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			defer cancel()
			_ = nodes[1].CatchUp(ctx) // if it can have the trims by now, it has them
		})
	})); err != nil {
		t.Fatal(err)
	}
	nodes[1].catchUp()
	if n := nodes[1].topic("a").Count; n != 20 {
		t.Errorf("%d events are left, 20 are to stay", n)
	}
}

// sharedAnything does random things on two nodes, with lost answers.
func sharedAnything(t testing.TB, open Factory) {
	sequence, nodes := startNodes(t, open, Options{MaxKeys: 40, MaxMarks: 5}, 2)
	random := rand.New(rand.NewPCG(1, 2))
	var mu sync.Mutex
	fates := func() Fate {
		mu.Lock()
		defer mu.Unlock()
		return []Fate{Placed, Placed, Placed, Placed, Unheard, Lost, NoSpace}[random.IntN(7)]
	}
	stored := make(map[store.ID]string) // keys, by the IDs that appends returned
	var doing sync.WaitGroup
	for i, n := range nodes {
		n.seat.OnAppend(func([]byte) Fate { return fates() })
		random := rand.New(rand.NewPCG(uint64(i), 4))
		doing.Go(func() {
			for step := range 60 {
				topic := fmt.Sprintf("t%d", random.IntN(6))
				var err error
				switch random.IntN(10) {
				case 0:
					_, err = n.Trim(context.Background(), filter(t, topic), n.Head())
				case 1:
					_, err = n.SetMark(context.Background(), "s", fmt.Sprint(random.IntN(8)),
						store.Mark{ID: n.Head(), Topics: filter(t, topic)})
				case 2:
					err = n.DeleteMark(context.Background(), "s", fmt.Sprint(random.IntN(8)))
				default:
					var results []store.Result
					key := fmt.Sprintf("%d", random.IntN(60))
					results, err = n.AppendOnce(context.Background(), keyedGroup("k", key))
					if err == nil {
						mu.Lock()
						if old, ok := stored[results[0].IDs[0]]; ok && old != key {
							t.Errorf("%s has two keys", results[0].IDs[0])
						}
						stored[results[0].IDs[0]] = key
						mu.Unlock()
					}
					if err == nil && step%3 == 0 {
						_, err = store.Append(context.Background(), n, drafts(2, topic, "all"))
					}
				}
				switch {
				case err == nil, errors.Is(err, store.ErrNoSpace), errors.Is(err, store.ErrMarkLimit),
					errors.Is(err, store.ErrNotFound):
				default:
					t.Errorf("node %d, step %d: %v", i, step, err)
				}
			}
		})
	}
	doing.Wait()
	for _, n := range nodes {
		n.seat.OnAppend(nil)
	}
	late := startNode(t, open, Options{MaxKeys: 40, MaxMarks: 5}, sequence)
	Agree(t, nodes[0], late)
	for id, key := range stored {
		if e, err := late.Get(id); err != nil || string(e.Data) != key {
			t.Errorf("the event of key %s is %+v, %v", key, e, err)
		}
	}
}
