package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/internal/commit"
	"tidings/store/storetest"
)

// tight makes retention purge the sequence as soon as that frees something.
var tight = storetest.Options{SequenceSlack: 1, MaxKeys: 40, MaxMarks: 30}

// members returns n nodes of a new sequence.
func members(t *testing.T, n int) (s *storetest.Sequence, logs []*bolt.Log, seats []*storetest.Seat) {
	s = storetest.NewSequence()
	for range n {
		log, seat := member(t, s)
		logs, seats = append(logs, log), append(seats, seat)
	}
	return s, logs, seats
}

func member(t *testing.T, s *storetest.Sequence) (*bolt.Log, *storetest.Seat) {
	seat := s.Seat()
	log := openMirror(t, t.TempDir(), tight, seat)
	t.Cleanup(func() { closeLog(t, log) })
	return log, seat
}

// ofEach keeps n events of each topic, and all of one topic.
func ofEach(n uint64) store.Retention {
	return store.Retention{Topics: store.Everything(), OfTopic: func(name string) store.Limits {
		if name == "long" {
			return store.Limits{}
		}
		return store.Limits{Events: n}
	}}
}

// busy does a random one of the things that can be done to a log.
func busy(t *testing.T, log store.Log, random *rand.Rand) {
	t.Helper()
	if t.Failed() {
		return
	}
	ctx := context.Background()
	topic, name := fmt.Sprintf("t%d", random.IntN(4)), fmt.Sprint(random.IntN(20))
	var err error
	switch random.IntN(12) {
	case 0:
		_, err = log.Trim(ctx, filterOf(t, topic), log.Head())
	case 1:
		_, err = log.SetMark(ctx, "s", name, store.Mark{ID: log.Head(), Topics: filterOf(t, topic)})
	case 2:
		if err = log.DeleteMark(ctx, "s", name); errors.Is(err, store.ErrNotFound) {
			err = nil
		}
	case 3:
		d := store.NamedDelivery{Name: name, Delivery: store.Delivery{ID: log.Head(), Record: []byte(topic)}}
		if random.IntN(3) == 0 {
			d.Record = nil
		}
		err = log.SetDeliveries(ctx, []store.NamedDelivery{d}, false)
	case 4:
		d := alarm(name)
		d.Closes = random.IntN(3) == 0
		_, err = log.AppendOnce(ctx, []store.Group{{Drafts: []store.Draft{d}}})
	case 5:
		once := fmt.Sprintf("once.%d", random.IntN(40))
		_, err = store.Append(ctx, log, []store.Draft{{Topic: once, Type: store.TypeEnd}})
		if err == nil && random.IntN(2) == 0 {
			_, err = log.Trim(ctx, filterOf(t, once), store.MaxID)
		}
	case 6, 7:
		_, err = log.AppendOnce(ctx, []store.Group{{Key: name, Owner: topic,
			Drafts: []store.Draft{{Topic: "k", Data: []byte("keyed")}}}})
		if errors.Is(err, store.ErrKeyMismatch) {
			err = nil
		}
	case 8:
		_, err = store.Append(ctx, log, []store.Draft{{Topic: "long", Data: make([]byte, 20)}})
	default:
		drafts := make([]store.Draft, 1+random.IntN(10))
		for i := range drafts {
			drafts[i] = store.Draft{Topic: topic, Data: make([]byte, random.IntN(60))}
			if i%2 == 0 {
				drafts[i] = store.Draft{Topic: "much", Data: make([]byte, 200)}
			}
		}
		_, err = store.Append(ctx, log, drafts)
	}
	if err != nil && !errors.Is(err, store.ErrMarkLimit) {
		t.Errorf("something: %v", err)
	}
}

