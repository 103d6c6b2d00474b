package deliver_test

import (
	"strings"
	"testing"
	"time"
)

// TestPushMarks: events that a read mark has passed are not pushed; the badge counts unread ones. While the person has
// a page in view nothing is sent; later, what they have not read is.
func TestPushMarks(t *testing.T) {
	testPush(t, func(t *testing.T, s *pushing) {
		ana, ben := newBrowser("ana"), newBrowser("ben")
		r := ana.registration("ana", "orders")
		r.Mark = "inbox"
		s.register(r)
		s.register(ben.registration("ben", "orders"))
		first := s.publish(1, "orders")
		s.after(time.Minute)
		read := func(id string) {
			s.mark("ana", id, "orders")
		}
		read(first)
		s.publish(3, "orders")
		var badge *int
		for _, g := range s.after(time.Minute) {
			if g.url.String() == ana.endpoint {
				badge = ana.read(t, g.body).Badge
			}
		}
		if badge == nil || *badge != 3 {
			t.Errorf("the badge is %v, want 3 unread events", badge)
		}
		s.see("ana", "orders")
		s.see("ben", "orders")
		last := s.publish(2, "orders")
		if n := len(s.after(10 * time.Minute)); n != 0 {
			t.Errorf("%d pushes to people who look at a page", n)
		}
		s.see("ana", "")
		s.see("ben", "")
		if all := s.after(time.Minute); len(all) != 1 || ana.read(t, all[0].body).Notification.Data.ID != last {
			t.Errorf("%d pushes, want one of what is unread", len(all))
		}
		s.see("ana", "orders")
		read(s.publish(1, "orders"))
		s.after(time.Minute)
		s.see("ana", "")
		for _, g := range s.after(time.Hour) {
			if g.url.String() == ana.endpoint {
				t.Error("she has read that")
			}
		}
	})
}

// TestPushMarkOfOthers: a read mark of topics that the device's token need not read gives no badge; one of other topics
// skips none of the device's events.
func TestPushMarkOfOthers(t *testing.T) {
	testPush(t, func(t *testing.T, s *pushing) {
		ana := newBrowser("ana")
		r := ana.registration("ana", "orders.>")
		r.Mark = "inbox"
		s.register(r)
		for _, x := range []struct {
			mark   string
			passes bool
			badge  bool
		}{
			{"payroll", false, false}, {"orders.eu payroll", false, false},
			{"> $alerts.>", true, false}, {">", true, false}, {"orders.*", false, true}, {"orders.>", true, true},
		} {
			s.publish(1, "orders.eu")
			s.after(time.Second) // what follows waits for the pace
			s.publish(2, "payroll")
			s.mark("ana", s.publish(1, "orders.eu"), strings.Fields(x.mark)...)
			s.publish(1, "orders.eu")
			all := s.after(time.Minute)
			if len(all) != 1 {
				t.Fatalf("%s: %d pushes", x.mark, len(all))
			}
			m, want := ana.read(t, all[0].body), map[bool]int{true: 1, false: 2}[x.passes]
			if m.Notification.Data.Count != want || (m.Badge != nil) != x.badge {
				t.Errorf("%s: told of %d, want %d; badge %v", x.mark, m.Notification.Data.Count, want, m.Badge)
			}
		}
	})
}

// TestPushPageOfOthers: a page in view that does not show all topics of a device spares nobody.
func TestPushPageOfOthers(t *testing.T) {
	testPush(t, func(t *testing.T, s *pushing) {
		s.register(newBrowser("ana").registration("ana", "alarms", "orders"))
		for page, want := range map[string]int{"catalog": 1, "orders": 1, "alarms orders": 0, ">": 0} {
			s.see("ana", page)
			s.publish(1, "alarms")
			if n := len(s.after(time.Hour)); n != want {
				t.Errorf("a page of %s: %d pushes, want %d", page, n, want)
			}
		}
	})
}
