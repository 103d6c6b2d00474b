package alert_test

import (
	"testing"
	"testing/synctest"
	"time"

	"tidings/alert"
	"tidings/store"
)

// TestKept: a topic is needed from its oldest open alert on, claimed or not, with its answers, after a restart, too; in
// any other only what the board has not read is.
func TestKept(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		expect := func(orders store.ID, what string) {
			t.Helper()
			next, _ := s.log.Head().Next()
			if orders.IsZero() {
				orders = next
			}
			if kept := s.Stats().Kept; kept.IsZero() != (orders == next) || orders != next && kept != orders.Time() {
				t.Errorf("%s: what is kept is of %v", what, kept)
			}
			from := s.Kept()
			for topic, want := range map[string]store.ID{"orders.eu": orders, "$alerts.orders.eu": orders,
				"orders.us": next, "$alerts.orders.us": next, "tickets": next} {
				if got := from(topic); got != want {
					t.Errorf("%s: %s is needed from %s on, want %s", what, topic, got, want)
				}
				got := s.elsewhere()(topic)
				if got != want && (got.IsZero() || want.Before(got) || want != next || topic == "tickets") {
					t.Errorf("%s: elsewhere %s is needed from %s on, want %s", what, topic, got, want)
				}
			}
		}
		s.publish("orders.eu", "order.created")
		expect(store.ID{}, "without a rule")
		s.rule(nil)
		expect(store.ID{}, "a rule")
		first := s.publish("orders.eu", "order.created")
		second := s.publish("orders.eu", "order.created")
		s.publish("tickets", "order.created")
		expect(first, "two are open")
		done := by("Ana")
		done.Handle = s.claim(first, "Ana").Handle
		expect(first, "the older one is claimed")
		if _, err := s.Done(t.Context(), first, done); err != nil {
			t.Fatal(err)
		}
		expect(second, "the older one is done")
		s.kill()
		expect(second, "a restart")
		done.Handle = s.get(first).Handle
		if _, err := s.Undo(t.Context(), first, done); err != nil {
			t.Fatal(err)
		}
		expect(first, "it is undone")
		if err := s.DeleteRule(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		expect(store.ID{}, "the rule is deleted")
	})
}

// elsewhere returns what a process without a board keeps, once the board has written its rows.
func (s *scene) elsewhere() func(topic string) store.ID {
	s.t.Helper()
	time.Sleep(2 * time.Second)
	synctest.Wait()
	from, err := alert.KeptOf(s.log)
	if err != nil {
		s.t.Fatal(err)
	}
	return from
}

// TestKeptElsewhere: events that no board has read are needed if a rule matches their topic, and not otherwise.
func TestKeptElsewhere(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.rule(nil)
		s.elsewhere()
		s.close()
		id := s.publish("orders.eu", "order.created")
		s.publish("tickets", "order.created")
		from := s.elsewhere()
		if got := from("orders.eu"); got.IsZero() || id.Before(got) {
			t.Errorf("what no board has seen is needed from %s on, want at most %s", got, id)
		}
		if got := from("tickets"); !s.log.Head().Before(got) {
			t.Errorf("what no rule has is needed from %s on", got)
		}
		s.open()
	})
}

// TestKeptMeanwhile: events that arrive after Kept was called are needed; those that wait beyond the limit are not.
func TestKeptMeanwhile(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		before := s.Kept()
		s.close()
		s.o.MaxOpen = 1
		s.open()
		s.rule(nil)
		id := s.publish("orders.eu", "order.created")
		if from := before("orders.eu"); from.IsZero() || id.Before(from) {
			t.Errorf("what was opened since is needed from %s on, want at most %s", from, id)
		}
		waits := s.publish("orders.us", "order.created")
		if from := s.Kept()("orders.us"); !waits.Before(from) {
			t.Errorf("what waits is needed, from %s on", from)
		}
		closed := s.Board
		s.close()
		if from := closed.Kept()("orders.eu"); from != id {
			t.Errorf("by a board that is closed it is needed from %s on, want %s", from, id)
		}
		s.open()
	})
}
