package deliver_test

import (
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"tidings/internal/webpush/pushtest"
	"tidings/store"
)

// answer appends what an alert board does about each of these events, at once, and returns the ID of the last.
func (s *pushing) answer(topic, typ, data string, about ...string) string {
	s.t.Helper()
	var drafts []store.Draft
	for _, id := range about {
		drafts = append(drafts, store.Draft{Topic: "$alerts." + topic, Type: typ, ContentType: "application/json",
			Data: []byte(data), Attributes: []store.Attribute{{Name: "subject", Value: strconv.Quote(id)}}})
	}
	all, err := store.Append(s.t.Context(), s.log, drafts)
	if err != nil {
		s.t.Fatal(err)
	}
	return all[len(all)-1].String()
}

// step appends pushed steps.
func (s *pushing) step(topic string, about ...string) string {
	s.t.Helper()
	return s.answer(topic, "alert.step", `{"rule":"orders","step":1,"push":true}`, about...)
}

// one returns the only message that comes at once.
func (s *pushing) one(b *browser) (got, pushtest.Message) {
	s.t.Helper()
	all := s.after(time.Second)
	if len(all) != 1 {
		s.t.Fatalf("%d pushes, want 1", len(all))
	}
	return all[0], b.read(s.t, all[0].body)
}

// TestPushRings: whoever may read an alert's topic gets a pushed step at once, within the pace and with a page in view,
// with high urgency, in a message that replaces no other and includes what else is due.
func TestPushRings(t *testing.T) {
	testPush(t, func(t *testing.T, s *pushing) {
		s.options.Console = "https://shop.example.com/in/"
		s.Close()
		s.open()
		ana, ben := newBrowser("ana"), newBrowser("ben")
		s.register(ana.registration("ana", "orders.*"))
		s.register(ben.registration("ben", "orders.us", "tickets"))
		first := s.publish(1, "orders.eu")
		s.one(ana)
		id := s.step("orders.eu", first)
		push, m := s.one(ana)
		if n := m.Notification; n.Title != "orders.eu: an alert is waiting to be claimed" || n.Body != "" ||
			n.Navigate != "https://shop.example.com/in/#/shift" || n.Tag != "tidings-alert" || n.Data.ID != id {
			t.Errorf("%+v", n)
		}
		if h := push.header; h.Get("Urgency") != "high" || h.Get("Topic") != "tidings-alert" {
			t.Errorf("%v", h)
		}
		s.answer("orders.eu", "alert.step", `{"rule":"orders","step":1,"delivery":"chat"}`, first)
		if n := len(s.after(time.Minute)); n != 0 {
			t.Errorf("%d pushes of a step for a delivery", n)
		}
		s.see("ana", "orders.*")
		second := s.publish(1, "orders.eu") // she sees it
		s.step("orders.eu", first, second, second)
		if _, m := s.one(ana); m.Notification.Title != "orders.eu: 2 alerts are waiting to be claimed" ||
			m.Notification.Body != "" {
			t.Errorf("%+v", m)
		}
		s.see("ana", "")
		s.publish(2, "orders.jp")
		s.step("orders.eu", first)
		s.step("orders.jp", second)
		if _, m := s.one(ana); m.Notification.Title != "2 alerts are waiting to be claimed" ||
			m.Notification.Body != "orders.eu: an alert is waiting to be claimed\n"+
				"orders.jp: an alert is waiting to be claimed\norders.jp: 2 new events about orders" {
			t.Errorf("%+v", m)
		}
		if n := len(s.after(time.Hour)); n != 0 {
			t.Errorf("%d pushes of nothing", n)
		}
	})
}

