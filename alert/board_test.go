package alert_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidings/alert"
	"tidings/store"
	"tidings/store/storetest"
)

// otherLog is a log with another identity, like a restored copy.
type otherLog struct{ store.Log }

func (o otherLog) Info() (store.Info, error) {
	info, err := o.Log.Info()
	info.LogID, _ = info.LogID.Next()
	return info, err
}

// TestRestored: a copy escalates nothing until it is resumed; then it takes the steps that are due.
func TestRestored(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.rule(nil, time.Minute)
		id := s.publish("orders.eu", "order.created")
		s.close()
		s.log.Log = otherLog{s.log.Log}
		s.open()
		for range 2 {
			time.Sleep(time.Hour)
			s.expectAnswers("")
			list, err := s.List(store.All(), false, store.ID{}, 1)
			if err != nil || !list.Held || len(list.Alerts) != 1 {
				t.Fatalf("held %v, %d alerts, %v", list.Held, len(list.Alerts), err)
			}
			s.kill()
		}
		if err := s.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.kill()
		time.Sleep(time.Second)
		s.expectAnswers("step1@2h0m0s")
		s.claim(id, "Ana")
	})
}

// TestExpires: an alert ends with its event, and with its last rule.
func TestExpires(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.rule(nil, time.Hour)
		trimmed, kept := s.publish("orders.eu", "order.created"), s.publish("orders.eu", "order.created")
		if _, err := s.log.Trim(t.Context(), store.All(), kept); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		s.publish("orders.us", "order.created") // makes the board look
		if _, _, err := s.Claim(t.Context(), trimmed, by("Ana")); !errors.Is(err, alert.ErrDone) {
			t.Errorf("a claim of what is gone: %v", err)
		}
		s.expectAnswers("expired")
		if err := s.DeleteRule(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		s.expectAnswers("expired expired")
		if got := s.ids(); got != "" {
			t.Errorf("open %q without a rule", got)
		}
		s.kill()
		s.publish("orders.eu", "order.created")
		if got := s.ids(); got != "" {
			t.Errorf("open %q without a rule", got)
		}
	})
}

// TestRulesChange: a rule's open alerts stay open when it is changed, and can be answered.
func TestRulesChange(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.rule(nil, time.Hour)
		old := s.publish("orders.eu", "order.created")
		s.rule(func(r *alert.Rule) { r.Topics, r.MinSeverity = []string{"tickets"}, 17 }, time.Minute)
		s.publish("orders.eu", "order.created")
		s.publish("tickets", "ticket.opened")
		ids, err := store.Append(t.Context(), s.log, []store.Draft{
			{Topic: "tickets", Attributes: []store.Attribute{{Name: "severitynumber", Value: "16"}}},
			{Topic: "tickets", Attributes: []store.Attribute{{Name: "severitynumber", Value: "17"}}}})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got, want := s.ids(), fmt.Sprint(old, " ", ids[1]); got != want {
				t.Fatalf("open %q, want %q", got, want)
			}
			s.kill()
		}
		time.Sleep(2 * time.Minute)
		s.expectAnswers("step1@1m0s")
		if a := s.claim(old, "Ana"); a.State != alert.Claimed {
			t.Errorf("it is %s", a.State)
		}
	})
}

// TestRuleNotDeleted: a rule that could not be deleted stays in force, even after a restart.
func TestRuleNotDeleted(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.rule(nil)
		s.log.fail(store.ErrNoSpace)
		if err := s.DeleteRule(t.Context(), "orders"); !errors.Is(err, store.ErrNoSpace) {
			t.Fatal(err)
		}
		s.log.fail(nil)
		time.Sleep(time.Minute)
		for range 2 {
			id := s.publish("orders.eu", "order.created")
			if s.get(id).State != alert.Open {
				t.Error("it is not open")
			}
			s.kill()
		}
	})
}

// TestAlwaysNow: a rule that is changed to take steps always takes those that waited for its hours.
func TestAlwaysNow(t *testing.T) {
	test(t, func(t *testing.T, s *scene) { // it is Saturday
		closed := func(always bool) func(*alert.Rule) {
			return func(r *alert.Rule) {
				r.Always = always
				r.Hours = &alert.Hours{Zone: "UTC", Open: []alert.Window{{Days: week[:1], From: "09:00", To: "18:00"}}}
			}
		}
		s.rule(closed(false), time.Minute)
		s.publish("orders.eu", "order.created")
		time.Sleep(time.Hour)
		s.expectAnswers("")
		s.rule(closed(true), time.Minute)
		time.Sleep(2 * time.Minute)
		if got := s.answers("$alerts.orders.eu"); !strings.HasPrefix(got, "step1@1h") {
			t.Errorf("answers %q", got)
		}
	})
}

