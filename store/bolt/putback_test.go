package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/storetest"
)

// lossy returns a sequence whose two nodes have followed it to its end: one that is closed, in dir, and one
// that shows what the log was. Half way, the sequence was purged.
func lossy(t *testing.T, random *rand.Rand) (dir string, was *bolt.Log, sequence *storetest.Sequence) {
	sequence = storetest.NewSequence()
	dir = t.TempDir()
	log := openMirror(t, dir, tight, sequence.Seat())
	was, _ = member(t, sequence)
	for range 150 {
		busy(t, log, random)
	}
	for range 4 {
		synctest.Wait() // followers have reached any possible floor, and need not end
		retain(t, log, 1)
	}
	if first(t, sequence) == 1 {
		t.Fatal("it was not purged")
	}
	for range 150 {
		busy(t, log, random)
	}
	closeLog(t, log)
	return dir, was, sequence
}

// putBack puts back what a copy of the sequence has lost, and compares the node that did it, and one that
// joins later, with the original log.
func putBack(t *testing.T, dir string, was *bolt.Log, copied *storetest.Sequence) bolt.Returned {
	t.Helper()
	if err := was.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	head := was.Head()
	r, err := bolt.PutBack(t.Context(), dir, bolt.Options{Sequencer: copied.Seat()})
	if err != nil || r.Through != head {
		t.Fatalf("put back %+v, %v; the head was %s", r, err, head)
	}
	if _, err := os.Stat(r.Aside); err != nil {
		t.Errorf("the old mirror: %v", err)
	}
	back := openMirror(t, dir, tight, copied.Seat())
	deleteAgain(t, was, back)
	alike(t, "put back", was, back)
	closeLog(t, back)
	late, _ := member(t, copied)
	alike(t, "late", was, late)
	return r
}

// deleteAgain deletes the marks and deliveries that were deleted in the lost part, because they exist again.
func deleteAgain(t *testing.T, was, back *bolt.Log) {
	t.Helper()
	marks, err := back.Marks("s", "", 100)
	for _, m := range marks {
		if _, no := was.Mark("s", m.Name); errors.Is(no, store.ErrNotFound) {
			err = errors.Join(err, back.DeleteMark(t.Context(), "s", m.Name))
		}
	}
	list, no := back.Deliveries()
	for _, d := range list {
		if _, no := was.Delivery(d.Name); errors.Is(no, store.ErrNotFound) {
			err = errors.Join(err, back.SetDeliveries(t.Context(), []store.NamedDelivery{{Name: d.Name}}, false))
		}
	}
	if err := errors.Join(err, no); err != nil {
		t.Error(err)
	}
}

// TestPutBackKeeps: newer marks and deliveries that were written to the rest of the sequence stay.
func TestPutBackKeeps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sequence, dir := storetest.NewSequence(), t.TempDir()
		log := openMirror(t, dir, tight, sequence.Seat())
		set := func(log *bolt.Log, name string, id store.ID) {
			t.Helper()
			_, err := log.SetMark(t.Context(), "s", name, store.Mark{ID: id, Topics: filterOf(t, "a")})
			d := store.NamedDelivery{Name: name, Delivery: store.Delivery{ID: id, Record: []byte("r")}}
			if err = errors.Join(err, log.SetDeliveries(t.Context(), []store.NamedDelivery{d}, false)); err != nil {
				t.Fatal(err)
			}
		}
		appendN(t, log, 3, "a")
		old := log.Head()
		appendN(t, log, 3, "a")
		kept := log.Head()
		set(log, "moved", old)
		copied := sequence.Copy(sequence.Len())
		appendN(t, log, 3, "a")
		set(log, "lost", log.Head())
		want := map[string]store.ID{"moved": kept, "since": kept, "lost": log.Head()}
		closeLog(t, log)
		other, _ := member(t, copied)
		set(other, "moved", kept)
		set(other, "since", kept)
		if _, err := bolt.PutBack(t.Context(), dir, bolt.Options{Sequencer: copied.Seat()}); err != nil {
			t.Fatal(err)
		}
		back := openMirror(t, dir, tight, copied.Seat())
		for name, id := range want {
			m, err := back.Mark("s", name)
			d, no := back.Delivery(name)
			if m.ID != id || d.ID != id || err != nil || no != nil {
				t.Errorf("%s: mark %s, %v; delivery %s, %v; want %s", name, m.ID, err, d.ID, no, id)
			}
		}
		closeLog(t, back)
	})
}

// TestPutBack: wherever a sequence was cut off, it again has all that it has lost: events under their IDs,
// what was trimmed, ended and deleted since, keys, marks, deliveries and slots.
func TestPutBack(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		if seed > 1 && os.Getenv("TIDINGS_FULL") == "" {
			break
		}
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 2))
				dir, was, sequence := lossy(t, random)
				begins := int(first(t, sequence))
				cut := begins + random.IntN(sequence.Len()-begins)
				putBack(t, dir, was, sequence.Copy(cut))
			})
		})
	}
}

