package clock_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"tidings/internal/clock"
)

// machine is a machine whose clocks the test moves.
type machine struct {
	wall    time.Time
	elapsed time.Duration
	lines   bytes.Buffer
	*clock.Clock
}

var start = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

func newMachine() *machine {
	m := &machine{wall: start, elapsed: 5 * time.Hour}
	m.Clock = clock.New(clock.Options{
		Wall: func() time.Time { return m.wall }, Elapsed: func() time.Duration { return m.elapsed },
		Logger: slog.New(slog.NewTextHandler(&m.lines, nil)),
	})
	return m
}

// pass advances both clocks, with a look every ten seconds.
func (m *machine) pass(d time.Duration) {
	for ; d > 0; d -= 10 * time.Second {
		m.wall, m.elapsed = m.wall.Add(10*time.Second), m.elapsed+10*time.Second
		m.Doubted()
	}
}

func (m *machine) step(d time.Duration) { m.wall = m.wall.Add(d) }

// expect compares the clock's times with those expected, relative to start, give or take slew.
func (m *machine) expect(t *testing.T, when string, now, past time.Duration) {
	t.Helper()
	const age = time.Hour
	for _, c := range []struct {
		what string
		got  time.Time
		want time.Duration
	}{{"Now", m.Now(), now}, {"Past", m.Past(age).Add(age), past}} {
		if off := c.got.Sub(start.Add(c.want)); off < -3*time.Minute || off > 3*time.Minute {
			t.Errorf("%s: %s is %v after the start, want %v", when, c.what, c.got.Sub(start), c.want)
		}
	}
}

const day = 24 * time.Hour

// TestStepForward: neither a short nor a long step forward makes anything old, a long one does not count for new events
// either, and both count after a day without another, or once somebody confirms them.
func TestStepForward(t *testing.T) {
	for _, end := range []string{"a day", "somebody"} {
		for _, step := range []time.Duration{time.Minute * 50, 31 * day, 3650 * day} {
			m := newMachine()
			m.pass(time.Minute)
			m.step(step)
			now := time.Duration(0)
			if step < time.Hour {
				now = step
			}
			m.expect(t, "at the step", now, 0)
			m.pass(23 * time.Hour)
			m.expect(t, "in the day after it", now+23*time.Hour, 23*time.Hour)
			if got := m.Status().Stepped; got < step-5*time.Minute || got > step {
				t.Errorf("Status says a step of %v, want %v", got, step)
			}
			if end == "a day" {
				m.pass(time.Hour + time.Minute)
			} else {
				m.Trust()
				m.pass(time.Hour + time.Minute)
			}
			m.pass(time.Hour + time.Minute) // events of the meantime are as old as the ages asked for
			m.expect(t, "after "+end, step+25*time.Hour, step+25*time.Hour)
			if s := m.Status(); s.Stepped != 0 || s.Left != 0 {
				t.Errorf("after %s: %+v", end, s)
			}
			if n := strings.Count(m.lines.String(), "jumped forward"); n != 1 {
				t.Errorf("%d lines about one step:\n%s", n, m.lines.String())
			}
		}
	}
}

// TestStepStartsTheHoldAgain: a clock that keeps stepping is not trusted after a day.
func TestStepStartsTheHoldAgain(t *testing.T) {
	m := newMachine()
	m.step(40 * day)
	m.pass(20 * time.Hour)
	m.step(time.Minute)
	m.pass(20 * time.Hour)
	m.expect(t, "20 hours after the last step", 40*time.Hour, 40*time.Hour)
	m.pass(6 * time.Hour)
	m.expect(t, "26 hours after it", 40*day+46*time.Hour, 40*day+46*time.Hour)
}

// TestFastClock: a clock that runs twice as fast never shows a step, and is not trusted either.
func TestFastClock(t *testing.T) {
	m := newMachine()
	m.pass(2 * day)
	for range 6 * 60 * 4 {
		m.step(9 * time.Second)
		m.pass(10 * time.Second)
	}
	m.expect(t, "after 4 hours", 2*day+4*time.Hour, 2*day+4*time.Hour)
	if lines := strings.Count(m.lines.String(), "\n"); lines > 4*60 {
		t.Errorf("%d lines in four hours", lines)
	}
}