// hidden returns what a log knows besides what Agree compares: marks and, from what it refuses, keys and
// slots.
func hidden(t *testing.T, log store.Log) (all []string) {
	t.Helper()
	marks, err := log.Marks("s", "", 100)
	for i := range marks {
		all = append(all, fmt.Sprint("mark ", marks[i].Name, marks[i].ID, marks[i].Topics))
	}
	refused := func(g store.Group) {
		g.Newest = new(store.MaxID)
		_, no := log.AppendOnce(t.Context(), []store.Group{g})
		if no == nil {
			err = errors.New("what was to be refused is stored")
		}
		all = append(all, fmt.Sprint(g.Key, g.Owner, no))
	}
	for i := range 20 {
		for owner := range 4 {
			refused(store.Group{Key: fmt.Sprint(i), Owner: fmt.Sprint("t", owner),
				Drafts: []store.Draft{{Topic: "k", Data: []byte("another")}}})
		}
	}
	for i := range 20 {
		refused(store.Group{Slot: true, Drafts: []store.Draft{alarm(fmt.Sprint(i))}})
	}
	if err != nil {
		t.Error(err)
	}
	return all
}

// alike compares two nodes of a sequence.
func alike(t *testing.T, what string, a, b *bolt.Log) {
	t.Helper()
	storetest.Agree(t, a, b)
	if diff := cmp.Diff(hidden(t, a), hidden(t, b)); diff != "" {
		t.Errorf("%s: marks, keys or slots differ: %s", what, diff)
	}
	storetest.Check(t, b)
}

// retain makes passes of retention. An unreachable sequencer, and a log closed meanwhile, are no errors here.
func retain(t *testing.T, log *bolt.Log, passes int) {
	t.Helper()
	for range passes {
		_, err := log.Retain(context.Background(), ofEach(8))
		if err != nil && !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrClosed) {
			t.Errorf("retain: %v", err)
		}
	}
}

// purged returns a sequence that was purged, and the node that did it.
func purged(t *testing.T) (*storetest.Sequence, *bolt.Log) {
	t.Helper()
	sequence, logs, _ := members(t, 1)
	random := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		busy(t, logs[0], random)
	}
	retain(t, logs[0], 4)
	if first(t, sequence) == 1 {
		t.Fatal("it was not purged")
	}
	return sequence, logs[0]
}

// first returns where the sequence begins.
func first(t *testing.T, s *storetest.Sequence) uint64 {
	t.Helper()
	e, err := s.Seat().Extent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return e.First
}

// isPart reports whether the bytes are an entry of a state.
func isPart(b []byte) bool {
	k, err := commit.Decode(b)
	return err == nil && k.State != nil
}

// TestPurge: while others write, even between any two parts of the state, the sequence is purged repeatedly,
// and a node that begins with what is left has the same as one that was there from the start; so does one
// that was stopped before the floor, and one that is reopened. Where much is kept the floor lies far below
// the state.
func TestPurge(t *testing.T) {
	t.Parallel()
	low := 0
	for seed := range uint64(6) {
		if seed > 1 && os.Getenv("TIDINGS_FULL") == "" {
			break
		}
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			keep := []uint64{8, 60}[seed%2]
			synctest.Test(t, func(t *testing.T) { low += purge(t, rand.New(rand.NewPCG(seed, 1)), keep) })
		})
	}
	if low == 0 {
		t.Error("no floor was low")
	}
}

