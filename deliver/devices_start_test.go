package deliver_test

import (
	"strings"
	"testing"
	"time"

	"tidings/deliver"
	"tidings/store/storetest"
)

// TestDeviceRows: a start accepts what an older or a newer release has left: a row in an unknown language costs that
// device only, and the key of a log that was restored without devices holds nobody.
func TestDeviceRows(t *testing.T) {
	testPush(t, func(t *testing.T, s *pushing) {
		ana, ben := newBrowser("ana"), newBrowser("ben")
		s.register(ana.registration("ana", "orders"))
		s.register(ben.registration("ben", "orders"))
		s.Close()
		rows, err := s.log.Deliveries()
		if err != nil {
			t.Fatal(err)
		}
		bare := &counting{Log: storetest.NewModel(storetest.Options{Now: time.Now}), names: make(map[string]int)}
		for i := range rows {
			text := string(rows[i].Record)
			if !strings.Contains(text, `"owner"`) {
				if err := bare.Log.SetDeliveries(t.Context(), rows[i:i+1], false); err != nil {
					t.Fatal(err)
				}
			} else if strings.Contains(text, `"owner":"ana"`) {
				rows[i].Record = []byte(strings.Replace(text, `"language":"en"`, `"language":"tlh"`, 1))
			}
		}
		if err := s.log.Log.SetDeliveries(t.Context(), rows, false); err != nil {
			t.Fatal(err)
		}
		s.open()
		s.publish(1, "orders")
		if all := s.after(time.Minute); len(all) != 1 || all[0].url.String() != ben.endpoint {
			t.Errorf("%d pushes beside a row in another language", len(all))
		}
		s.Close()
		s.log.Close()
		s.log = bare
		s.open()
		s.register(ana.registration("ana", "orders"))
		s.publish(1, "orders")
		if n := len(s.after(time.Minute)); n != 1 {
			t.Errorf("%d pushes from a log whose copy had no devices", n)
		}
	})
}

// TestPushHeld: from a restored log nothing is pushed until an administrator confirms it, and then only new events.
func TestPushHeld(t *testing.T) {
	testPush(t, func(t *testing.T, s *pushing) {
		ana := newBrowser("ana")
		s.register(ana.registration("ana", "orders"))
		s.Close()
		rows, err := s.log.Deliveries()
		if err != nil {
			t.Fatal(err)
		}
		restored := &counting{Log: storetest.NewModel(storetest.Options{Now: time.Now}), names: make(map[string]int)}
		if err := restored.Log.SetDeliveries(t.Context(), rows, false); err != nil {
			t.Fatal(err)
		}
		s.log.Close()
		s.log = restored
		s.open()
		s.publish(1, "orders")
		if n := len(s.after(time.Hour)); n != 0 || s.list("ana")[0].State != deliver.DeviceHeld {
			t.Errorf("%d pushes from a copy", n)
		}
		s.kill()
		if held, err := s.Resume(t.Context()); err != nil || !held {
			t.Errorf("%v, %v", held, err)
		}
		if n := len(s.after(time.Hour)); n != 0 {
			t.Errorf("%d pushes of what came before", n)
		}
		s.publish(1, "orders")
		if all := s.after(time.Minute); len(all) != 1 || ana.read(t, all[0].body).Notification.Data.Count != 1 {
			t.Errorf("%d pushes", len(all))
		}
		if held, err := s.Resume(t.Context()); err != nil || held {
			t.Errorf("again: %v, %v", held, err)
		}
	})
}
