// Package clock keeps a wrong wall clock from doing what cannot be undone: deleting young events, forgetting
// idempotency keys that count, minting IDs far in the future.
//
//	c := clock.New(clock.Options{})
//	log, err := bolt.Open(dir, bolt.Options{Now: c.Now, Past: c.Past})
//
// It compares the wall clock with the time that has really passed. A step back is followed at once: it makes everything
// late, never early. A step forward counts only once somebody confirms it (Trust), or when the clock has run without
// another step for Options.Hold. Until then ages are those from before the step plus the time since. A step of up to an
// hour counts for new events, whose order does not depend on it; after a longer one they too get the earlier time.
//
// If others keep the log too, its clock is bounded by theirs (Bound): no event is minted more than a second ahead of
// that, and nothing counts as old that is not old by it, however fast this clock is. A slow clock makes everything
// late, never early.
//
// At a start nobody can tell whether a clock far ahead of the log is wrong, or the log was idle for long. New events
// have its time. A caller that finds that it would delete too much calls Doubt: then Doubted holds until Trust, or for
// Options.Hold without a step.
package clock

import (
	"log/slog"
	"sync"
	"time"
)

const (
	DefaultHold = 24 * time.Hour

	// stepSize is the difference above which the clock has stepped. Smaller ones are absorbed by slew.
	stepSize = 10 * time.Second

	// slew is the part of the elapsed time by which the wall clock may be fast without having stepped. NTP slews by
	// half of it.
	slew = 1000

	// mintAhead is the longest step that counts for new events at once. If it was wrong, their time stalls for as long.
	mintAhead = time.Hour

	// beyondBound is how far new events may be ahead of the clock that bounds this one.
	beyondBound = time.Second

	// warnOff is the difference between the two above which a warning is logged.
	warnOff = 2 * time.Second

	warnEvery = time.Hour   // about a clock that does not count, or differs from the others'
	warnSteps = time.Minute // about steps
)

// Options configures New. The zero value holds the defaults.
type Options struct {
	Hold    time.Duration        // default DefaultHold
	Wall    func() time.Time     // default time.Now
	Elapsed func() time.Duration // time since some moment, including the machine's sleep
	Logger  *slog.Logger         // default: discard
}

// Clock may be used concurrently.
type Clock struct {
	o Options

	mu      sync.Mutex
	seen    time.Duration // Options.Elapsed at the last look
	base    time.Time     // the clock's time without its steps forward
	ahead   time.Duration // how far the wall clock is ahead of base, at least 0
	mark    time.Duration // ahead at the last step, less what was absorbed since
	stepped time.Duration // Options.Elapsed at the last step, or at New
	behind  time.Time     // base when new events began to have its time; zero while they do not
	spans   []span
	doubted bool
	warned  time.Duration // Options.Elapsed at the last warning
	bound   func() (earliest, latest time.Time)
	off     time.Duration // Options.Elapsed at the last warning about a difference to it; 0: none
}

// span covers events that have the time of before a step that turned out right: they are younger than they look, by the
// step.
type span struct {
	from, to time.Time
	by       time.Duration
}

// Elapsed returns the default of Options.Elapsed: a measure of the time that has really passed.
func Elapsed() func() time.Duration { return newElapsed() }

// New returns a Clock that shows the wall clock's time.
func New(o Options) *Clock {
	if o.Hold == 0 {
		o.Hold = DefaultHold
	}
	if o.Wall == nil {
		o.Wall = time.Now
	}
	if o.Elapsed == nil {
		o.Elapsed = newElapsed()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Clock{o: o}
	c.base, c.seen = c.read()
	c.stepped = c.seen
	return c
}

// Now returns the time for new events.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
	return c.now()
}

func (c *Clock) now() time.Time {
	now := c.base
	if c.ahead <= mintAhead {
		now = now.Add(c.ahead)
	}
	if c.bound != nil {
		_, latest := c.bound()
		now = earliest(now, latest.Add(beyondBound))
	}
	return now
}

// Bound sets a clock that bounds this one from now on; its time is between the two that bound returns. bound is called
// concurrently.
func (c *Clock) Bound(bound func() (earliest, latest time.Time)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bound = bound
}

// Off is how far the wall clock is ahead of the clock that bounds it, at least; negative: behind; 0 without one. It
// logs a warning above two seconds.
func (c *Clock) Off() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bound == nil {
		return 0
	}
	wall, seen := c.read()
	low, high := c.bound()
	off := max(0, wall.Sub(high)) - max(0, low.Sub(wall))
	switch {
	case off.Abs() <= warnOff:
		c.off = 0
	case c.off == 0 || seen-c.off >= warnEvery:
		c.off = seen
		c.o.Logger.Warn("this server's clock differs from that of the cluster that keeps the log; where it is ahead, "+
			"new events get the cluster's time; synchronize both by NTP", "ahead", off.Round(time.Millisecond).String(),
			"clock", wall, "cluster", high)
	}
	return off
}

