package bolt_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"tidings/store"
	"tidings/store/storetest"
)

// cutOffLeader refuses attempts, as a leader does that has accepted another commit and will never place it.
type cutOffLeader struct {
	store.Sequencer
	refuse atomic.Int32
}

func (s *cutOffLeader) Append(ctx context.Context, after store.Place, commit []byte) (store.Place, error) {
	if s.refuse.Add(-1) >= 0 {
		return store.Place{}, store.ErrPlaceTaken
	}
	return s.Sequencer.Append(ctx, after, commit)
}

// TestMirrorPlaceTakenByNothing: a publish whose place another commit was said to have, which never comes, asks for the
// place again and is stored.
func TestMirrorPlaceTakenByNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seq := &cutOffLeader{Sequencer: storetest.NewSequence().Seat()}
		log := openMirror(t, t.TempDir(), storetest.Options{}, seq)
		seq.refuse.Store(2)
		if _, err := store.Append(t.Context(), log, []store.Draft{{Topic: "a"}}); err != nil {
			t.Error(err)
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
}
