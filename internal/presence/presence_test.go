package presence_test

import (
	"testing"
	"testing/synctest"
	"time"

	"tidings/internal/presence"
	"tidings/store"
)

const heartbeat = 15 * time.Second

var yes, no = true, false

func filter(t *testing.T, patterns ...string) store.Filter {
	t.Helper()
	f, err := store.NewFilter(patterns...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestHears: an alarm of some topics would be heard where pages that may sound cover each pattern, together; a report
// counts for two heartbeats, and no longer than its stream.
func TestHears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := presence.New(heartbeat)
		eu, all := r.Open("eu", filter(t, "orders.eu", "$alerts.orders.eu")), r.Open("all", filter(t, "tickets.>"))
		hears := func(want bool, patterns ...string) {
			t.Helper()
			if got := r.Hears(filter(t, patterns...)); got != want {
				t.Errorf("hears %v: %v, want %v", patterns, got, want)
			}
		}
		hears(false, "orders.eu") // no report yet
		eu.Report(presence.State{Visible: true, Allowed: true})
		hears(false, "orders.eu") // nothing rings there
		eu.Report(presence.State{Visible: true, Armed: &no})
		hears(false, "orders.eu")
		eu.Report(presence.State{Armed: &yes}) // in the background
		hears(true, "orders.eu")
		hears(false, "orders.>") // alarms of other topics would not be heard
		hears(false, "orders.eu", "tickets.>")
		all.Report(presence.State{Armed: &yes})
		hears(true, "orders.eu", "tickets.>")
		hears(true, "tickets.*")
		time.Sleep(2*heartbeat - 1)
		hears(true, "orders.eu")
		all.Report(presence.State{Armed: &yes})
		time.Sleep(time.Nanosecond)
		hears(false, "orders.eu")
		hears(true, "tickets.>")
		all.Close()
		all.Close()
		all.Report(presence.State{Armed: &yes}) // on its way when the stream ended
		hears(false, "tickets.>")
	})
}

// TestLook: a page's last report, and why nothing would be heard there.
func TestLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := presence.New(heartbeat)
		p := r.Open("ana", filter(t, ">"))
		for _, x := range []struct {
			report presence.State
			want   presence.Hearing
		}{
			{presence.State{Visible: true, Allowed: true}, presence.NoAlarm},
			{presence.State{Visible: true, Allowed: true, Armed: &no}, presence.Blocked},
			{presence.State{Armed: &yes}, presence.Able},
		} {
			time.Sleep(time.Second)
			p.Report(x.report)
			s, at, got := p.Look()
			count := r.Count()
			if s != x.report || !at.Equal(time.Now()) || got != x.want || count[x.want] != 1 || len(count) != 1 {
				t.Errorf("it is %s of %+v at %v, counted %v; want %s", got, s, at, count, x.want)
			}
		}
		time.Sleep(2 * heartbeat)
		if _, _, got := p.Look(); got != presence.Silent || r.Count()[presence.Silent] != 1 {
			t.Errorf("after two heartbeats it is %s, counted %v", got, r.Count())
		}
	})
}

// TestVisible: a person sees some topics while a page of theirs that covers them reports so.
func TestVisible(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := presence.New(heartbeat)
		one, two := r.Open("ana", filter(t, "a.>")), r.Open("ana", filter(t, "a.*", "b"))
		visible := func(want bool) {
			t.Helper()
			a := filter(t, "a.b")
			if ana, bo := r.Visible("ana", a), r.Visible("bo", a); ana != want || bo {
				t.Errorf("ana sees a page: %v, want %v; bo: %v", ana, want, bo)
			}
			if r.Visible("ana", filter(t, "a.b", "c")) {
				t.Error("ana sees c, of which no page is")
			}
		}
		visible(false)
		one.Report(presence.State{Visible: true})
		two.Report(presence.State{})
		visible(true)
		one.Report(presence.State{})
		visible(false)
		two.Report(presence.State{Visible: true})
		time.Sleep(2 * heartbeat)
		visible(false)
		two.Report(presence.State{Visible: true})
		visible(true)
		two.Close()
		visible(false)
	})
}

// TestSettled: missing pages prove nothing for three heartbeats after a start, and after half of the pages that
// would be heard have gone at once; one of many that goes changes nothing, and neither does one that would not be
// heard.
func TestSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := presence.New(heartbeat)
		settled := func(want bool) {
			t.Helper()
			if got := r.Settled(); got != want {
				t.Errorf("settled %v, want %v", got, want)
			}
		}
		var pages []*presence.Page
		report := func() {
			for _, p := range pages {
				p.Report(presence.State{Armed: &yes})
			}
		}
		for range 10 {
			pages = append(pages, r.Open("", filter(t, ">")))
		}
		settled(false)
		time.Sleep(3*heartbeat - 1)
		settled(false)
		time.Sleep(time.Nanosecond)
		settled(true)
		time.Sleep(3 * heartbeat)
		report()
		for range 50 {
			r.Open("", filter(t, ">")) // a page that nobody would hear or miss
			deaf := r.Open("", filter(t, ">"))
			deaf.Report(presence.State{Visible: true, Armed: &no})
			deaf.Close()
		}
		settled(true)
		for _, p := range pages[:4] {
			p.Close()
		}
		settled(true)
		time.Sleep(heartbeat + 1)
		report()
		pages[4].Close() // long after the others
		settled(true)
		pages[5].Close()
		pages[6].Close()
		settled(false)
		time.Sleep(3 * heartbeat)
		settled(true)
	})
}

// TestSettledAgain: pages that come and go, whoever owns them, excuse missing ones for at most three heartbeats of six.
func TestSettledAgain(t *testing.T) {
	for name, armed := range map[string]*bool{"would be heard": &yes, "blocked": &no, "no alarm": nil} {
		synctest.Test(t, func(t *testing.T) {
			r := presence.New(heartbeat)
			var unsettled, longest time.Duration
			for at := time.Duration(0); at < 10*time.Minute; at += time.Second {
				if at%(20*time.Second) == 0 {
					p := r.Open("", filter(t, ">"))
					p.Report(presence.State{Armed: armed})
					p.Close()
				}
				time.Sleep(time.Second)
				if unsettled += time.Second; r.Settled() {
					unsettled = 0
				}
				longest = max(longest, unsettled)
			}
			if longest > 3*heartbeat {
				t.Errorf("%s: it means nothing for %v", name, longest)
			}
		})
	}
}