// Past is the time that lies an age back: an event whose ID has an earlier time is certainly older.
func (c *Clock) Past(age time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
	past := c.base.Add(-age)
	if c.bound != nil {
		_, latest := c.bound()
		past = earliest(past, latest.Add(-age))
	}
	for i := len(c.spans) - 1; i >= 0; i-- {
		if s := &c.spans[i]; s.from.Before(past) && !past.After(s.to.Add(s.by)) {
			past = latest(s.from, earliest(s.to, past.Add(-s.by)))
		}
	}
	return past
}

// Doubt says that by the time at the start, young events may be deleted.
func (c *Clock) Doubt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doubted = true
	c.warned = c.o.Elapsed()
	c.o.Logger.Warn("clock is far ahead of the newest events: nothing is deleted by age until "+
		"you confirm it (tidings trust-clock), or it has run for --trim-hold without "+
		"a step", "clock", c.base, "hold", c.o.Hold.String())
}

// Doubted reports whether nothing may be deleted by age.
func (c *Clock) Doubted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
	return c.doubted
}

// Trust confirms the wall clock as it is now, and returns its time.
func (c *Clock) Trust() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
	c.settle("somebody said so")
	return c.now()
}

// Status describes a Clock.
type Status struct {
	Now     time.Time     // for new events
	Stepped time.Duration // how far the wall clock is ahead of what counts; 0: it counts
	Doubted bool          // nothing is deleted by age
	Left    time.Duration // until the wall clock counts without confirmation; 0: it counts
}

// Status returns the clock's time and state.
func (c *Clock) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
	s := Status{Now: c.now(), Doubted: c.doubted}
	if c.ahead > stepSize {
		s.Stepped = c.ahead
	}
	if s.Doubted || s.Stepped > 0 {
		s.Left = c.stepped + c.o.Hold - c.seen
	}
	return s
}

// look compares the wall clock with what has passed since the last look. The caller holds mu.
func (c *Clock) look() {
	wall, seen := c.read()
	passed := seen - c.seen
	c.seen, c.base = seen, c.base.Add(passed)
	c.ahead = wall.Sub(c.base)
	if step := c.ahead - c.mark; step > stepSize || step < -stepSize {
		c.mark, c.stepped = c.ahead, seen
		c.warnStep(step)
	}
	switch {
	case c.ahead <= 0:
		c.base, c.ahead, c.mark = wall, 0, 0
	case c.ahead <= stepSize:
		caught := min(c.ahead, passed/slew)
		c.base, c.ahead, c.mark = c.base.Add(caught), c.ahead-caught, max(0, c.mark-caught)
	}
	switch {
	case c.ahead <= mintAhead:
		c.behind = time.Time{}
	case c.behind.IsZero():
		c.behind = c.base
	}
	if !c.doubted && c.ahead <= stepSize {
		return
	}
	if seen-c.stepped >= c.o.Hold {
		c.settle("it has run for --trim-hold without a jump")
	} else if seen-c.warned >= warnEvery {
		c.warned = seen
		c.o.Logger.Warn("the clock is not trusted yet: events are deleted late, or not at all by "+
			"age; tidings trust-clock confirms it", "clock", wall, "ahead",
			c.ahead.String(), "counts_in", (c.stepped + c.o.Hold - seen).String())
	}
}

// read returns the wall clock's time, and Options.Elapsed at that moment.
func (c *Clock) read() (wall time.Time, seen time.Duration) {
	for {
		before := c.o.Elapsed()
		wall, seen = c.o.Wall().Round(0), c.o.Elapsed()
		if seen-before < time.Second { // else this process was stopped in between
			return wall, seen
		}
	}
}

// warnStep logs that the clock has stepped, and what follows.
func (c *Clock) warnStep(by time.Duration) {
	if c.warned > 0 && c.seen-c.warned < warnSteps {
		return
	}
	c.warned = c.seen
	if c.ahead <= stepSize {
		c.o.Logger.Warn("clock jumped back", "by", (-by).String())
		return
	}
	c.o.Logger.Warn("clock jumped forward: the jump does not count for deletion by age, "+
		"nor beyond an hour for the time of new events, until you confirm it "+
		"(tidings trust-clock), or it has run for --trim-hold without another", "by", by.String(),
		"hold", c.o.Hold.String())
}

// settle makes the wall clock count as it is. The caller holds mu.
func (c *Clock) settle(why string) {
	if c.doubted || c.ahead > stepSize {
		c.o.Logger.Info("clock trusted", "why", why, "ahead", c.ahead.String())
	}
	if !c.behind.IsZero() {
		c.spans = append(c.spans, span{c.behind, c.base, c.ahead})
	}
	c.base, c.ahead, c.mark = c.base.Add(c.ahead), 0, 0
	c.behind, c.doubted = time.Time{}, false
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
