package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidings/store"
	"tidings/store/storetest"
)

// refuser is a sequencer that places nothing once on is set, and takes until 20 ms before the deadline to say so.
type refuser struct {
	*storetest.Seat
	on  bool
	why error
}

func (r *refuser) Append(ctx context.Context, after store.Place, commit []byte) (store.Place, error) {
	if !r.on {
		return r.Seat.Append(ctx, after, commit)
	}
	deadline, _ := ctx.Deadline()
	time.Sleep(time.Until(deadline) - 20*time.Millisecond)
	return store.Place{}, r.why
}

// TestMirrorRefusalSaysWhy: a publish that gets no place is told why, also when its time ends between two attempts.
func TestMirrorRefusalSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seat := &refuser{Seat: storetest.NewSequence().Seat(), why: fmt.Errorf("%w: why", store.ErrUnavailable)}
		log := openMirror(t, t.TempDir(), storetest.Options{}, seat)
		defer closeLog(t, log)
		seat.on = true
		if _, err := log.AppendOnce(t.Context(), keyed("a", "k")); !errors.Is(err, seat.why) {
			t.Errorf("%v, want %v", err, seat.why)
		}
	})
}

// polite is a sequencer that leaves the next place to others until a moment.
type polite struct {
	*storetest.Seat
	until atomic.Pointer[time.Time]
}

func (p *polite) Turn() time.Duration { return time.Until(*p.until.Load()) }

// TestMirrorTurn: while it is others' turn a log gathers requests and applies others' commits. Then it asks once, for
// all of them.
func TestMirrorTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sequence := storetest.NewSequence()
		seat := &polite{Seat: sequence.Seat()}
		leave := func(d time.Duration) { seat.until.Store(new(time.Now().Add(d))) }
		leave(0)
		log := openMirror(t, t.TempDir(), storetest.Options{}, seat)
		defer closeLog(t, log)
		other := openMirror(t, t.TempDir(), storetest.Options{}, sequence.Seat())
		defer closeLog(t, other)
		before := log.Stats().Sequence.Attempts
		publish := func() *later {
			return start(func() error {
				_, err := store.Append(t.Context(), log, []store.Draft{{Topic: "a"}})
				return err
			})
		}
		leave(3 * time.Second)
		first := publish()
		pass(time.Second)
		second := publish()
		theirs := appendN(t, other, 1, "a")
		pass(time.Second)
		if head := log.Head(); head != theirs[0].ID {
			t.Errorf("before its turn the log ends at %s, want the other's %s", head, theirs[0].ID)
		}
		pass(time.Second)
		if !first.ended || !second.ended || first.err != nil || second.err != nil {
			t.Errorf("at its turn: %+v, %+v, want both stored", first, second)
		}
		if n := log.Stats().Sequence.Attempts - before; n != 1 {
			t.Errorf("%d attempts, want 1", n)
		}
		leave(time.Hour)
		third := publish()
		pass(time.Second)
		leave(0)
		appendN(t, other, 1, "a")
		synctest.Wait()
		if !third.ended || third.err != nil {
			t.Errorf("after a commit that makes it its turn: %+v", third)
		}
	})
}