// purge returns how many floors were low.
func purge(t *testing.T, random *rand.Rand, keep uint64) (low int) {
	sequence, logs, seats := members(t, 2)
	seats[0].OnAppend(func(b []byte) storetest.Fate {
		if isPart(b) && random.IntN(2) == 0 {
			busy(t, logs[1], random)
		}
		return storetest.Placed
	})
	seats[0].OnPurge(func() storetest.Fate {
		_ = logs[1].CatchUp(t.Context()) // or it is so far behind that it has to end
		return storetest.Placed
	})
	dir := t.TempDir()
	behind := openMirror(t, dir, tight, sequence.Seat())
	purged, begins := 0, first(t, sequence)
	for round := range 30 {
		for range 20 {
			busy(t, logs[random.IntN(2)], random)
		}
		if round == 1 {
			closeLog(t, behind)
		}
		synctest.Wait() // no follower is so far behind that it has to end
		ends := sequence.Len()
		if _, err := logs[0].Retain(t.Context(), ofEach(keep)); err != nil {
			t.Fatal(err)
		}
		if now := first(t, sequence); now > begins {
			purged, begins = purged+1, now
			if int(now)+20 < ends {
				low++
			}
			late, _ := member(t, sequence)
			alike(t, fmt.Sprint("round ", round), logs[1], late)
		}
	}
	if purged < 3 {
		t.Errorf("purged %d times", purged)
	}
	behind = openMirror(t, dir, tight, sequence.Seat())
	alike(t, "one that was stopped before the floor", logs[0], behind)
	closeLog(t, behind)
	behind = openMirror(t, dir, tight, sequence.Seat())
	alike(t, "opened again", logs[0], behind)
	closeLog(t, behind)
	if aside, _ := filepath.Glob(filepath.Join(dir, "log.db.aside-*")); len(aside) != 1 {
		t.Errorf("set aside: %v", aside)
	}
	return low
}

// TestPurgeKilled: a node that purges is cut off at each step, which is done or not, and ends. A node that
// joins then has the same as one that was there; another node continues the purge, and one that joins after
// that has the same, too.
func TestPurgeKilled(t *testing.T) {
	t.Parallel()
	for _, fate := range []storetest.Fate{storetest.NoAnswer, storetest.Unheard} {
		for step, more := 0, true; more && !t.Failed(); step += stride() {
			t.Run(fmt.Sprint(fate, "/", step), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { more = purgeKilled(t, fate, step) })
			})
		}
	}
}

// stride is the distance between the steps at which something is killed.
func stride() int {
	if os.Getenv("TIDINGS_FULL") == "" {
		return 5
	}
	return 1
}

func purgeKilled(t *testing.T, fate storetest.Fate, step int) (more bool) {
	sequence := storetest.NewSequence()
	seat := sequence.Seat()
	log := openMirror(t, t.TempDir(), tight, seat)
	other, _ := member(t, sequence)
	random := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		busy(t, log, random)
	}
	steps := 0
	next := func() storetest.Fate {
		if steps++; steps <= step {
			return storetest.Placed
		}
		seat.Cut()
		return fate
	}
	seat.OnAppend(func(b []byte) storetest.Fate {
		if !isPart(b) {
			return storetest.Placed
		}
		return next()
	})
	seat.OnPurge(func() storetest.Fate {
		_ = other.CatchUp(t.Context()) // or it is so far behind that it has to end
		return next()
	})
	retaining := start(func() error { retain(t, log, 4); return nil })
	pass(time.Minute)
	closeLog(t, log)
	synctest.Wait()
	if !retaining.ended {
		t.Fatal("retention goes on")
	}
	late, _ := member(t, sequence)
	alike(t, "after the crash", other, late)
	for range 20 {
		busy(t, other, random)
	}
	retain(t, other, 5)
	if first(t, sequence) == 1 {
		t.Error("no other node has purged the sequence")
	}
	after, _ := member(t, sequence)
	alike(t, "after the next purge", other, after)
	return steps > step
}

// halting is a sequencer that delivers the given number of commits and then none.
type halting struct {
	*storetest.Seat
	left int
}

func (h *halting) Follow(ctx context.Context, after store.Place, deliver func(store.Place, []byte) error) error {
	return h.Seat.Follow(ctx, after, func(at store.Place, b []byte) error {
		if h.left--; h.left < 0 {
			return store.ErrUnavailable
		}
		return deliver(at, b)
	})
}

