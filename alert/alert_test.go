package alert_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tidings/alert"
	"tidings/replay"
	"tidings/store"
	"tidings/store/storetest"
)

// scene is a log with a board. Time is synctest's, which begins on Saturday, 2000-01-01 at midnight UTC.
type scene struct {
	*alert.Board
	t    *testing.T
	log  *faulty
	tail *replay.Tail
	o    alert.Options
}

func test(t *testing.T, f func(t *testing.T, s *scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &scene{t: t, log: &faulty{Log: storetest.NewModel(storetest.Options{Now: time.Now})}}
		s.open()
		f(t, s)
		s.close()
		s.log.Close()
	})
}

func (s *scene) open() {
	s.t.Helper()
	s.tail = replay.NewTail(s.log, replay.TailOptions{})
	board, err := alert.New(s.log, s.tail, s.o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Board = board
}

func (s *scene) close() {
	s.Board.Close()
	s.tail.Close()
}

// kill restarts the board without its final write.
func (s *scene) kill() {
	s.t.Helper()
	s.log.fail(store.ErrClosed)
	s.close()
	s.log.fail(nil)
	s.open()
}

// rule sets a rule on orders.> with a step of the delivery "chat" after each of the delays.
func (s *scene) rule(change func(*alert.Rule), delays ...time.Duration) {
	s.t.Helper()
	r := alert.Rule{Topics: []string{"orders.>"}}
	for _, d := range delays {
		r.Steps = append(r.Steps, alert.Step{After: d, Delivery: "chat"})
	}
	if change != nil {
		change(&r)
	}
	if _, _, err := s.Put(s.t.Context(), "orders", r, "admin", nil); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) publish(topic, typ string) store.ID {
	s.t.Helper()
	ids, err := store.Append(s.t.Context(), s.log, []store.Draft{{Topic: topic, Type: typ, Data: []byte(`{}`)}})
	if err != nil {
		s.t.Fatal(err)
	}
	synctest.Wait()
	return ids[0]
}

func (s *scene) get(id store.ID) alert.Alert {
	s.t.Helper()
	a, err := s.Get(id)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

// ids returns the open alerts, by ID.
func (s *scene) ids() string {
	s.t.Helper()
	list, err := s.List(store.All(), false, store.ID{}, 1000)
	if err != nil {
		s.t.Fatal(err)
	}
	var all []string
	for _, a := range list.Alerts {
		all = append(all, a.ID.String())
	}
	return strings.Join(all, " ")
}

func by(name string) alert.Answer { return alert.Answer{By: alert.Holder{Name: name}} }

func (s *scene) claim(id store.ID, name string) alert.Alert {
	s.t.Helper()
	a, made, err := s.Claim(s.t.Context(), id, by(name))
	if err != nil || !made {
		s.t.Fatalf("claim by %s: made %v, %v", name, made, err)
	}
	return a
}

// answers returns the types in the topic of answers, with the times since the bubble started.
func (s *scene) answers(topic string) string {
	s.t.Helper()
	f, err := store.NewFilter(topic)
	if err != nil {
		s.t.Fatal(err)
	}
	page, err := s.log.NewReader(f, store.ID{}).Next(1000)
	if err != nil {
		s.t.Fatal(err)
	}
	var all []string
	for _, e := range page.Events {
		text := strings.TrimPrefix(e.Type, "alert.")
		if e.Type == alert.TypeStep {
			var step struct {
				Step int `json:"step"`
			}
			if err := json.Unmarshal(e.Data, &step); err != nil {
				s.t.Fatal(err)
			}
			text += fmt.Sprintf("%d@%v", step.Step, e.Time().Sub(epoch))
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func (s *scene) expectAnswers(want string) {
	s.t.Helper()
	synctest.Wait()
	if got := s.answers("$alerts.orders.eu"); got != want {
		s.t.Errorf("answers %q, want %q", got, want)
	}
}

// TestOpenIsDerived: an event that a rule matches is open until it is done, over restarts, and no other event is.
func TestOpenIsDerived(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.publish("orders.eu", "order.created") // before the rule
		s.rule(func(r *alert.Rule) { r.Types = []string{"order.created"} })
		s.publish("tickets", "order.created")
		s.publish("orders.eu", "order.shipped")
		first, second := s.publish("orders.eu", "order.created"), s.publish("orders.eu", "order.created")
		both := first.String() + " " + second.String()
		later := func() { time.Sleep(time.Minute); s.kill() }
		for _, restart := range []func(){func() {}, s.kill, later, func() { s.close(); s.open() }} {
			restart()
			if got := s.ids(); got != both {
				t.Fatalf("open %q, want %q", got, both)
			}
		}
		a := s.claim(first, "Ana")
		done := by("Ana")
		done.Handle = a.Handle
		if _, err := s.Done(t.Context(), first, done); err != nil {
			t.Fatal(err)
		}
		s.kill()
		if got := s.ids(); got != second.String() {
			t.Errorf("open %q, want %q", got, second)
		}
		if _, _, err := s.Claim(t.Context(), first, by("Bo")); !errors.Is(err, alert.ErrDone) {
			t.Errorf("a claim of what is done: %v", err)
		}
		time.Sleep(alert.UndoWithin + 2*time.Minute)
		if _, err := s.Get(first); !errors.Is(err, alert.ErrNotFound) {
			t.Errorf("done long ago: %v", err)
		}
	})
}

// TestOneClaims: of many concurrent claims one succeeds, and the others learn who has the alert.
func TestOneClaims(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.rule(nil)
		id := s.publish("orders.eu", "order.created")
		var group sync.WaitGroup
		var mu sync.Mutex
		var won, told []string
		for i := range 50 {
			group.Go(func() {
				name := fmt.Sprint("clerk ", i)
				_, made, err := s.Claim(t.Context(), id, by(name))
				mu.Lock()
				defer mu.Unlock()
				var taken *alert.TakenError
				switch {
				case errors.As(err, &taken):
					told = append(told, taken.Holder.Name)
				case err != nil || !made:
					t.Errorf("%s: %v, %v", name, made, err)
				default:
					won = append(won, name)
				}
			})
		}
		group.Wait()
		if len(won) != 1 || len(told) != 49 {
			t.Fatalf("%d claims, %d refusals", len(won), len(told))
		}
		for _, name := range told {
			if name != won[0] {
				t.Fatalf("told %q, %q has it", name, won[0])
			}
		}
		again, made, err := s.Claim(t.Context(), id, by(won[0]))
		if err != nil || made || again.Handle != s.get(id).Handle {
			t.Errorf("the holder again: %v, %v", made, err)
		}
		s.expectAnswers("claimed")
	})
}

// TestLife walks through all answers and their refusals, with a restart after each.
func TestLife(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.rule(nil)
		id := s.publish("orders.eu", "order.created")
		ctx, handle := t.Context(), store.ID{}
		expect := func(what string, a alert.Alert, err error, state alert.State, holder string, rings bool) {
			t.Helper()
			s.kill()
			now := s.get(id)
			name := ""
			if now.Holder != nil {
				name = now.Holder.Name
			}
			if err != nil || now.State != state || name != holder || now.Rings != rings || a.Handle != now.Handle {
				t.Fatalf("%s: %v; %s of %q rings %v handle %s, want %s of %q rings %v handle %s", what, err, now.State, name,
					now.Rings, now.Handle, state, holder, rings, a.Handle)
			}
			handle = now.Handle
		}
		refused := func(what string, err error, as any) {
			t.Helper()
			if !errors.As(err, as) {
				t.Fatalf("%s: %v, want %T", what, err, as)
			}
		}
		with := func(name string) alert.Answer { a := by(name); a.Handle = handle; return a }

		snooze := by("Ana")
		snooze.For = time.Minute
		a, err := s.Snooze(ctx, id, snooze)
		expect("snooze", a, err, alert.Snoozed, "", false)
		time.Sleep(time.Minute)
		expect("a minute later", alert.Alert{}, nil, alert.Open, "", true)
		a, _, err = s.Claim(ctx, id, by("Ana"))
		expect("claim", a, err, alert.Claimed, "Ana", false)
		first := handle
		_, err = s.Snooze(ctx, id, snooze)
		refused("snooze of a claimed one", err, new(*alert.TakenError))
		force := by("Bo")
		force.Force = true
		a, _, err = s.Claim(ctx, id, force)
		expect("take over", a, err, alert.Claimed, "Bo", false)
		late := by("Ana")
		late.Handle = first
		_, err = s.Done(ctx, id, late)
		refused("done by a claim that does not count", err, new(*alert.StaleError))
		to := with("Bo")
		_, err = s.HandOver(ctx, id, to)
		refused("to nobody", err, new(*alert.InvalidError))
		to.To.Name = "Cy"
		a, err = s.HandOver(ctx, id, to)
		expect("hand over", a, err, alert.Claimed, "Cy", false)
		a, err = s.Release(ctx, id, with("Cy"))
		expect("release", a, err, alert.Open, "", true)
		a, _, err = s.Claim(ctx, id, by("Di"))
		expect("claim again", a, err, alert.Claimed, "Di", false)
		a, err = s.Done(ctx, id, with("Di"))
		expect("done", a, err, alert.Done, "Di", false)
		_, err = s.Undo(ctx, id, late)
		refused("undo of something else", err, new(*alert.StaleError))
		a, err = s.Undo(ctx, id, with("Di"))
		expect("undo", a, err, alert.Open, "", true)
		if _, err := s.Undo(ctx, id, with("Di")); !errors.Is(err, alert.ErrNotDone) {
			t.Errorf("undo twice: %v", err)
		}
		s.expectAnswers("snoozed claimed claimed handed-over released claimed done undone")
	})
}

// TestSteps: each step is taken once, at its time, until somebody claims; a kill changes nothing.
func TestSteps(t *testing.T) {
	for _, kills := range []bool{false, true} {
		test(t, func(t *testing.T, s *scene) {
			s.rule(nil, 10*time.Second, time.Minute, time.Hour)
			id := s.publish("orders.eu", "order.created")
			for range 120 {
				time.Sleep(time.Second)
				if kills {
					s.kill()
				}
			}
			s.expectAnswers("step1@10s step2@1m0s")
			a := s.claim(id, "Ana")
			time.Sleep(2 * time.Hour)
			s.expectAnswers("step1@10s step2@1m0s claimed")
			release := by("Ana")
			release.Handle = a.Handle
			if _, err := s.Release(t.Context(), id, release); err != nil {
				t.Fatal(err)
			}
			time.Sleep(11 * time.Second)
			s.expectAnswers("step1@10s step2@1m0s claimed released step1@2h2m10s")
		})
	}
}