// TestMuted: a muted rule neither rings nor escalates until the mute ends.
func TestMuted(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.rule(func(r *alert.Rule) { r.MutedUntil = time.Now().Add(time.Hour) }, time.Minute)
		id := s.publish("orders.eu", "order.created")
		if s.get(id).Rings {
			t.Error("it rings")
		}
		time.Sleep(59 * time.Minute)
		s.expectAnswers("")
		time.Sleep(2 * time.Minute)
		s.expectAnswers("step1@1h0m0s")
		if !s.get(id).Rings {
			t.Error("it does not ring")
		}
	})
}

// TestBeyond: events beyond the limit are counted, and get their turn, over a restart, too.
func TestBeyond(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.o.MaxOpen = 100
		s.close()
		s.open()
		s.rule(nil)
		drafts := make([]store.Draft, 120)
		for i := range drafts {
			drafts[i] = store.Draft{Topic: "orders.eu", Type: "order.created"}
		}
		all, err := store.Append(t.Context(), s.log, drafts)
		if err != nil {
			t.Fatal(err)
		}
		expect := func(open, more int) {
			t.Helper()
			list, err := s.List(store.All(), false, store.ID{}, 1000)
			if err != nil || list.Open != open || list.More != more || list.Alerts[open-1].ID != all[len(all)-1-more] {
				t.Fatalf("%d open, %d more, %v; want %d and %d", list.Open, list.More, err, open, more)
			}
		}
		expect(100, 20)
		s.kill()
		expect(100, 20)
		for _, id := range all[:50] {
			a := s.claim(id, "Ana")
			done := by("Ana")
			done.Handle = a.Handle
			if _, err := s.Done(t.Context(), id, done); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Second)
		expect(70, 0)
	})
}

// TestWants: a step goes to the delivery that it names, while nobody has the alert.
func TestWants(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.rule(nil, time.Second)
		id := s.publish("orders.eu", "order.created")
		time.Sleep(2 * time.Second)
		f, err := store.NewFilter("$alerts.>")
		if err != nil {
			t.Fatal(err)
		}
		page, err := s.log.NewReader(f, store.ID{}).Next(10)
		if err != nil || len(page.Events) != 1 {
			t.Fatalf("%d events, %v", len(page.Events), err)
		}
		step := &page.Events[0]
		if !s.Wants("chat", step) || s.Wants("mail", step) {
			t.Error("a step goes to another delivery, or not to its own")
		}
		a := s.claim(id, "Ana")
		if s.Wants("chat", step) {
			t.Error("a step is sent after the claim")
		}
		claimed, err := s.log.Get(a.Handle)
		if err != nil || !s.Wants("chat", &claimed) {
			t.Errorf("an answer is no message for who follows them: %v", err)
		}
	})
}

// TestWantsPush: a pushed step goes to the devices and to no delivery, while nobody has the alert; so does TypeUnheard
// for a rule whose first step is pushed. A restart keeps it.
func TestWantsPush(t *testing.T) {
	listened(t, nil, func(t *testing.T, s *scene, _ *pages) {
		s.rule(func(r *alert.Rule) { r.Steps = []alert.Step{{After: time.Hour, Push: true}} })
		s.kill()
		time.Sleep(time.Minute)
		id := s.publish("orders.eu", "order.created")
		time.Sleep(2 * time.Hour)
		unheard, step := s.newest(notices), s.newest("$alerts.orders.eu")
		for _, e := range []*store.Event{&unheard, &step} {
			if !strings.Contains(string(e.Data), `"push":true`) || strings.Contains(string(e.Data), "delivery") {
				t.Errorf("%s says %s", e.Type, e.Data)
			}
			if !s.Wants("", e) || s.Wants("chat", e) {
				t.Errorf("%s is for a delivery, or not for devices", e.Type)
			}
		}
		s.claim(id, "Ana")
		if s.Wants("", &step) {
			t.Error("a step is pushed after the claim")
		}
	})
}

// TestDamagedRow: a row that cannot be read is ignored, and nothing else: claims stay exact.
func TestDamagedRow(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.rule(nil)
		id, other := s.publish("orders.eu", "order.created"), s.publish("orders.eu", "order.created")
		s.claim(other, "Ana")
		time.Sleep(2 * time.Second)
		s.close()
		s.log.damage = other.String()
		s.open()
		if got := s.ids(); got != id.String() {
			t.Errorf("open %q, want %q", got, id)
		}
		s.close()
		s.log.damage = "rule"
		s.open()
		if got := s.ids(); got != fmt.Sprint(id, " ", other) {
			t.Errorf("open %q without the rule", got)
		}
		s.claim(id, "Bo")
	})
}

