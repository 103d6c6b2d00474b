package alert_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings/alert"
	"tidings/internal/wire"
	"tidings/store"
)

var errIO = errors.New("input/output error")

// errant is a log that fails or delays on demand.
type errant struct {
	store.Log
	mu      sync.Mutex
	resolve error
	page    int // the page that readers of orders.> alone fail at; 0: none
	delay   time.Duration
	damaged string
}

func (x *errant) Resolve(id store.ID) (store.ID, bool, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.resolve != nil {
		return store.ID{}, false, x.resolve
	}
	return x.Log.Resolve(id)
}

func (x *errant) set(f func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	f()
}

func (x *errant) AppendOnce(ctx context.Context, g []store.Group) ([]store.Result, error) {
	x.mu.Lock()
	d := x.delay
	x.mu.Unlock()
	if strings.HasPrefix(g[0].Drafts[0].Topic, "$") {
		time.Sleep(d)
	}
	return x.Log.AppendOnce(ctx, g)
}

func (x *errant) NewReader(f store.Filter, after store.ID) store.Reader {
	r := x.Log.NewReader(f, after)
	if f.String() == "orders.>" {
		return &errantReader{Reader: r, x: x}
	}
	return r
}

func (x *errant) Deliveries() ([]store.NamedDelivery, error) {
	rows, err := x.Log.Deliveries()
	for i := range rows {
		if x.damaged != "" && rows[i].Name == x.damaged {
			rows[i].Record = nil
		}
	}
	return rows, err
}

type errantReader struct {
	store.Reader
	x *errant
	n int
}

func (r *errantReader) Next(max int) (store.Page, error) {
	r.n++
	r.x.mu.Lock()
	defer r.x.mu.Unlock()
	if r.x.page == r.n {
		return store.Page{}, errIO
	}
	return r.Reader.Next(max)
}

// erring replaces the log with one that can err, and limits rules to max open alerts.
func (s *scene) erring(max int) *errant {
	s.close()
	x := &errant{Log: s.log.Log}
	s.log.Log = x
	s.o.MaxOpen = max
	s.open()
	return x
}

// done claims an alert and ends it, and returns the ID of the answer that ended it.
func (s *scene) done(id store.ID) store.ID {
	s.t.Helper()
	a := s.claim(id, "Ana")
	w := by("Ana")
	w.Handle = a.Handle
	d, err := s.Done(s.t.Context(), id, w)
	if err != nil {
		s.t.Fatal(err)
	}
	return d.Handle
}

// deep is a topic with no room for a prefix.
const deep = "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p"

// TestBeyondDeep: an event that cannot be an alert does not become one when there is room, either.
func TestBeyondDeep(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.erring(2)
		s.rule(func(r *alert.Rule) { r.Topics = []string{">"} })
		a, b := s.publish("orders.eu", "x"), s.publish("orders.eu", "x")
		last := s.publish("orders.eu", "x")
		s.publish(deep, "x")
		s.publish("orders.ended", store.TypeEnd)
		s.done(a)
		s.done(b)
		time.Sleep(2 * time.Second)
		for range 2 {
			if got := s.ids(); got != last.String() {
				t.Errorf("open is %q, want %s", got, last)
			}
			if _, _, err := s.Put(t.Context(), "other", alert.Rule{Topics: []string{"q"}}, "", nil); err != nil {
				t.Error(err)
			}
			s.kill()
		}
	})
}

// TestReleasedAndKilled: after a release the steps restart, over a restart of the board, too.
func TestReleasedAndKilled(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.rule(nil, time.Hour, 2*time.Hour, 3*time.Hour)
		id := s.publish("orders.eu", "x")
		a := s.claim(id, "Ana")
		time.Sleep(4 * time.Hour)
		w := by("Ana")
		w.Handle = a.Handle
		if _, err := s.Release(t.Context(), id, w); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		s.kill()
		time.Sleep(5 * time.Second)
		s.expectAnswers("claimed released")
	})
}

// TestBeyondUnread: events that wait beyond the limit are not lost if they cannot be read for a time.
func TestBeyondUnread(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		x := s.erring(100)
		s.rule(nil)
		drafts := make([]store.Draft, 700)
		for i := range drafts {
			drafts[i] = store.Draft{Topic: "orders.eu", Type: "x"}
		}
		if _, err := store.Append(t.Context(), s.log, drafts); err != nil {
			t.Fatal(err)
		}
		seen := 0
		drain := func() bool {
			list, err := s.List(store.All(), false, store.ID{}, 1000)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range list.Alerts {
				s.done(a.ID)
				seen++
			}
			time.Sleep(2 * time.Second)
			return len(list.Alerts) > 0
		}
		x.set(func() { x.page = 2 })
		drain()
		x.set(func() { x.page = 0 })
		for drain() {
		}
		if seen != 700 {
			t.Errorf("%d of 700 alerts were ever followed", seen)
		}
	})
}

// TestBeyondIsOver: an alert that another rule has followed to its end is not reopened.
func TestBeyondIsOver(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.erring(2)
		s.rule(nil)
		if _, _, err := s.Put(t.Context(), "vip", alert.Rule{Topics: []string{"orders.vip"}}, "", nil); err != nil {
			t.Fatal(err)
		}
		a, b, v := s.publish("orders.eu", "x"), s.publish("orders.eu", "x"), s.publish("orders.vip", "x")
		s.done(v)
		time.Sleep(15 * time.Minute)
		s.done(a)
		s.done(b)
		time.Sleep(2 * time.Second)
		if got := s.ids(); got != "" {
			t.Errorf("open again: %q; %q", got, s.answers("$alerts.orders.vip"))
		}
	})
}

