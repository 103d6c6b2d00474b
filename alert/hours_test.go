package alert_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tidings/alert"
	"tidings/store"
)

var week = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

// TestHours: the first step of an event in the night comes when the hours begin, by local time. They begin at the time
// in want, which is that of the step: its delay is 0.
func TestHours(t *testing.T) {
	cases := []struct {
		name, zone string
		days       []string
		from, to   string
		at, want   string // without the year, and in UTC
	}{
		{"open", "UTC", week, "09:00", "18:00", "03-01T12:00:00", "03-01T12:00:00"},
		{"before", "UTC", week, "09:00", "18:00", "03-01T08:59:59", "03-01T09:00:00"},
		{"at the end", "UTC", week, "09:00", "18:00", "03-01T18:00:00", "03-02T09:00:00"},
		{"over the weekend", "UTC", week[:5], "09:00", "18:00", "03-03T18:30:00", "03-06T09:00:00"},
		{"one day a week", "UTC", week[:1], "09:00", "18:00", "03-06T18:00:00", "03-13T09:00:00"},
		{"past midnight", "UTC", week, "18:00", "02:00", "03-01T01:30:00", "03-01T01:30:00"},
		{"past midnight, of Friday", "UTC", week[4:5], "18:00", "02:00", "03-04T01:59:00", "03-04T01:59:00"},
		{"past midnight, of no Thursday", "UTC", week[4:5], "18:00", "02:00", "03-03T01:59:00", "03-03T18:00:00"},
		{"the whole day", "UTC", week, "00:00", "00:00", "03-01T23:59:59", "03-01T23:59:59"},
		{"leap day", "UTC", []string{"tue"}, "09:00", "18:00", "02-26T20:00:00", "02-29T09:00:00"},
		{"Berlin, clocks go forward", "Europe/Berlin", week, "09:00", "18:00", "03-25T18:00:00", "03-26T07:00:00"},
		{"Berlin, the day before", "Europe/Berlin", week, "09:00", "18:00", "03-25T07:00:00", "03-25T08:00:00"},
		{"Berlin, clocks go back", "Europe/Berlin", week, "09:00", "18:00", "10-28T20:00:00", "10-29T08:00:00"},
		{"at the hour that is not there", "Europe/Berlin", []string{"sun"}, "02:30", "05:00", "03-25T20:00:00",
			"03-26T01:30:00"},
		{"in the hour that is there twice", "Europe/Berlin", []string{"sun"}, "02:00", "03:00", "10-29T01:30:00",
			"10-29T01:30:00"},
		{"Sydney, clocks go forward", "Australia/Sydney", week, "09:00", "17:00", "08-26T10:00:00", "08-26T22:00:00"},
		{"half hours", "Asia/Kolkata", week, "09:00", "18:00", "03-01T00:00:00", "03-01T03:30:00"},
		{"across the date line", "Pacific/Kiritimati", []string{"mon"}, "09:00", "18:00", "03-05T12:00:00",
			"03-05T19:00:00"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			test(t, func(t *testing.T, s *scene) {
				at, want := parse(t, c.at), parse(t, c.want)
				s.rule(func(r *alert.Rule) {
					r.Hours = &alert.Hours{Zone: c.zone, Open: []alert.Window{{Days: c.days, From: c.from, To: c.to}}}
				}, 0)
				time.Sleep(time.Until(at))
				s.publish("orders.eu", "order.created")
				if until := time.Until(want) - time.Second; until > 0 {
					time.Sleep(until)
					s.expectAnswers("")
				}
				time.Sleep(2 * time.Second)
				s.expectStep(want)
			})
		})
	}
}

func parse(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.DateTime, "2000-"+strings.Replace(text, "T", " ", 1))
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// expectStep expects a step as the only answer, within a second of a time.
func (s *scene) expectStep(want time.Time) {
	s.t.Helper()
	f, err := store.NewFilter("$alerts.orders.eu")
	if err != nil {
		s.t.Fatal(err)
	}
	page, err := s.log.NewReader(f, store.ID{}).Next(10)
	if err != nil || len(page.Events) != 1 || page.Events[0].Type != alert.TypeStep {
		s.t.Fatalf("%d answers, %v", len(page.Events), err)
	}
	if late := page.Events[0].Time().Sub(want); late < 0 || late > time.Second {
		s.t.Errorf("the step came %v after %v", late, want)
	}
}

