package bolt_test

import (
	"testing"
	"time"

	"tidings/internal/clock"
	"tidings/store"
	"tidings/store/bolt"
)

// TestClockStepsForward: a step of the wall clock forgets no idempotency key, and a long one does not show in
// IDs; time that really passes does both.
func TestClockStepsForward(t *testing.T) {
	for _, step := range []time.Duration{time.Minute, 50 * time.Minute, 10 * 365 * 24 * time.Hour} {
		wall, passed := time.Unix(1_800_000_000, 0), time.Hour
		c := clock.New(clock.Options{Wall: func() time.Time { return wall },
			Elapsed: func() time.Duration { return passed }})
		log := openAt(t, t.TempDir(), bolt.Options{Now: c.Now, Past: c.Past, KeyWindow: 30 * time.Second})
		put := func(key string) store.Result {
			results, err := log.AppendOnce(t.Context(), []store.Group{
				{Drafts: []store.Draft{{Topic: "a"}}, Key: key}})
			if err != nil {
				t.Fatal(err)
			}
			return results[0]
		}
		first := put("k")
		wall = wall.Add(step)
		put("other") // forgets old keys
		if again := put("k"); !again.Replayed || again.IDs[0] != first.IDs[0] {
			t.Errorf("after a step of %v the key gives %+v, want %v again", step, again, first.IDs)
		}
		if ahead := log.Head().Time().Sub(first.IDs[0].Time()); ahead > time.Hour {
			t.Errorf("after a step of %v an event is %v after the one before it", step, ahead)
		}
		wall, passed = wall.Add(time.Minute), passed+time.Minute
		if again := put("k"); again.Replayed {
			t.Errorf("a minute after a step of %v the key is still known", step)
		}
	}
}
