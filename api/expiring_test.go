package api_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"tidings/api"
	"tidings/internal/retention"
)

// TestExpiring: responses and a metric warn of a delivery that is not moving when a quarter of the time that an event
// is kept is left: of the event that goes first, whose topic may have a separate limit. There is no warning about a
// delivery that has sent what was waiting.
func TestExpiring(t *testing.T) {
	began := time.Unix(1_800_000_000, 0)
	var age atomic.Int64
	now := func() time.Time { return began.Add(time.Duration(age.Load())) }
	log := newLogAt(t, now)
	policy := retention.Policy{Age: []retention.Limit[time.Duration]{{Max: 24 * time.Hour},
		{Pattern: "chat", Max: time.Hour}}}
	outlook, err := retention.NewOutlook(log, policy)
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, log, 0, api.Options{Now: now, Retention: policy, Outlook: outlook})
	r := newReceiver(t, 503)
	s.do("PUT", "/v1/deliveries/shop", fmt.Sprintf(`{"url":%q,"topics":["orders.>","chat"],"secret":%q,"from":"earliest"}`,
		r.url, hookSecret))
	order := s.publish("orders.eu", "1")
	expect := func(at time.Duration, id string, goes time.Duration) {
		t.Helper()
		age.Store(int64(at))
		var d struct {
			LagSeconds float64 `json:"lag_seconds"`
			Expiring   *struct {
				ID string
				At time.Time
			}
		}
		s.do("GET", "/v1/deliveries/shop", "").decode(t, &d)
		deliveries := "0"
		if id != "" {
			deliveries = "1"
		}
		wantSamples(t, s.metrics(), map[string]string{"tidings_deliveries_expiring": deliveries})
		if (d.Expiring != nil) != (id != "") || id != "" && (d.Expiring.ID != id ||
			!d.Expiring.At.Equal(began.Add(goes))) || d.LagSeconds != at.Seconds() {
			t.Errorf("after %v it is %+v, want that %q goes after %v", at, d, id, goes)
		}
	}
	r.next(t)
	expect(17*time.Hour, "", 0)
	expect(19*time.Hour, order, 24*time.Hour)
	chat := s.publish("chat", "2")
	expect(19*time.Hour+30*time.Minute, order, 24*time.Hour)
	expect(19*time.Hour+50*time.Minute, chat, 20*time.Hour)

	r.status.Store(200)
	s.do("POST", "/v1/deliveries/shop/resume", "")
	for s.delivery(t, "shop").Cursor != chat {
	}
	age.Store(0)
	expect(0, "", 0)
}