// TestAlways: a rule that says so takes its steps in the night, too; one that does not still rings.
func TestAlways(t *testing.T) {
	for _, always := range []bool{true, false} {
		test(t, func(t *testing.T, s *scene) { // it is Saturday
			s.rule(func(r *alert.Rule) {
				r.Always = always
				r.Hours = &alert.Hours{Zone: "UTC", Open: []alert.Window{{Days: week[:5], From: "09:00", To: "18:00"}}}
			}, time.Minute)
			id := s.publish("orders.eu", "order.created")
			if !s.get(id).Rings {
				t.Error("it does not ring")
			}
			time.Sleep(time.Hour)
			s.kill()
			time.Sleep(time.Hour)
			want := ""
			if always {
				want = "step1@1m0s"
			}
			s.expectAnswers(want)
			time.Sleep(time.Until(epoch.Add(57 * time.Hour))) // Monday, 9:00
			s.kill()
			time.Sleep(59 * time.Second)
			s.expectAnswers(want)
			time.Sleep(2 * time.Second)
			if !always {
				want = "step1@57h1m0s"
			}
			s.expectAnswers(want)
		})
	}
}

// TestRuleRefused: a refusal says what the rule must have.
func TestRuleRefused(t *testing.T) {
	hours := func(zone, from, to string, days ...string) func(*alert.Rule) {
		return func(r *alert.Rule) {
			r.Hours = &alert.Hours{Zone: zone, Open: []alert.Window{{Days: days, From: from, To: to}}}
		}
	}
	cases := []struct {
		field  string
		change func(*alert.Rule)
	}{
		{"topics", func(r *alert.Rule) { r.Topics = nil }},
		{"topics", func(r *alert.Rule) { r.Topics = []string{"a..b"} }},
		{"topics", func(r *alert.Rule) { r.Topics = []string{"$alerts.orders"} }},
		{"types", func(r *alert.Rule) { r.Types = []string{""} }},
		{"min_severity", func(r *alert.Rule) { r.MinSeverity = -1 }},
		{"steps", func(r *alert.Rule) { r.Steps = []alert.Step{{After: -1, Delivery: "chat"}} }},
		{"steps", func(r *alert.Rule) { r.Steps = []alert.Step{{After: 1, Delivery: "chat", Push: true}} }},
		{"steps", func(r *alert.Rule) {
			r.Steps = []alert.Step{{After: 2, Delivery: "a"}, {After: 1,
				Delivery: "b"}}
		}},
		{"steps", func(r *alert.Rule) { r.Steps = []alert.Step{{}} }},
		{"steps", func(r *alert.Rule) { r.Steps = make([]alert.Step, 11) }},
		{"hours", hours("Mars/Olympus", "09:00", "18:00", "mon")},
		{"hours", hours("Local", "09:00", "18:00", "mon")},
		{"hours", hours("UTC", "9:00", "18:00", "mon")},
		{"hours", hours("UTC", "09:00", "24:30", "mon")},
		{"hours", hours("UTC", "09:00", "18:00", "monday")},
		{"hours", hours("UTC", "09:00", "18:00")},
		{"hours", func(r *alert.Rule) { r.Hours = &alert.Hours{Zone: "UTC"} }},
	}
	test(t, func(t *testing.T, s *scene) {
		for _, c := range cases {
			r := alert.Rule{Topics: []string{"orders.>"}}
			c.change(&r)
			_, _, err := s.Put(t.Context(), "orders", r, "", nil)
			var invalid *alert.InvalidError
			if !errors.As(err, &invalid) || invalid.Field != c.field {
				t.Errorf("%+v: %v, want a refusal of %s", r, err, c.field)
			}
		}
		if len(s.Rules()) != 0 {
			t.Error("a rule that was refused is there")
		}
	})
}