// TestPushRingsNoMore: a step is no longer pushed if the alert was claimed before it is sent or retried; what else is
// due still is, in its time.
func TestPushRingsNoMore(t *testing.T) {
	testPush(t, func(t *testing.T, s *pushing) {
		var taken atomic.Bool
		s.options.Wants = func(*store.Event) bool { return !taken.Load() }
		s.Close()
		s.open()
		ana := newBrowser("ana")
		r := ana.registration("ana", "orders")
		r.Mark, r.Language = "inbox", "zh"
		s.register(r)
		s.see("ana", "orders")
		s.service.set(always(503))
		first := s.publish(1, "orders")
		s.mark("ana", first, "orders")
		s.step("orders", first)
		if n := len(s.after(2 * time.Minute)); n < 2 {
			t.Fatalf("%d attempts", n)
		}
		s.kill()
		s.service.set(nil)
		all := s.after(10 * time.Minute)
		if len(all) != 1 || all[0].header.Get("Urgency") != "high" ||
			ana.read(t, all[0].body).Notification.Title != "orders：有一条告警待处理，至今无人认领" {
			t.Fatalf("%d pushes after a kill", len(all))
		}
		s.service.set(always(503))
		s.step("orders", first)
		s.after(time.Minute)
		taken.Store(true)
		s.service.set(nil)
		last := s.publish(1, "orders")
		if n := len(s.after(time.Hour)); n != 0 {
			t.Errorf("%d pushes of an alert that was taken", n)
		}
		s.see("ana", "")
		if all := s.after(time.Minute); len(all) != 1 || all[0].header.Get("Urgency") != "normal" ||
			ana.read(t, all[0].body).Notification.Data.ID != last {
			t.Errorf("%d pushes of what is unread", len(all))
		}
	})
}

// TestPushRingsMeanwhile: a step that comes during another push to the device, or is held back by a page in view, is
// pushed as soon as that is over, each once, also over a kill.
func TestPushRingsMeanwhile(t *testing.T) {
	testPush(t, func(t *testing.T, s *pushing) {
		ana := newBrowser("ana")
		r := ana.registration("ana", "orders")
		r.Mark = "inbox"
		s.register(r)
		slow := make(chan struct{})
		s.service.set(func(int, got) *http.Response {
			<-slow
			return status(201)
		})
		first := s.publish(1, "orders")
		time.Sleep(time.Second)
		s.step("orders", first)
		time.Sleep(time.Second)
		close(slow)
		if all := s.after(time.Second); len(all) != 2 || all[1].header.Get("Urgency") != "high" {
			t.Fatalf("%d pushes", len(all))
		}
		s.see("ana", "orders")
		second := s.publish(1, "orders")
		s.after(10 * time.Minute) // it waits for her to read
		s.step("orders", second)
		if _, m := s.one(ana); m.Notification.Body != "orders: 1 new event about orders" {
			t.Errorf("%+v", m)
		}
		s.after(2 * time.Second)
		s.kill()
		if n := len(s.after(time.Hour)); n != 0 {
			t.Errorf("%d pushes are repeated", n)
		}
		s.step("orders", second)
		s.kill() // before anything was sent
		s.one(ana)
	})
}

// TestPushRingsUnread: a step that is stored during the push to the first of two devices, so that nobody has found it
// by the push to the second, rings on both, once.
func TestPushRingsUnread(t *testing.T) {
	testPush(t, func(t *testing.T, s *pushing) {
		s.register(newBrowser("ana").registration("ana", "orders"))
		s.register(newBrowser("ben").registration("ben", "orders"))
		time.Sleep(time.Minute)
		s.mu.Lock()
		s.asked = func() { s.step("orders", "x") }
		s.mu.Unlock()
		s.publish(1, "orders")
		rung := make(map[string]int)
		all := s.after(time.Minute)
		for _, g := range all {
			if g.header.Get("Urgency") == "high" {
				rung[g.url.Path]++
			}
		}
		if len(all) != 3 || rung["/send/ana"] != 1 || rung["/send/ben"] != 1 {
			t.Errorf("%d pushes, that ring: %v", len(all), rung)
		}
	})
}

// TestPushUnheard: a report that nobody hears a rule is pushed if it says so, once; that this is over is not.
func TestPushUnheard(t *testing.T) {
	testPush(t, func(t *testing.T, s *pushing) {
		ana := newBrowser("ana")
		s.register(ana.registration("ana", "orders.>", "$alerts.orders.>"))
		s.see("ana", "orders.> $alerts.>")
		unheard := func(typ, more string) {
			s.answer("orders._", typ, fmt.Sprintf(`{"rule":"or\u0007ders"%s}`, more), "x")
		}
		unheard("alert.unheard", `,"push":true,"since":"2000-01-01T00:00:00Z"`)
		_, m := s.one(ana)
		if m.Notification.Title != "Nobody is listening to or ders: no open page may play sound" || m.Notification.Body != "" {
			t.Errorf("%+v", m)
		}
		unheard("alert.withdrawn", `,"push":true`)
		unheard("alert.unheard", `,"delivery":"chat"`)
		if all := s.after(time.Hour); len(all) != 0 {
			t.Errorf("%d more pushes", len(all))
		}
		if stats := s.Stats(); stats.Due != 0 {
			t.Errorf("%+v", stats)
		}
	})
}
