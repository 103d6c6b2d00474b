package api_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidings/api"
	"tidings/replay"
	"tidings/store"
)

// deadAnswer is a page of dead letters.
type deadAnswer struct {
	Dead []struct {
		ID, Topic, Error string
		Attempts         int
		Gone             bool
	}
	Next *string
}

// TestDeadLetters: events that were set aside are listed in pages, tried again and forgotten, through HTTP only.
func TestDeadLetters(t *testing.T) {
	testDead(t, func(s *deadScene) {
		const n = 102
		ids := s.setAside(n)
		s.pages(ids)
		a, want := s.do("GET /metrics", ""), fmt.Sprintf("tidings_delivery_dead_letters %d", n)
		if !strings.Contains(a.body, want) {
			s.t.Error("the metrics know nothing of it")
		}
		if a := s.do("DELETE /v1/deliveries/shop/dead?id="+ids[1], ""); a.body != `{"forgotten":1}`+"\n" {
			s.t.Errorf("forget: %d %s", a.status, a.body)
		}
		s.receiver.Store(http.StatusOK)
		if a := s.do("POST /v1/deliveries/shop/redrive?id="+ids[5], ""); a.status != 202 ||
			!strings.Contains(a.body, `"kind":"redrive"`) {
			s.t.Errorf("redrive: %d %s", a.status, a.body)
		}
		s.expect(`"state":"done"`)
		s.do("POST /v1/deliveries/shop/redrive?all=true", "")
		s.expect(fmt.Sprintf(`"sent":%d,"refused":0,"gone":1`, n-3))
		s.expect(`"dead":1`)
		if a := s.do("DELETE /v1/deliveries/shop/dead?all=true", ""); a.body != `{"forgotten":1}`+"\n" {
			s.t.Errorf("forget all: %d %s", a.status, a.body)
		}
	})
}

// deadScene is a server and a receiver on the clock of a bubble: an event is tried for at least a second.
type deadScene struct {
	*piped
	receiver atomic.Int32 // the status it answers with
}

// RoundTrip implements http.RoundTripper, as the receiver.
func (s *deadScene) RoundTrip(*http.Request) (*http.Response, error) {
	status := int(s.receiver.Load())
	return &http.Response{StatusCode: status, Status: strconv.Itoa(status), Header: http.Header{},
		Body: http.NoBody}, nil
}

func testDead(t *testing.T, test func(s *deadScene)) {
	scene := &deadScene{}
	bubbleWith(t, func(t *testing.T, log store.Log, tail *replay.Tail) api.Options {
		return api.Options{Deliveries: newSender(t, log, tail, &http.Client{Transport: scene}, nil)}
	}, 0, func(t *testing.T, s *piped) {
		scene.piped = s
		test(scene)
	})
}

// setAside publishes this many events that the receiver does not accept, and returns their IDs.
func (s *deadScene) setAside(n int) (ids []string) {
	s.receiver.Store(http.StatusInternalServerError)
	s.do("PUT /v1/deliveries/shop",
		hookBody("http://127.0.0.1/hooks", `,"on_give_up":"set_aside","give_up_after_seconds":1`))
	for range n {
		var got struct{ ID string }
		s.do("POST /v1/topics/orders.eu/events", "1").decode(s.t, &got)
		ids = append(ids, got.ID)
	}
	s.expect(fmt.Sprintf(`"dead":%d`, n))
	return ids
}

// expect checks the delivery when nothing is left to do.
func (s *deadScene) expect(text string) {
	s.t.Helper()
	time.Sleep(time.Hour)
	if a := s.do("GET /v1/deliveries/shop", ""); !strings.Contains(a.body, text) {
		s.t.Fatalf("no %s in %s", text, a.body)
	}
}

// pages checks both pages, before and after the first event was trimmed.
func (s *deadScene) pages(ids []string) {
	s.t.Helper()
	var page deadAnswer
	s.do("GET /v1/deliveries/shop/dead", "").decode(s.t, &page)
	if len(page.Dead) != 100 || page.Next == nil || *page.Next != ids[99] {
		s.t.Fatalf("a page of %d, next %v", len(page.Dead), page.Next)
	}
	if d := page.Dead[0]; d.ID != ids[0] || d.Topic != "orders.eu" || d.Attempts < 2 || d.Gone ||
		!strings.Contains(d.Error, "500") {
		s.t.Errorf("the first one is %+v", d)
	}
	s.do("POST /v1/topics/orders.eu/trim?before="+ids[1], "")
	s.do("GET /v1/deliveries/shop/dead?after="+ids[99], "").decode(s.t, &page)
	if len(page.Dead) != 2 || page.Next != nil || page.Dead[1].ID != ids[101] {
		s.t.Errorf("the second page is %+v", page)
	}
	s.do("GET /v1/deliveries/shop/dead", "").decode(s.t, &page)
	if !page.Dead[0].Gone || page.Dead[1].Gone {
		s.t.Errorf("what was trimmed is %+v, what was not %+v", page.Dead[0], page.Dead[1])
	}
}