// TestUnreadableAnswer: an answer that cannot be read counts as a claim, which can be taken over.
func TestUnreadableAnswer(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.rule(nil, time.Hour)
		id := s.publish("orders.eu", "order.created")
		s.close()
		before := s.log.rows(t)
		s.open()
		claim := s.claim(id, "Ana").Handle
		s.close()
		s.log.hide = claim
		s.log.put(t, before)
		s.open()
		if a := s.get(id); a.State != alert.Open {
			t.Fatalf("it is %s: the answer was read", a.State)
		}
		var taken *alert.TakenError
		if _, _, err := s.Claim(t.Context(), id, by("Bo")); !errors.As(err, &taken) || taken.Handle != s.log.hide {
			t.Errorf("a claim: %v", err)
		}
		time.Sleep(2 * time.Hour)
		s.expectAnswers("") // the answer is hidden from the test, too, and no step was taken
		force := by("Bo")
		force.Force = true
		if _, made, err := s.Claim(t.Context(), id, force); err != nil || !made {
			t.Errorf("a claim with force: %v, %v", made, err)
		}
	})
}

// TestUnwritten: while nothing can be written, no step is taken and no claim succeeds; afterwards all is as it would
// have been.
func TestUnwritten(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.rule(nil, time.Minute)
		id := s.publish("orders.eu", "order.created")
		s.log.fail(store.ErrNoSpace)
		time.Sleep(2 * time.Minute)
		if _, _, err := s.Claim(t.Context(), id, by("Ana")); !errors.Is(err, store.ErrNoSpace) {
			t.Errorf("a claim on a full disk: %v", err)
		}
		other := alert.Rule{Topics: []string{"tickets"}}
		if _, _, err := s.Put(t.Context(), "other", other, "", nil); !errors.Is(err, store.ErrNoSpace) {
			t.Errorf("a rule on a full disk: %v", err)
		}
		s.expectAnswers("")
		s.log.fail(nil)
		time.Sleep(2 * time.Second)
		if got := s.answers("$alerts.orders.eu"); !strings.HasPrefix(got, "step1@2m") {
			t.Errorf("answers %q", got)
		}
		s.publish("tickets", "ticket.opened")
		if got := s.ids(); got != id.String() {
			t.Errorf("open %q: a rule that was not stored is in force", got)
		}
		s.claim(id, "Ana")
	})
}

// TestManyRules: an event is an alert of each rule that it fits, and each takes its own steps.
func TestManyRules(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.rule(nil, time.Minute)
		vip := alert.Rule{Topics: []string{"orders.eu"},
			Steps: []alert.Step{{After: 10 * time.Second, Delivery: "phone"}}}
		if _, made, err := s.Put(t.Context(), "vip", vip, "", nil); err != nil || !made {
			t.Fatal(made, err)
		}
		a := s.get(s.publish("orders.eu", "order.created"))
		if strings.Join(a.Rules, " ") != "orders vip" {
			t.Errorf("rules %q", a.Rules)
		}
		time.Sleep(2 * time.Minute)
		s.expectAnswers("step1@10s step1@1m0s")
		if a = s.get(a.ID); a.Step != 2 || !a.Due.IsZero() {
			t.Errorf("%d steps taken, the next at %v", a.Step, a.Due)
		}
		for i := range alert.MaxRules {
			_, _, err := s.Put(t.Context(), fmt.Sprint("rule ", i), alert.Rule{Topics: []string{"x"}}, "", nil)
			if want := i >= alert.MaxRules-2; want != errors.Is(err, alert.ErrLimit) {
				t.Fatalf("rule %d: %v", i+3, err)
			}
		}
	})
}

// TestStartReads: a start reads the events committed since the last one, and not the whole log.
func TestStartReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &faulty{Log: storetest.NewModel(storetest.Options{Now: time.Now})}
		s := &scene{t: t, log: log}
		s.open()
		s.rule(nil)
		for range 100 {
			s.publish("orders.eu", "order.created")
		}
		time.Sleep(time.Minute)
		s.publish("orders.eu", "order.created")
		time.Sleep(2 * time.Second)
		s.close()
		log.read.Store(0)
		s.open()
		if n := log.read.Load(); n != 0 {
			t.Errorf("a start after a clean end read %d events", n)
		}
		s.kill()
		if list, err := s.List(store.All(), false, store.ID{}, 1); err != nil || list.Open != 101 {
			t.Errorf("%d open, %v", list.Open, err)
		}
		s.close()
		log.Close()
	})
}
