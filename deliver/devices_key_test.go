package deliver_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"tidings/deliver"
	"tidings/internal/seal"
)

// TestPushKeyLost: under another secrets key nothing is pushed, and nobody is registered, until no device is left that
// subscribed with the lost key. The right one, put back, is used at once.
func TestPushKeyLost(t *testing.T) {
	testPush(t, func(t *testing.T, s *pushing) {
		ana := newBrowser("ana")
		d := s.register(ana.registration("ana", "orders"))
		public, err := s.PublicKey(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		right := s.key
		s.key = filepath.Join(t.TempDir(), "secrets.key")
		if _, err := seal.NewFile(s.key).Seal(nil, "something else"); err != nil {
			t.Fatal(err)
		}
		s.kill()
		s.publish(1, "orders")
		if n := len(s.after(time.Minute)); n != 0 || s.list("ana")[0].State != deliver.DeviceFailing {
			t.Errorf("%d pushes", n)
		}
		if _, _, err := s.Register(t.Context(), newBrowser("ben").registration("ben", "orders")); !errors.Is(err,
			seal.ErrOtherKey) {
			t.Errorf("register: %v", err)
		}
		lost := s.key
		s.key = right
		s.kill()
		if n := len(s.after(time.Hour)); n != 1 {
			t.Errorf("%d pushes with the right key", n)
		}
		s.key = lost
		s.kill()
		if err := s.Remove(t.Context(), d.ID, func(string) bool { return true }); err != nil {
			t.Fatal(err)
		}
		again, err := s.PublicKey(t.Context())
		if err != nil || again == public {
			t.Errorf("the key is %s, was %s, %v", again, public, err)
		}
		s.register(ana.registration("ana", "orders"))
		s.kill()
		if last, err := s.PublicKey(t.Context()); err != nil || last != again {
			t.Errorf("after a kill it is %s, %v", last, err)
		}
	})
}
