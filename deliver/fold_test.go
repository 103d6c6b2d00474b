package deliver_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidings/deliver"
	"tidings/store"
)

// team is a chat that the scene's receiver stands in for.
func (s *scene) team(of deliver.Recipient, aside bool) *service {
	s.t.Helper()
	to := newSlack()
	s.receiver.set(to.answer)
	set := settings("orders.>", "tickets")
	set.URL, set.Secret, set.Recipient = "https://hooks.slack.com/services/T1/B1/right", "", of
	set.Kind, set.GiveUpAfter = deliver.Slack, time.Hour
	if aside {
		set.OnGiveUp = deliver.SetAside
	}
	s.put("team", set)
	return to
}

// TestFoldFails: a message of many events keeps its ID while more come; skipped, it is skipped as a whole; set aside,
// each of its events is a separate dead letter.
func TestFoldFails(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		to := s.team(deliver.Recipient{}, true)
		s.Pause(t.Context(), "team")
		ids := strings.Fields(s.publish(5, "orders.eu"))
		s.receiver.set(always(500))
		s.Resume(t.Context(), "team")
		s.expect("team", deliver.Failing)
		ids = append(ids, s.publish(1, "orders.eu"))
		time.Sleep(time.Minute)
		if status := s.expect("team", deliver.Failing); status.Due != ids[0] || status.Attempts < 3 {
			t.Errorf("failing is %s after %d attempts, want %s", status.Due, status.Attempts, ids[0])
		}
		s.kill()
		if _, err := s.Skip(t.Context(), "team", ids[0]); err != nil || s.get("team").At.String() != ids[5] {
			t.Errorf("skipped to %s (%v), want %s", s.get("team").At, err, ids[5])
		}
		s.expect("team", deliver.Running)
		aside := strings.Fields(s.publish(1, "tickets") + " " + s.publish(2, "orders.eu"))
		time.Sleep(2 * time.Hour)
		dead, err := s.Dead("team", store.ID{}, 10)
		if err != nil || len(dead) != 3 || dead[0].ID.String() != aside[0] || dead[0].Topic != "tickets" ||
			dead[2].ID.String() != aside[2] || dead[2].Topic != "orders.eu" {
			t.Fatalf("set aside are %+v (%v), want %v", dead, err, aside)
		}
		s.receiver.set(to.answer)
		if _, err := s.Redrive("team", nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // the pace of the service
		if texts, _ := to.take(); len(texts) != 3 || !strings.HasPrefix(texts[0], "tickets: 1 new event") {
			t.Errorf("redriven: %q", texts)
		}
	})
}

// TestFoldGap: events deleted before they were sent are reported.
func TestFoldGap(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		to := s.team(deliver.Recipient{Language: "zh"}, false)
		s.publish(1, "orders.eu")
		to.one(t)
		s.Pause(t.Context(), "team")
		ids := strings.Fields(s.publish(3, "orders.eu"))
		newest, err := store.ParseID(ids[2])
		if err == nil {
			_, err = s.log.Trim(t.Context(), store.All(), newest)
		}
		if err != nil {
			t.Fatal(err)
		}
		s.Resume(t.Context(), "team")
		texts, _ := to.take()
		if len(texts) != 2 || !strings.HasPrefix(texts[0], "投递 team：有事件还没发送就已删除。\n") ||
			!strings.Contains(texts[0], ids[1]) || !strings.HasPrefix(texts[1], "orders.eu：1 条订单动态\n") {
			t.Errorf("it says %q", texts)
		}
	})
}

// TestTemplate: a custom text has the values it asks for, and nothing for what is missing.
func TestTemplate(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		text, _ := json.Marshal("{{count}}/{{topic}}/{{type}}/{{data.number}}/{{ data.items.1.name }}/{{data.items}}" +
			"/{{data.no.such}}/{{id}}/{{time}}/{{link}}")
		to := s.team(deliver.Recipient{Detail: deliver.Fields, Template: text}, false)
		id := s.say("orders.eu", "order.created", "application/json",
			`{"number":12345678901234567890,"items":[{"name":"a"},{"name":"{{secret}} <b>"}]}`)
		want := "1/orders.eu/order.created/12345678901234567890/{{secret}} &lt;b&gt;///" + id +
			"/2000-01-01 00:00:00 (UTC)/https://events.example.com/in/#/log?id=" + id + "&amp;topic=orders.eu"
		if got := to.one(t); got != want {
			t.Errorf("it says\n%s\nwant\n%s", got, want)
		}
		time.Sleep(time.Minute)
		s.say("orders.eu", "order.created", "text/plain", "{}")
		if got := to.one(t); !strings.HasPrefix(got, "1/orders.eu/order.created/////") {
			t.Errorf("without JSON it says %s", got)
		}
		s.put("team", deliver.Settings{Recipient: deliver.Recipient{Template: json.RawMessage(`""`)}})
		time.Sleep(time.Minute)
		s.say("orders.eu", "order.created", "text/plain", "by the door\nplease")
		if got := to.one(t); !strings.HasPrefix(got, "orders.eu: 1 new order\n") ||
			!strings.Contains(got, "\nby the door please\n") {
			t.Errorf("without a template it says %s", got)
		}
	})
}

// TestRecipientSecrets: the address of a chat is sealed, and a chat without a secret needs no other half.
func TestRecipientSecrets(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.team(deliver.Recipient{}, false)
		stored, err := s.log.Deliveries()
		if err != nil || len(stored) != 1 || strings.Contains(string(stored[0].Record), "services/T1") {
			t.Errorf("the log has %s (%v)", stored[0].Record, err)
		}
		if status := s.get("team"); status.Origin != "https://hooks.slack.com" || !status.SecretChanged.IsZero() {
			t.Errorf("status %+v", status)
		}
		s.close()
		s.key += ".lost"
		s.open()
		synctest.Wait()
		s.publish(1, "orders.eu")
		s.expect("team", deliver.Locked)
		if _, _, err := s.Put(t.Context(), "team", deliver.Settings{URL: hook}); err != nil {
			t.Errorf("a new address under a new key: %v", err)
		}
		var invalid *deliver.InvalidError
		if _, _, err := s.Put(t.Context(), "team", deliver.Settings{Secret: secret}); !errors.As(err, &invalid) {
			t.Errorf("a secret: %v", err)
		}
	})
}
