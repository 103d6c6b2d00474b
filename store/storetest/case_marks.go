package storetest

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"

	"tidings/store"
)

func markCases() []Case {
	return []Case{
		{"marks/only ever move forward", markForward},
		{"marks/belong to their subject and survive", markSurvives},
		{"marks/are listed by name", markList},
		{"marks/what is refused", markRefused},
		{"marks/a share for each subject", markShares},
		{"marks/count equals a recount", markCount},
	}
}

func (f *fixture) mark(subject, name string, id store.ID, patterns ...string) store.Mark {
	f.t.Helper()
	got, err := f.SetMark(context.Background(), subject, name,
		store.Mark{ID: id, Topics: filter(f.t, patterns...)})
	if err != nil {
		f.t.Fatalf("set mark: %v", err)
	}
	return got
}

func (f *fixture) expectMark(subject, name string, id store.ID, topics string) {
	f.t.Helper()
	got, err := f.Mark(subject, name)
	if err != nil || got.ID != id || got.Topics.String() != topics {
		f.t.Errorf("mark %q of %q: %v in %q (%v), want %v in %q", name, subject, got.ID, got.Topics,
			err, id, topics)
	}
}

func (f *fixture) expectMarks(want int) {
	f.t.Helper()
	if info, err := f.Info(); err != nil || info.Marks != want {
		f.t.Errorf("the log says that it has %d marks (%v), want %d", info.Marks, err, want)
	}
}

func markForward(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	events := f.append(drafts(20, "orders", "tickets")...)
	f.mark("me", "inbox", events[5].ID, "orders")
	if got := f.mark("me", "inbox", events[3].ID, "tickets"); got.ID != events[5].ID ||
		got.Topics.String() != "orders" {
		t.Errorf("an older mark answered %v in %q, want the current one", got.ID, got.Topics)
	}
	f.expectMark("me", "inbox", events[5].ID, "orders")
	f.mark("me", "inbox", events[5].ID, "orders", "tickets")
	f.expectMark("me", "inbox", events[5].ID, "orders tickets")
	var wg sync.WaitGroup
	for i := range events {
		wg.Go(func() { f.mark("me", "inbox", events[len(events)-1-i].ID, "orders") })
	}
	wg.Wait()
	f.expectMark("me", "inbox", events[len(events)-1].ID, "orders")
	if f.Head() != events[len(events)-1].ID {
		t.Error("a mark moved the head")
	}
}

func markList(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	id := f.append(drafts(1, "orders")...)[0].ID
	for _, name := range []string{"b", "a", "c", "a b", "ab", "B"} {
		f.mark("me", name, id, "orders", "tickets.>")
	}
	f.mark("m", "e", id, "x") // neighbours
	f.mark("me2", "a", id, "x")
	f.mark("", "me", id, "x")
	f.expectMarks(9)
	f.reopen()
	f.expectMarks(9)
	for _, c := range []struct {
		subject, after string
		max            int
		want           string
	}{{"me", "", 10, "B|a|a b|ab|b|c"}, {"me", "", 2, "B|a"}, {"me", "a", 2, "a b|ab"}, {"me", "aa", 2, "ab|b"},
		{"me", "c", 2, ""}, {"", "", 10, "me"}, {"m", "", 10, "e"}, {"nobody", "", 10, ""}, {"me", "", 0, ""}} {
		marks, err := f.Marks(c.subject, c.after, c.max)
		var names []string
		for _, m := range marks {
			names = append(names, m.Name)
			if c.subject == "me" && (m.ID != id || m.Topics.String() != "orders tickets.>") {
				t.Errorf("%q is %v in %q", m.Name, m.ID, m.Topics)
			}
		}
		if got := strings.Join(names, "|"); err != nil || got != c.want {
			t.Errorf("%d marks of %q after %q: %s (%v), want %s", c.max, c.subject, c.after, got, err, c.want)
		}
	}
}

