package alert

import (
	"fmt"
	"time"
)

// Hours are when somebody is on duty, by local time.
type Hours struct {
	Zone string   `json:"zone"` // of the IANA database, such as "Europe/Berlin"
	Open []Window `json:"open"`
}

// Window is a part of some days of the week. It ends on the next day if To is not after From. A bound that falls in the
// hour that a clock change skips is an hour earlier or later.
type Window struct {
	Days []string `json:"days"` // mon, tue, wed, thu, fri, sat, sun
	From string   `json:"from"` // such as "09:00"
	To   string   `json:"to"`   // such as "18:00"
}

var days = map[string]time.Weekday{"mon": time.Monday, "tue": time.Tuesday, "wed": time.Wednesday,
	"thu": time.Thursday, "fri": time.Friday, "sat": time.Saturday, "sun": time.Sunday}

const maxWindows = 50

// hours are Hours that have been checked.
type hours struct {
	zone    *time.Location
	windows [7][]span
}

// span is a Window of one day, in minutes since midnight by local time.
type span struct{ from, to int }

// compile returns an *InvalidError if the hours are malformed.
func (h *Hours) compile() (*hours, error) {
	zone, err := time.LoadLocation(h.Zone)
	if err != nil || h.Zone == "" || h.Zone == "Local" {
		return nil, &InvalidError{"hours", fmt.Sprintf(`expected a "zone" such as "Europe/Berlin", got %.64q`, h.Zone)}
	}
	if len(h.Open) == 0 || len(h.Open) > maxWindows {
		return nil, &InvalidError{"hours", fmt.Sprintf(`expected 1 to %d windows in "open"`, maxWindows)}
	}
	c := &hours{zone: zone}
	for _, w := range h.Open {
		from, okFrom := minutes(w.From)
		to, okTo := minutes(w.To)
		if !okFrom || !okTo || len(w.Days) == 0 {
			return nil, &InvalidError{"hours", `expected a window such as {"days":["mon"],"from":"09:00","to":"18:00"}`}
		}
		if to <= from {
			to += 24 * 60
		}
		if len(w.Days) > len(days) {
			return nil, &InvalidError{"hours", "expected each day of a window once"}
		}
		for _, d := range w.Days {
			day, ok := days[d]
			if !ok {
				return nil, &InvalidError{"hours", fmt.Sprintf("expected mon, tue, wed, thu, fri, sat or sun, got %.16q", d)}
			}
			c.windows[day] = append(c.windows[day], span{from, to})
		}
	}
	return c, nil
}

func minutes(clock string) (int, bool) {
	t, err := time.Parse("15:04", clock)
	return t.Hour()*60 + t.Minute(), err == nil && len(clock) == len("15:04")
}

// each calls f with the windows that begin from..to days after the day of t.
func (h *hours) each(t time.Time, from, to int, f func(begin, end time.Time)) {
	year, month, day := t.In(h.zone).Date()
	for i := from; i <= to; i++ {
		at := func(minute int) time.Time { return time.Date(year, month, day+i, 0, minute, 0, 0, h.zone) }
		for _, s := range h.windows[at(12*60).Weekday()] {
			f(at(s.from), at(s.to))
		}
	}
}

// isOpen reports whether somebody is on duty. On nil it is always true.
func (h *hours) isOpen(t time.Time) (open bool) {
	if h == nil {
		return true
	}
	h.each(t, -1, 0, func(begin, end time.Time) { open = open || !t.Before(begin) && t.Before(end) })
	return open
}

// opensAgain returns when the hours next begin after t, or the zero time if they are always open.
func (h *hours) opensAgain(t time.Time) (next time.Time) {
	if h == nil {
		return next
	}
	h.each(t, 0, 8, func(begin, end time.Time) { // a week, and the day that a clock change may skip
		if begin.After(t) && begin.Before(end) && (next.IsZero() || begin.Before(next)) && !h.isOpen(begin.Add(-1)) {
			next = begin
		}
	})
	return next
}

// opens returns when somebody is next on duty: t itself if somebody is now.
func (h *hours) opens(t time.Time) time.Time {
	if h.isOpen(t) {
		return t
	}
	return h.opensAgain(t)
}
