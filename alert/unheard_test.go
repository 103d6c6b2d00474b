package alert_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidings/alert"
	"tidings/internal/presence"
	"tidings/store"
)

const heartbeat = 15 * time.Second

// notices is the topic of the events about the rule of scene.rule.
const notices = "$alerts.orders._"

// listened is test with a registry of pages, and a rule. The test decides whether somebody would hear it.
func listened(t *testing.T, change func(*alert.Rule), f func(t *testing.T, s *scene, p *pages)) {
	t.Helper()
	test(t, func(t *testing.T, s *scene) {
		s.close()
		p := &pages{t: t}
		p.start(s)
		s.open()
		synctest.Wait() // it has looked; the next look, a second later, has the rule
		s.rule(change, 5*time.Minute, 10*time.Minute)
		f(t, s, p)
		p.leave()
	})
}

// pages are those of a shop: one page that can sound, while somebody is there.
type pages struct {
	*presence.Registry
	t    *testing.T
	stop func()
}

// start replaces them as a restart of the server does.
func (p *pages) start(s *scene) {
	p.leave()
	p.Registry = presence.New(heartbeat)
	s.o.Listeners = p.Registry
}

// come opens somebody's page of these topics, which reports with each heartbeat until they leave.
func (p *pages) come(armed bool, patterns ...string) {
	p.t.Helper()
	p.leave()
	f, err := store.NewFilter(patterns...)
	if err != nil {
		p.t.Fatal(err)
	}
	page, over := p.Open("ana", f), make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			page.Report(presence.State{Visible: true, Armed: &armed})
			select {
			case <-time.After(heartbeat):
			case <-over:
				return
			}
		}
	}()
	p.stop = func() {
		close(over)
		<-done
		page.Close()
	}
}

func (p *pages) leave() {
	if p.stop != nil {
		p.stop()
		p.stop = nil
	}
}

// expectNotices checks the events about the rule: their types, with the times since the bubble started.
func (s *scene) expectNotices(want string) {
	s.t.Helper()
	synctest.Wait()
	f, err := store.NewFilter(notices)
	if err != nil {
		s.t.Fatal(err)
	}
	page, err := s.log.NewReader(f, store.ID{}).Next(1000)
	if err != nil {
		s.t.Fatal(err)
	}
	var all []string
	for _, e := range page.Events {
		var said struct{ Rule, Delivery, Reason string }
		if err := json.Unmarshal(e.Data, &said); err != nil || said.Rule != "orders" {
			s.t.Errorf("%s says %s, %v", e.Type, e.Data, err)
		}
		text := fmt.Sprintf("%s@%v", strings.TrimPrefix(e.Type, "alert."), e.Time().Sub(epoch))
		if said.Reason != "" {
			text += ":" + said.Reason
		}
		all = append(all, text)
	}
	if got := strings.Join(all, " "); got != want {
		s.t.Errorf("said %q, want %q", got, want)
	}
}

