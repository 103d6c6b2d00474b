package deliver_test

import (
	"errors"
	"testing"
	"time"

	"tidings/deliver"
)

// TestIncomplete: a delivery without URL and secret keeps its position, over a kill, and sends from there once it has
// both.
func TestIncomplete(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		id := s.publish(2, "orders")
		set := settings("orders")
		set.URL, set.Secret, set.Incomplete, set.From = "", "", true, parseID(t, id[:26])
		if state := s.put("shop", set).State; state != deliver.Incomplete {
			t.Errorf("it is %s", state)
		}
		s.kill()
		s.Resume(t.Context(), "shop")
		s.ResumeAll(t.Context())
		time.Sleep(time.Hour)
		s.expectSent("")
		if r := s.expect("shop", deliver.Incomplete).Reason; r == "" {
			t.Error("nobody is told why")
		}
		if _, err := s.Test(t.Context(), "shop"); !errors.Is(err, deliver.ErrState) {
			t.Errorf("a test: %v", err)
		}
		for field, half := range map[string]deliver.Settings{"secret": {URL: hook}, "url": {Secret: secret},
			"incomplete": {URL: hook, Secret: secret, Incomplete: true}} {
			var invalid *deliver.InvalidError
			if _, _, err := s.Put(t.Context(), "shop", half); !errors.As(err, &invalid) || invalid.Field != field {
				t.Errorf("%s: %v", field, err)
			}
		}
		s.put("shop", deliver.Settings{URL: hook, Secret: secret})
		s.expectSent(id[27:])
		s.expect("shop", deliver.Running)
	})
}