func markSurvives(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	events := f.append(drafts(3, "orders")...)
	f.mark("me", "inbox", events[0].ID, "orders")
	f.mark("you", "inbox", events[1].ID, ">")
	f.mark("", "inbox", events[2].ID, "*")
	f.reopen()
	f.trim(store.All(), store.MaxID, 3)
	f.expectMark("me", "inbox", events[0].ID, "orders")
	f.expectMark("you", "inbox", events[1].ID, ">")
	f.expectMark("", "inbox", events[2].ID, "*")
	if err := f.DeleteMark(context.Background(), "me", "inbox"); err != nil {
		t.Errorf("delete: %v", err)
	}
	if err := f.DeleteMark(context.Background(), "me", "inbox"); !errors.Is(err,
		store.ErrNotFound) {
		t.Errorf("delete again: %v, want ErrNotFound", err)
	}
	if _, err := f.Mark("me", "inbox"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("after delete: %v, want ErrNotFound", err)
	}
	f.expectMark("you", "inbox", events[1].ID, ">")
}

func markRefused(t testing.TB, open Factory) {
	f := start(t, open, Options{MaxMarks: 2})
	set := func(subject, name string, topics store.Filter) error {
		_, err := f.SetMark(context.Background(), subject, name, store.Mark{Topics: topics})
		return err
	}
	for what, err := range map[string]error{
		"no name": set("me", "", store.All()), "no topics": set("", "a", store.Filter{}),
		"a long name": set("me", strings.Repeat("x", 256), store.All()),
	} {
		if !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", what, err)
		}
	}
	f.mark("", "a", store.ID{}, ">")
	f.mark("", "b", store.ID{}, ">")
	if err := set("", "c", store.All()); !errors.Is(err, store.ErrMarkLimit) {
		t.Errorf("one too many: %v, want ErrMarkLimit", err)
	}
	f.append(drafts(1, "orders")...) // the log still accepts events
	f.mark("", "b", f.Head(), ">")
	if err := f.DeleteMark(context.Background(), "", "a"); err != nil {
		t.Error(err)
	}
	f.reopen()
	f.mark("", "c", store.ID{}, ">")
	if err := set("", "d", store.All()); !errors.Is(err, store.ErrMarkLimit) {
		t.Errorf("one too many after reopening: %v, want ErrMarkLimit", err)
	}
}

// markShares: no subject has more marks than are left for all others.
func markShares(t testing.TB, open Factory) {
	f := start(t, open, Options{MaxMarks: 9})
	fill := func(subject string, want int) {
		t.Helper()
		for i := range want + 1 {
			_, err := f.SetMark(context.Background(), subject, strconv.Itoa(i),
				store.Mark{Topics: store.All()})
			if wanted := map[bool]error{i == want: store.ErrMarkLimit}[true]; !errors.Is(err, wanted) {
				t.Fatalf("mark %d of %q: %v, want %v", i, subject, err, wanted)
			}
		}
	}
	fill("me", 4) // 5 are left
	f.reopen()
	fill("you", 2) // 3 are left
	if err := f.DeleteMark(context.Background(), "me", "0"); err != nil {
		t.Error(err)
	}
	fill("they", 2) // 2 are left
	fill("", 2)     // those without a name share the rest
}

func markCount(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	events := f.append(drafts(700, "a", "a.b", "c", "c.d.e")...)
	f.trim(filter(t, "a"), events[100].ID, 25)
	for _, patterns := range [][]string{{">"}, {"a"}, {"a", "a.*"}, {"c.>"}, {"nothing"}} {
		flt := filter(t, patterns...)
		retained := read(t, f.Log, flt, store.ID{}).drain(pageSize)
		for _, at := range []int{0, 50, 101, 350, 699} {
			all := len(matching(retained, flt, events[at].ID))
			for _, max := range []int{1, 10, 300, 1000} {
				if got, err := f.Count(flt, events[at].ID, max); err != nil ||
					got != min(max, all) {
					t.Errorf("count of %v after event %d, at most %d: %d (%v), want %d", patterns,
						at, max, got, err, min(max, all))
				}
			}
		}
	}
}