// TestPurgeLoadEnds: a mirror with only part of the state it was being built from is rebuilt.
func TestPurgeLoadEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sequence, whole := purged(t)
		for parts := 1; ; parts++ {
			dir := t.TempDir()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			log, err := bolt.Open(dir, bolt.Options{Sequencer: &halting{sequence.Seat(), parts}, Context: ctx})
			cancel()
			if err == nil {
				closeLog(t, log)
				break
			}
			if !strings.Contains(err.Error(), "state") && !errors.Is(err, store.ErrClosed) {
				t.Errorf("%d parts: %v", parts, err)
			}
			log = openMirror(t, dir, tight, sequence.Seat())
			alike(t, fmt.Sprint(parts, " parts, then again"), whole, log)
			closeLog(t, log)
			if parts > 20 {
				t.Fatal("the state has no end")
			}
		}
	})
}

// TestPurgeOnce: of several nodes that find the same at the same time one purges; the parts of two states are
// never interleaved.
func TestPurgeOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sequence, logs, seats := members(t, 3)
		var writings []string
		for _, seat := range seats {
			seat.OnAppend(func(b []byte) storetest.Fate {
				time.Sleep(time.Millisecond)
				return storetest.Placed
			})
		}
		random := rand.New(rand.NewPCG(1, 1))
		for range 200 {
			busy(t, logs[0], random)
		}
		for range 8 {
			var passes []*later
			for _, log := range logs {
				passes = append(passes, start(func() error { retain(t, log, 1); return nil }))
			}
			pass(time.Minute)
			for _, p := range passes {
				if !p.ended {
					t.Fatal("retention goes on")
				}
			}
		}
		over := errors.New("over")
		err := sequence.Seat().Follow(t.Context(), store.Place{Number: first(t, sequence) - 1},
			func(at store.Place, b []byte) error {
				if k, err := commit.Decode(b); err == nil && k.State != nil {
					writings = append(writings, fmt.Sprint(k.State.Writing))
				}
				if int(at.Number) == sequence.Len() {
					return over
				}
				return nil
			})
		if err != over {
			t.Error(err)
		}
		if n := len(slices.Compact(writings)); n != 1 {
			t.Errorf("%d states were written, want 1", n)
		}
		late, _ := member(t, sequence)
		alike(t, "late", logs[2], late)
	})
}

// TestPurgeRunning: a node that falls below the floor while it runs ends, and says what to do. The next open
// rebuilds its mirror.
func TestPurgeRunning(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sequence, logs, _ := members(t, 1)
		dir, seat := t.TempDir(), sequence.Seat()
		slow := openMirror(t, dir, tight, seat)
		seat.Pause()
		random := rand.New(rand.NewPCG(1, 1))
		for range 200 {
			busy(t, logs[0], random)
		}
		retain(t, logs[0], 4)
		seat.Resume()
		pass(time.Second)
		select {
		case <-slow.Failed():
		default:
			t.Error("it goes on")
		}
		err := slow.Ready()
		if !errors.Is(err, store.ErrPurged) || !strings.Contains(err.Error(), "restart this node") {
			t.Errorf("ready: %v, want ErrPurged and what to do", err)
		}
		closeLog(t, slow)
		slow = openMirror(t, dir, tight, seat)
		alike(t, "opened again", logs[0], slow)
		closeLog(t, slow)
	})
}

// TestPurgedByHand: a new mirror cannot begin with a sequence that was purged by hand, without a state. That
// is an error, and no mirror is left; existing nodes continue.
func TestPurgedByHand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sequence, logs, seats := members(t, 1)
		appendN(t, logs[0], 10, "a")
		appendN(t, logs[0], 10, "a")
		at, _, err := seats[0].Find(t.Context(), 2)
		if err == nil {
			err = seats[0].Purge(t.Context(), at)
		}
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		_, err = bolt.Open(dir, bolt.Options{Sequencer: sequence.Seat()})
		if !errors.Is(err, store.ErrPurged) || !strings.Contains(err.Error(), "up to date") {
			t.Errorf("open: %v, want ErrPurged and what to do", err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "log.db*")); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
		appendN(t, logs[0], 1, "a")
		storetest.Check(t, logs[0])
	})
}
