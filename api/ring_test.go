package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tidings/alert"
	"tidings/api"
	"tidings/deliver"
	"tidings/internal/e2e"
	"tidings/internal/presence"
	"tidings/internal/webpush/pushtest"
	"tidings/replay"
	"tidings/store"
)

// shift is a server whose rule pushes a step at once, the push service of Ana's phone, and Ana, who has a page in view.
type shift struct {
	*server
	devices *deliver.Devices
	ana     string
	phone   *pushtest.Browser
	pushes  chan *http.Request // with the body read
	answers chan int           // statuses
}

func newShift(t *testing.T) *shift {
	x := &shift{phone: pushtest.NewBrowser(), pushes: make(chan *http.Request), answers: make(chan int)}
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		select {
		case x.pushes <- r:
			w.WriteHeader(<-x.answers)
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(service.Close)
	log, pages := newLog(t), presence.New(time.Minute)
	tail := replay.NewTail(log, replay.TailOptions{})
	t.Cleanup(tail.Close)
	board, err := alert.New(log, tail, alert.Options{})
	if err != nil {
		t.Fatal(err)
	}
	x.devices = newDevices(t, log, deliver.PushOptions{Visible: pages.Visible,
		Wants: func(e *store.Event) bool { return board.Wants("", e) }})
	x.server = newServer(t, log, 0, keyed(t, api.Options{Presence: pages, Alerts: board, Devices: x.devices}))
	x.ana = bearer(holder{publish: ">", subscribe: ">", answer: ">", admin: true, subject: "ana"}.token(t))
	body := fmt.Sprintf(`{"subscription":{"endpoint":"%s/ana","keys":{"p256dh":%q,"auth":%q}},"topics":["orders.>"],`+
		`"page":"https://shop.example.com/"}`, service.URL, x.phone.P256dh(), x.phone.Auth())
	a := x.do("POST", "/v1/devices", body, x.ana)
	if a.status != http.StatusCreated {
		t.Fatalf("%d %s", a.status, a.body)
	}
	id := x.open(t.Context(), "/v1/stream", "", x.ana).subscriberOf()
	a = x.do("PUT", "/v1/subscribers/"+id+"/state", `{"visible":true,"allowed":false,"armed":null}`, x.ana)
	if a.status != http.StatusNoContent {
		t.Fatalf("%d %s", a.status, a.body)
	}
	a = x.do("PUT", "/v1/alerts/orders", `{"topics":["orders.>"],"steps":[{"after_seconds":0,"push":true}]}`, x.ana)
	if a.status != http.StatusCreated || !strings.Contains(a.body, `"steps":[{"after_seconds":0,"push":true}]`) {
		t.Fatalf("%d %s", a.status, a.body)
	}
	return x
}

// raise publishes an event that demands an answer, and returns its ID and the push sent because nobody answers.
func (x *shift) raise(t *testing.T) (id string, m pushtest.Message) {
	t.Helper()
	var event struct{ ID string }
	x.do("POST", "/v1/topics/orders.eu/events", "1", x.ana).decode(t, &event)
	r := awaitPush(t, x.pushes)
	body, err := io.ReadAll(r.Body)
	if err == nil {
		m, err = x.phone.Read(body)
	}
	if err != nil || r.Header.Get("Urgency") != "high" {
		t.Errorf("%v %v", r.Header, err)
	}
	return event.ID, m
}

// TestPushStep: a pushed step is stored as one, and pushed to the devices of whoever may read the topic, even if they
// have a page in view.
func TestPushStep(t *testing.T) {
	t.Parallel()
	x := newShift(t)
	_, m := x.raise(t)
	x.answers <- http.StatusCreated
	if m.Notification.Title != "orders.eu: an alert is waiting to be claimed" {
		t.Errorf("%+v", m)
	}
	e2e.Eventually(t, "push", func() bool { return x.devices.Stats().Sent == 1 && x.devices.Stats().Due == 0 })
	var page struct {
		Events []struct {
			Type string
			Data json.RawMessage
		}
	}
	x.do("GET", "/v1/topics/$alerts.orders.eu/events", "", x.ana).decode(t, &page)
	if e := page.Events; len(e) != 1 || e[0].Type != "alert.step" ||
		!strings.Contains(string(e[0].Data), `"push":true`) || strings.Contains(string(e[0].Data), "delivery") {
		t.Errorf("%+v", page)
	}
}

// TestPushStepClaimed: what the push service has not accepted when somebody claims the alert is no longer sent.
func TestPushStepClaimed(t *testing.T) {
	t.Parallel()
	x := newShift(t)
	id, _ := x.raise(t)
	if a, _ := x.answer(t, id, "claim", `{"name":"Bo"}`, x.ana); a.status != http.StatusCreated {
		t.Errorf("%d %s", a.status, a.body)
	}
	x.answers <- http.StatusServiceUnavailable
	e2e.Eventually(t, "nothing due", func() bool { return x.devices.Stats().Due == 0 })
	if stats := x.devices.Stats(); stats.Sent != 0 || stats.Failed != 1 || stats.Spared == 0 {
		t.Errorf("%+v", stats)
	}
}
