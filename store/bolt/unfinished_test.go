package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/internal/commit"
	"tidings/store/storetest"
)

// TestPurgeUnfinished: a mirror with part of a state is not a log for anyone who has no sequence, or puts one
// back.
func TestPurgeUnfinished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sequence, whole := purged(t)
		dir := t.TempDir()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := bolt.Open(dir, bolt.Options{Sequencer: &halting{sequence.Seat(), 2}, Context: ctx})
		cancel()
		if err == nil {
			t.Fatal("the state was loaded")
		}
		for name, take := range map[string]func() error{
			"open alone": func() error {
				log, err := bolt.Open(dir, bolt.Options{Alone: true})
				if err == nil {
					closeLog(t, log)
				}
				return err
			},
			"put back": func() error {
				_, err := bolt.PutBack(t.Context(), dir, bolt.Options{Sequencer: sequence.Seat()})
				return err
			},
			"verify": func() error {
				report, err := bolt.Verify(t.Context(), dir, nil)
				return errors.Join(err, errors.New(strings.Join(report.Problems, "; ")))
			},
			"detach": func() error { _, err := bolt.Detach(dir); return err },
		} {
			if err := take(); err == nil || !strings.Contains(err.Error(), "is incomplete") {
				t.Errorf("%s: %v, want that the mirror is incomplete", name, err)
			}
		}
		log := openMirror(t, dir, tight, sequence.Seat())
		alike(t, "then", whole, log)
		closeLog(t, log)
	})
}

// TestPurgeOpenAttempt: a node whose commit may have a place that was meanwhile purged ends, although it
// follows the later commits, and says what to do.
func TestPurgeOpenAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sequence, logs, _ := members(t, 1)
		seat, calls := sequence.Seat(), 0
		asks := openMirror(t, t.TempDir(), tight, seat)
		seat.OnAppend(func([]byte) storetest.Fate {
			if calls++; calls == 1 {
				return storetest.Unheard
			}
			if calls == 2 {
				time.Sleep(time.Second) // lets the follower run
				other := sequence.Seat()
				appendN(t, logs[0], 1, "a")
				at, _, err := other.Find(t.Context(), uint64(sequence.Len()-1))
				if err == nil {
					err = other.Purge(t.Context(), at)
				}
				if err != nil {
					t.Error(err)
				}
			}
			return storetest.Placed
		})
		_, err := store.Append(t.Context(), asks, []store.Draft{{Topic: "a"}})
		if !errors.Is(err, store.ErrOutcomeUnknown) {
			t.Errorf("append: %v, want ErrOutcomeUnknown", err)
		}
		pass(time.Minute)
		err = asks.Ready()
		if !errors.Is(err, store.ErrPurged) || !strings.Contains(err.Error(), "restart this node") {
			t.Errorf("ready: %v, want ErrPurged and what to do", err)
		}
		closeLog(t, asks)
	})
}

// floorless is a sequence in which no commit is found.
type floorless struct{ *storetest.Seat }

func (floorless) Find(context.Context, uint64) (store.Place, []byte, error) {
	return store.Place{}, nil, nil
}

// TestPurgeNoFloor: a sequence that is too large and cannot be purged anywhere causes one warning.
func TestPurgeNoFloor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var lines bytes.Buffer
		log, err := bolt.Open(t.TempDir(), bolt.Options{Sequencer: floorless{storetest.NewSequence().Seat()},
			SequenceSlack: 1, Logger: slog.New(slog.NewTextHandler(&lines, nil))})
		if err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(1, 1))
		for range 300 {
			busy(t, log, random)
		}
		retain(t, log, 8)
		closeLog(t, log)
		if n := strings.Count(lines.String(), "cannot be purged: it has no floor"); n != 1 {
			t.Errorf("%d warnings, want 1", n)
		}
	})
}

// electing is a sequence that does not report its state at first, as while NATS elects a leader.
type electing struct {
	*storetest.Seat
	left int
}

func (e *electing) State(ctx context.Context) (store.Place, []byte, error) {
	if e.left--; e.left >= 0 {
		return store.Place{}, nil, store.ErrUnavailable
	}
	return e.Seat.State(ctx)
}