func (s *scene) ruleNow() alert.RuleStatus {
	s.t.Helper()
	r, err := s.GetRule("orders")
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// TestUnheard: two minutes after the last page that may sound has gone, it is reported that nobody hears, once, before
// any order arrives; a restart does not repeat it; somebody who hears withdraws it.
func TestUnheard(t *testing.T) {
	listened(t, nil, func(t *testing.T, s *scene, p *pages) {
		p.come(true, "orders.>")
		time.Sleep(time.Hour)
		s.expectNotices("")
		p.leave()
		time.Sleep(2 * time.Minute)
		s.expectNotices("")
		time.Sleep(2 * time.Second)
		s.expectNotices("unheard@1h2m1s")
		if e := s.newest(notices); strings.Contains(string(e.Data), "topics") {
			t.Errorf("it names the rule's topics, to who may read the first: %s", e.Data)
		}
		at := epoch.Add(time.Hour + 2*time.Minute + time.Second)
		if r := s.ruleNow(); !r.Unheard.Equal(at) || !s.Stats().Unheard["orders"] {
			t.Errorf("the rule is %+v, in the metrics %v", r, s.Stats().Unheard)
		}
		for range 3 {
			time.Sleep(time.Hour)
			p.start(s)
			s.kill()
		}
		p.come(false, "orders.>") // it may not sound
		time.Sleep(time.Hour)
		p.come(true, "orders.eu") // it does not cover the rule
		time.Sleep(time.Hour)
		s.expectNotices("unheard@1h2m1s")
		again := time.Since(epoch)
		p.come(true, ">")
		time.Sleep(2 * time.Second)
		s.expectNotices(fmt.Sprintf("unheard@1h2m1s withdrawn@%v:heard", again+time.Second))
		if r := s.ruleNow(); !r.Unheard.IsZero() || s.Stats().Unheard["orders"] {
			t.Errorf("heard, the rule is %+v", r)
		}
		if got := s.ids(); got != "" {
			t.Errorf("a rule alarms about itself: %q", got)
		}
	})
}

// TestUnheardReconnects: pages that are gone for less than that time change nothing; neither does a start.
func TestUnheardReconnects(t *testing.T) {
	listened(t, func(r *alert.Rule) { r.UnheardAfter = time.Second }, func(t *testing.T, s *scene, p *pages) {
		time.Sleep(3*heartbeat - time.Second)
		s.expectNotices("")
		p.come(true, "orders.>")
		time.Sleep(time.Hour)
		for range 5 { // all at once
			p.leave()
			time.Sleep(3*heartbeat - 2*time.Second)
			s.expectNotices("")
			p.come(true, "orders.>")
			time.Sleep(time.Hour)
		}
		at := time.Since(epoch)
		p.leave()
		time.Sleep(3*heartbeat + 2*time.Second)
		s.expectNotices(fmt.Sprintf("unheard@%v", at+3*heartbeat))
	})
}

// TestUnheardFlaps: a page whose stream is cut off every 40 s does not prevent the report, whether it may not sound, or
// would be heard but shows other topics.
func TestUnheardFlaps(t *testing.T) {
	for name, come := range map[string]func(*pages){
		"deaf":  func(p *pages) { p.come(false, "orders.>") },
		"other": func(p *pages) { p.come(true, "tickets.>") },
	} {
		t.Run(name, func(t *testing.T) {
			listened(t, nil, func(t *testing.T, s *scene, p *pages) {
				for range 15 {
					come(p)
					time.Sleep(40 * time.Second)
				}
				said := s.newest(notices)
				after := said.Time().Sub(epoch)
				if latest := alert.DefaultUnheardAfter + 3*heartbeat + time.Second; after > latest {
					t.Errorf("it is said after %v, want %v at most", after, latest)
				}
			})
		})
	}
}

// TestUnheardHours: nobody is on duty outside the hours; each opening is another day.
func TestUnheardHours(t *testing.T) {
	weekdays := func(r *alert.Rule) { // it is Saturday
		r.Hours = &alert.Hours{Zone: "UTC", Open: []alert.Window{{Days: week[:5], From: "09:00", To: "17:00"}}}
	}
	listened(t, weekdays, func(t *testing.T, s *scene, p *pages) {
		monday := 48 * time.Hour
		time.Sleep(monday + 9*time.Hour + time.Minute)
		s.expectNotices("")
		time.Sleep(24 * time.Hour)
		s.expectNotices(fmt.Sprintf("unheard@%v withdrawn@%v:closed", monday+9*time.Hour+2*time.Minute,
			monday+17*time.Hour))
		time.Sleep(2 * time.Minute)
		if s.ruleNow().Unheard.IsZero() {
			t.Error("on Tuesday it is not said")
		}
		mute := s.ruleNow().Rule
		mute.MutedUntil = time.Now().Add(time.Hour)
		if _, _, err := s.Put(t.Context(), "orders", mute, "admin", nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if !s.ruleNow().Unheard.IsZero() {
			t.Error("muted, it is said")
		}
	})
}

// TestUnheardEscalates: while nobody hears, the first step of an order is taken at once, and the others at their time,
// even for an order that is already open. What the delivery has not sent by the time somebody hears, it does not send.
func TestUnheardEscalates(t *testing.T) {
	listened(t, nil, func(t *testing.T, s *scene, p *pages) {
		time.Sleep(time.Minute)
		s.publish("orders.eu", "order.created")
		time.Sleep(62 * time.Second)
		s.expectNotices("unheard@2m1s")
		s.expectAnswers("step1@2m1s")
		time.Sleep(10 * time.Minute)
		s.expectAnswers("step1@2m1s step2@11m0s")
		unheard := s.newest(notices)
		if !s.Wants("chat", &unheard) || s.Wants("mail", &unheard) {
			t.Error("it goes to another delivery than that of the first step, or not there")
		}
		p.come(true, "orders.>")
		time.Sleep(2 * time.Second)
		withdrawn := s.newest(notices)
		if s.Wants("chat", &unheard) || !s.Wants("chat", &withdrawn) || s.Wants("mail", &withdrawn) {
			t.Error("after it was withdrawn it is sent, or that it was is not")
		}
		s.publish("orders.us", "order.created")
		time.Sleep(4 * time.Minute)
		if got := s.answers("$alerts.orders.us"); got != "" {
			t.Errorf("somebody hears, and the order is escalated: %q", got)
		}
	})
}

// newest returns the newest event of a topic.
func (s *scene) newest(topic string) store.Event {
	s.t.Helper()
	f, err := store.NewFilter(topic)
	if err != nil {
		s.t.Fatal(err)
	}
	page, err := s.log.NewReader(f, store.ID{}).Next(1000)
	if err != nil || len(page.Events) == 0 {
		s.t.Fatalf("%d events of %s, %v", len(page.Events), topic, err)
	}
	return page.Events[len(page.Events)-1]
}

// TestSignOff: nobody is on duty until the next opening, over a restart, unless somebody undoes it.
func TestSignOff(t *testing.T) {
	daily := func(r *alert.Rule) {
		r.Hours = &alert.Hours{Zone: "UTC", Open: []alert.Window{{Days: week, From: "09:00", To: "17:00"},
			{Days: week, From: "12:00", To: "18:00"}}}
	}
	listened(t, daily, func(t *testing.T, s *scene, p *pages) {
		time.Sleep(10 * time.Hour)
		said := fmt.Sprintf("unheard@%v", 9*time.Hour+2*time.Minute)
		s.expectNotices(said)
		r, err := s.SignOff(t.Context(), "orders", by("Ana"))
		if next := epoch.Add(33 * time.Hour); err != nil || !r.SignedOff.Equal(next) {
			t.Fatalf("signed off until %v, want %v; %v", r.SignedOff, next, err)
		}
		time.Sleep(2 * time.Second)
		said += fmt.Sprintf(" signed-off@10h0m0s withdrawn@%v:signed-off", 10*time.Hour+time.Second)
		s.expectNotices(said)
		p.start(s)
		s.kill()
		time.Sleep(4 * time.Hour)
		s.expectNotices(said)
		at := time.Since(epoch)
		if r, err := s.SignOn(t.Context(), "orders", by("Ana")); err != nil || !r.SignedOff.IsZero() {
			t.Fatalf("signed on, it is %+v, %v", r, err)
		}
		time.Sleep(3 * time.Minute)
		s.expectNotices(said + fmt.Sprintf(" signed-on@%v unheard@%v", at, at+2*time.Minute+time.Second))
	})
}

// TestSignOffCounts: a sign-off that was acknowledged counts, whatever happens to the rule meanwhile.
func TestSignOffCounts(t *testing.T) {
	listened(t, nil, func(t *testing.T, s *scene, p *pages) {
		other, done := s.ruleNow().Rule, make(chan error, 1)
		other.Topics = []string{"tickets.>", "orders.>"}
		s.log.before = func() {
			s.log.before = nil
			go func() {
				_, _, err := s.Put(t.Context(), "orders", other, "admin", nil)
				done <- err
			}()
			for range 10_000 { // it gets as far as it can
				runtime.Gosched()
			}
		}
		answer := by("Ana")
		answer.For = time.Hour
		if r, err := s.SignOff(t.Context(), "orders", answer); err != nil || r.SignedOff.IsZero() {
			t.Errorf("answered that it is done, it is signed off until %v; %v", r.SignedOff, err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestSignOffRefused: impossible sign-offs are refused.
func TestSignOffRefused(t *testing.T) {
	listened(t, nil, func(t *testing.T, s *scene, p *pages) {
		var invalid *alert.InvalidError
		if _, err := s.SignOff(t.Context(), "orders", by("Ana")); !errors.As(err, &invalid) {
			t.Errorf("until a rule without hours opens: %v", err)
		}
		long := by("Ana")
		long.For = 8 * 24 * time.Hour
		if _, err := s.SignOff(t.Context(), "orders", long); !errors.As(err, &invalid) {
			t.Errorf("for eight days: %v", err)
		}
		if _, err := s.SignOff(t.Context(), "tickets", by("Ana")); !errors.Is(err, alert.ErrRuleNotFound) {
			t.Errorf("of no rule: %v", err)
		}
		long.For = time.Hour
		if _, err := s.SignOff(t.Context(), "orders", long); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		s.expectNotices("signed-off@0s")
		time.Sleep(3 * time.Minute)
		s.expectNotices("signed-off@0s unheard@1h2m0s")
	})
}

// TestUnheardNever: a rule can turn the report off, and a restored log reports nothing.
func TestUnheardNever(t *testing.T) {
	listened(t, func(r *alert.Rule) { r.UnheardAfter = -1 }, func(t *testing.T, s *scene, p *pages) {
		time.Sleep(time.Hour)
		s.expectNotices("")
		s.rule(nil)
		s.close()
		s.log.Log = otherLog{s.log.Log}
		s.open()
		time.Sleep(time.Hour)
		s.expectNotices("")
		if err := s.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Minute)
		s.expectNotices("unheard@2h2m1s")
	})
}

// TestUnheardRestored: a backup in which nobody heard a rule alarms nobody where it is restored, until it is resumed;
// then somebody who hears withdraws it.
func TestUnheardRestored(t *testing.T) {
	listened(t, nil, func(t *testing.T, s *scene, p *pages) {
		time.Sleep(3 * time.Minute)
		unheard := func(want bool) {
			t.Helper()
			if r := s.ruleNow(); r.Unheard.IsZero() == want || s.Stats().Unheard["orders"] != want {
				t.Errorf("the rule is %+v, in the metrics %v; want %v", r, s.Stats().Unheard, want)
			}
		}
		unheard(true)
		s.close()
		s.log.Log = otherLog{s.log.Log}
		s.open()
		unheard(false)
		time.Sleep(time.Hour)
		unheard(false)
		if err := s.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		unheard(true)
		p.come(true, "orders.>")
		time.Sleep(2 * time.Second)
		unheard(false)
	})
}

// TestUnheardDiskFull: that nobody hears is known, and escalates, while it cannot be stored; it is stored once it can
// be. The failure is logged once a minute.
func TestUnheardDiskFull(t *testing.T) {
	listened(t, nil, func(t *testing.T, s *scene, p *pages) {
		var lines bytes.Buffer
		s.close()
		s.o.Logger = slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelError}))
		s.open()
		time.Sleep(time.Minute)
		s.log.fail(store.ErrNoSpace)
		time.Sleep(time.Hour)
		if r := s.ruleNow(); r.Unheard.IsZero() || !s.Stats().Unheard["orders"] {
			t.Errorf("the rule is %+v", r)
		}
		s.expectNotices("")
		s.log.fail(nil)
		time.Sleep(2 * time.Second)
		s.expectNotices(fmt.Sprintf("unheard@%v", time.Hour+time.Minute+time.Second))
		if n := strings.Count(lines.String(), "rules=[orders]"); n < 58 || n > 60 {
			t.Errorf("in an hour it is logged %d times", n)
		}
	})
}

// TestNotices: the topic of the events about a rule is that of the answers to a topic that the rule matches, if there
// is room.
func TestNotices(t *testing.T) {
	for topics, want := range map[string]string{
		">": "$alerts._", "orders": "$alerts.orders", "shops.*.orders.>": "$alerts.shops._.orders._",
		strings.Repeat("a", 250) + " orders.>": "$alerts.orders._", strings.Repeat("a", 250): "",
	} {
		r := alert.Rule{Topics: strings.Fields(topics)}
		if got := r.Notices(); got != want {
			t.Errorf("%.40q: %q, want %q", topics, got, want)
		}
	}
}