// TestPutBackAll: a sequence that has lost all commits gets them back.
func TestPutBackAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sequence, dir := storetest.NewSequence(), t.TempDir()
		log := openMirror(t, dir, tight, sequence.Seat())
		was, _ := member(t, sequence)
		random := rand.New(rand.NewPCG(1, 2))
		for range 100 {
			busy(t, log, random)
		}
		closeLog(t, log)
		putBack(t, dir, was, sequence.Copy(0))
	})
}

// TestPutBackKilled: PutBack is cut off after each of its commits, which is placed or not, and the mirror is
// as it was. Run again, it puts back the rest.
func TestPutBackKilled(t *testing.T) {
	t.Parallel()
	for _, fate := range []storetest.Fate{storetest.NoAnswer, storetest.Unheard} {
		for step, more := 0, true; more && !t.Failed(); step += stride() {
			t.Run(fmt.Sprint(fate, "/", step), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { more = putBackKilled(t, fate, step) })
			})
		}
	}
}

func putBackKilled(t *testing.T, fate storetest.Fate, step int) (more bool) {
	dir, was, sequence := lossy(t, rand.New(rand.NewPCG(3, 2)))
	copied := sequence.Copy((int(first(t, sequence)) + sequence.Len()) / 2)
	seat, steps := copied.Seat(), 0
	seat.OnAppend(func([]byte) storetest.Fate {
		if steps++; steps <= step {
			return storetest.Placed
		}
		seat.Cut()
		return fate
	})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	_, err := bolt.PutBack(ctx, dir, bolt.Options{Sequencer: seat})
	if err == nil {
		return false
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "log.db*")); len(left) != 1 {
		t.Errorf("after %v there are %v", err, left)
	}
	putBack(t, dir, was, copied)
	return true
}

// TestPutBackRefuses: nothing is appended to a sequence that has lost nothing, has other content, or belongs
// to another log, and the mirror stays as it is.
func TestPutBackRefuses(t *testing.T) {
	t.Parallel()
	other := func(t *testing.T, s *storetest.Sequence, do func(*bolt.Log)) {
		log, _ := member(t, s)
		do(log)
	}
	for name, c := range map[string]struct {
		of   func(t *testing.T, s *storetest.Sequence) *storetest.Sequence
		want error
	}{
		"nothing is lost": {func(_ *testing.T, s *storetest.Sequence) *storetest.Sequence { return s },
			bolt.ErrNothingLost},
		"the mirror is behind": {func(t *testing.T, s *storetest.Sequence) *storetest.Sequence {
			other(t, s, func(log *bolt.Log) { appendN(t, log, 3, "a") })
			return s
		}, bolt.ErrNothingLost},
		"the mirror is behind by what is no event": {func(t *testing.T, s *storetest.Sequence) *storetest.Sequence {
			other(t, s, func(log *bolt.Log) {
				_, err := log.SetMark(t.Context(), "s", "later", store.Mark{ID: log.Head(), Topics: filterOf(t, "a")})
				if err != nil {
					t.Error(err)
				}
			})
			return s
		}, bolt.ErrNothingLost},
		"somebody has published since": {func(t *testing.T, s *storetest.Sequence) *storetest.Sequence {
			s = s.Copy(s.Len() - 20)
			other(t, s, func(log *bolt.Log) { appendN(t, log, 3, "a") })
			return s
		}, bolt.ErrNotPrefix},
		"somebody has published as much since": {func(t *testing.T, s *storetest.Sequence) *storetest.Sequence {
			s = s.Copy(s.Len() - 5)
			other(t, s, func(log *bolt.Log) {
				for range 10 {
					appendN(t, log, 1, "t1")
				}
			})
			return s
		}, bolt.ErrNotPrefix},
		"another log": {func(*testing.T, *storetest.Sequence) *storetest.Sequence { return storetest.NewSequence() },
			store.ErrDiverged},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir, _, sequence := lossy(t, rand.New(rand.NewPCG(4, 2)))
				sequence = c.of(t, sequence)
				before := sequence.Len()
				r, err := bolt.PutBack(t.Context(), dir, bolt.Options{Sequencer: sequence.Seat()})
				if !errors.Is(err, c.want) || sequence.Len() != before || r.Events > 0 {
					t.Errorf("%+v, %v, want %v; %d commits, were %d", r, err, c.want, sequence.Len(), before)
				}
				if left, _ := filepath.Glob(filepath.Join(dir, "log.db*")); len(left) != 1 {
					t.Errorf("left: %v", left)
				}
			})
		})
	}
}