// TestStepBack: it is followed at once, and a wrong clock that is corrected is right.
func TestStepBack(t *testing.T) {
	m := newMachine()
	m.step(-3 * time.Hour)
	m.expect(t, "a step back", -3*time.Hour, -3*time.Hour)
	m.pass(time.Hour)
	m.expect(t, "an hour later", -2*time.Hour, -2*time.Hour)

	m = newMachine()
	m.step(365 * day)
	m.pass(time.Hour)
	m.step(-365 * day)
	m.expect(t, "there and back", time.Hour, time.Hour)
	m.pass(2 * day)
	m.expect(t, "two days later", 2*day+time.Hour, 2*day+time.Hour)
}

// TestSpan: events appended while a right step did not count yet are not old at once when it counts, and earlier ones
// are.
func TestSpan(t *testing.T) {
	m := newMachine()
	m.pass(time.Hour)
	m.step(40 * day)
	m.pass(2 * time.Hour) // events of these hours have the times start+1h to start+3h
	m.Trust()
	const age = 30 * day
	if past := m.Past(age).Sub(start); past < 59*time.Minute || past > 61*time.Minute {
		t.Errorf("once the step counts: what is from before %v is old", past)
	}
	m.pass(30*day - time.Hour) // the middle of those hours is 30 days ago
	if past := m.Past(age).Sub(start); past < 110*time.Minute || past > 130*time.Minute {
		t.Errorf("30 days after the middle of these hours: what is from before %v is old", past)
	}
	m.pass(2 * time.Hour)
	if past := m.Past(age).Sub(start); past < 40*day {
		t.Errorf("30 days after them: only what is from before %v is old", past)
	}
}

// TestDoubt: it ends after a day without a step, or when somebody confirms the clock, and not before.
func TestDoubt(t *testing.T) {
	m := newMachine()
	if m.Doubted() {
		t.Error("doubted by itself")
	}
	m.Doubt()
	m.pass(20 * time.Hour)
	m.step(-time.Hour)
	m.pass(20 * time.Hour)
	if !m.Doubted() || m.Status().Left <= 0 {
		t.Errorf("20 hours after a step: %+v", m.Status())
	}
	m.pass(5 * time.Hour)
	if m.Doubted() {
		t.Error("25 hours after a step it is still doubted")
	}
	m.Doubt()
	m.Trust()
	if m.Doubted() {
		t.Error("somebody said that it is right, and it is still doubted")
	}
}

// TestBound: however fast the clock is, new events are at most a second ahead of the clock that bounds it, and nothing
// is older than by that. A slow one makes everything late. Both are logged, once an hour.
func TestBound(t *testing.T) {
	for off, want := range map[time.Duration]struct{ now, past time.Duration }{
		time.Second:  {time.Second, 0}, // within the second
		time.Hour:    {time.Second, 0},
		-time.Hour:   {-time.Hour, -time.Hour},
		1000 * day:   {time.Second, 0},
		-time.Second: {-time.Second, -time.Second},
	} {
		m := newMachine()
		m.wall = m.wall.Add(off)
		m.Clock = clock.New(clock.Options{
			Wall: func() time.Time { return m.wall }, Elapsed: func() time.Duration { return m.elapsed },
			Logger: slog.New(slog.NewTextHandler(&m.lines, nil)),
		})
		m.Bound(func() (earliest, latest time.Time) {
			right := m.wall.Add(-off)
			return right.Add(-time.Millisecond), right
		})
		if now := m.Now().Sub(start); now != want.now {
			t.Errorf("%v off: a new event is %v from the true time, want %v", off, now, want.now)
		}
		if past := m.Past(time.Minute).Add(time.Minute).Sub(start); past != want.past {
			t.Errorf("%v off: ages are %v off, want %v", off, past, want.past)
		}
		for range 3 { // it warns the first time, and after an hour
			if got := m.Off(); (got - off).Abs() > time.Millisecond {
				t.Errorf("%v off: says %v", off, got)
			}
			m.pass(30 * time.Minute)
		}
		warned := strings.Count(m.lines.String(), "differs from that of the cluster")
		if want := map[bool]int{true: 2}[off.Abs() > 2*time.Second]; warned != want {
			t.Errorf("%v off: %d warnings, want %d: %s", off, warned, want, &m.lines)
		}
	}
}