// TestUndoAtItsEnd: an alert is not forgotten while somebody reopens it.
func TestUndoAtItsEnd(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		x := s.erring(0)
		s.rule(nil, time.Hour)
		id := s.publish("orders.eu", "x")
		ended := s.done(id)
		time.Sleep(10*time.Minute - time.Millisecond)
		x.set(func() { x.delay = 2 * time.Second })
		go func() {
			time.Sleep(time.Second)
			_, _ = store.Append(context.Background(), s.log, []store.Draft{{Topic: "orders.us"}})
		}()
		w := by("Ana")
		w.Handle = ended
		a, err := s.Undo(t.Context(), id, w)
		x.set(func() { x.delay = 0 })
		_, errGet := s.Get(id)
		if errGet != nil {
			t.Errorf("undo said %q, %v; now the alert: %v; log: %s", a.State, err, errGet,
				s.answers("$alerts.orders.eu"))
		}
	})
}

// TestExpiredIsOver: an alert that has ended with its event is not reopened.
func TestExpiredIsOver(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.rule(nil, time.Minute)
		id, kept := s.publish("orders.eu", "x"), s.publish("orders.us", "x")
		if _, err := s.log.Trim(t.Context(), store.All(), kept); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		s.publish("orders.us", "x")
		s.expectAnswers("expired")
		list, err := s.List(store.All(), true, store.ID{}, 10)
		if err != nil {
			t.Fatal(err)
		}
		w := by("Ana")
		w.Handle = list.Alerts[0].Handle
		a, err := s.Undo(t.Context(), id, w)
		time.Sleep(2 * time.Hour)
		if err == nil {
			t.Errorf("undo of an expired one: %s; two hours later %s; log %q", a.State, s.get(id).State, s.answers("$alerts.orders.eu"))
		}
	})
}

// TestDamagedRule: a rule that cannot be read can be set again, and deleted.
func TestDamagedRule(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.rule(nil)
		id, other := s.publish("orders.eu", "x"), s.publish("orders.eu", "x")
		time.Sleep(2 * time.Second)
		s.close()
		s.log.damage = "rule"
		s.open()
		if !s.get(id).Rings {
			t.Error("what is open by it does not ring")
		}
		s.rule(nil)
		r, _ := s.GetRule("orders")
		if r.Open != 2 {
			t.Errorf("set anew: open %d, two are", r.Open)
		}
		s.done(id)
		if r, _ = s.GetRule("orders"); r.Open != 1 {
			t.Errorf("after one is done: open %d", r.Open)
		}
		if err := s.DeleteRule(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if a, err := s.Get(other); err == nil {
			t.Errorf("an hour after the rule was deleted: %s", a.State)
		}
	})
}

// TestSeverityInHeader: the severity of a CloudEvent in binary mode counts, too.
func TestSeverityInHeader(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.rule(func(r *alert.Rule) { r.MinSeverity = 17 })
		o, err := wire.ParseAttributes(map[string][]string{"Ce-Severitynumber": {"17"}})
		if err != nil {
			t.Fatal(err)
		}
		d := store.Draft{Topic: "orders.eu", Type: "x"}
		for _, m := range o {
			d.Attributes = append(d.Attributes, store.Attribute{Name: m.Name, Value: string(m.Value)})
		}
		if _, err := store.Append(t.Context(), s.log, []store.Draft{d}); err != nil {
			t.Fatal(err)
		}
		if s.ids() == "" {
			t.Errorf("a binary-mode CloudEvent with ce-severitynumber: 17 (%s) is no alert", d.Attributes[0].Value)
		}
	})
}

// TestOldStep: a step from before a claim is not sent after the claim was released.
func TestOldStep(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.rule(nil, time.Second)
		id := s.publish("orders.eu", "x")
		time.Sleep(3 * time.Second)
		f, _ := store.NewFilter("$alerts.>")
		page, _ := s.log.NewReader(f, store.ID{}).Next(10)
		a := s.claim(id, "Ana")
		w := by("Ana")
		w.Handle = a.Handle
		if _, err := s.Release(t.Context(), id, w); err != nil {
			t.Fatal(err)
		}
		if s.Wants("chat", &page.Events[0]) {
			t.Error("a step of before the claim is sent after the release")
		}
	})
}

// TestRereadFails: after an error of the log the board continues where it was.
func TestRereadFails(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		x := s.erring(0)
		s.rule(nil, time.Minute)
		time.Sleep(time.Second)
		x.set(func() { x.resolve = errIO })
		if _, _, err := s.Put(t.Context(), "other", alert.Rule{Topics: []string{"q"}}, "", nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		x.set(func() { x.resolve = nil })
		id := s.publish("orders.eu", "x")
		time.Sleep(time.Hour)
		if _, err := s.Get(id); err != nil {
			t.Errorf("an hour after one read failed: %v", err)
		}
		s.rule(nil, time.Minute)
		time.Sleep(time.Hour)
		s.close()
		s.open()
		if _, err := s.Get(id); err != nil {
			t.Errorf("after another PUT and a restart: %v", err)
		}
	})
}

// TestOwnRowDamaged: a board that does not know which log it is of escalates nothing.
func TestOwnRowDamaged(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		x := s.erring(0)
		s.rule(nil, time.Minute)
		s.publish("orders.eu", "x")
		s.close()
		s.log.Log = otherLog{x}
		x.damaged = "\x00alerts"
		s.open()
		time.Sleep(time.Hour)
		s.expectAnswers("")
	})
}