// TestPurgeStateLater: a new mirror waits for the state while the sequencer does not answer.
func TestPurgeStateLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sequence, whole := purged(t)
		log, err := bolt.Open(t.TempDir(), bolt.Options{Sequencer: &electing{sequence.Seat(), 50}})
		if err != nil {
			t.Fatal(err)
		}
		if log.Head() != whole.Head() {
			t.Errorf("it is at %s, want %s", log.Head(), whole.Head())
		}
		closeLog(t, log)
	})
}

// TestPurgeDamagedKey: a node with a damaged idempotency key does not make every later node forget it.
func TestPurgeDamagedKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sequence, dir := storetest.NewSequence(), t.TempDir()
		log := openMirror(t, dir, tight, sequence.Seat())
		random := rand.New(rand.NewPCG(1, 1))
		for range 300 {
			busy(t, log, random)
		}
		closeLog(t, log)
		db, err := bbolt.Open(filepath.Join(dir, "log.db"), 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte("keys"))
			k, v := b.Cursor().First()
			v = bytes.Clone(v)
			v[len(v)-1] ^= 1
			return b.Put(bytes.Clone(k), v)
		})
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		log = openMirror(t, dir, tight, sequence.Seat())
		told := false
		for range 8 {
			_, err := log.Retain(t.Context(), ofEach(8))
			told = told || errors.Is(err, bolt.ErrDamaged)
		}
		if first(t, sequence) != 1 || !told {
			t.Errorf("it begins at %d, want 1; told: %v", first(t, sequence), told)
		}
		_ = log.Close() // the damage
	})
}

// TestMirrorTopicsFirst: topics that arrive before their events, as when a log is put back, hide no others.
func TestMirrorTopicsFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sequence := storetest.NewSequence()
		log, seat := member(t, sequence)
		appendN(t, log, 1, "a")
		k := commit.Commit{After: log.Head(), Last: log.Head(), Topics: []commit.Topic{{Number: 1, Name: "b"}}}
		b, err := k.AppendBinary(nil)
		at, no := seat.End(t.Context(), 0)
		if err = errors.Join(err, no); err == nil {
			_, err = sequence.Seat().Append(t.Context(), at, b)
		}
		if err = errors.Join(err, log.CatchUp(t.Context())); err != nil {
			t.Fatal(err)
		}
		listed := 0
		for range log.Topics(store.Everything()) {
			listed++
		}
		if listed != 1 {
			t.Errorf("%d topics with events are listed, want 1", listed)
		}
		appendN(t, log, 1, "b")
		storetest.Check(t, log)
	})
}

// TestPurgeDamaged: a node with a damaged record places no part of a state, because each pass would place
// another, and says what to do; an intact node purges.
func TestPurgeDamaged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, dir := storetest.NewSequence(), t.TempDir()
		seat := s.Seat()
		log := openMirror(t, dir, tight, seat)
		draft := store.Draft{Topic: "long", Data: []byte("the damaged one")}
		if _, err := store.Append(t.Context(), log, []store.Draft{draft}); err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(1, 1))
		for range 300 {
			busy(t, log, random)
		}
		closeLog(t, log)
		storetest.Flip(t, filepath.Join(dir, "log.db"), "the damaged one")
		parts, told := 0, false
		seat = s.Seat()
		seat.OnAppend(func(b []byte) storetest.Fate {
			if isPart(b) {
				parts++
			}
			return storetest.Placed
		})
		log = openMirror(t, dir, tight, seat)
		defer func() { _ = log.Close() }() // the full check would find it
		for range 8 {
			_, err := log.Retain(t.Context(), ofEach(8))
			if told = errors.Is(err, bolt.ErrDamaged); !told && err != nil {
				t.Fatal(err)
			}
		}
		if parts > 0 || !told {
			t.Errorf("%d parts of a state are placed, told %v", parts, told)
		}
		whole, _ := member(t, s)
		retain(t, whole, 8)
		if first(t, s) == 1 {
			t.Error("a node that is whole purges nothing")
		}
	})
}
