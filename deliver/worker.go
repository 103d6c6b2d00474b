package deliver

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"tidings/replay"
	"tidings/store"
)

// worker sends for one delivery. It has a goroutine only while there is something to do; those of a spread call send,
// too.
type worker struct {
	s    *Sender
	d    *delivery
	ctx  context.Context // the worker's life
	over func()          // called at its end

	state  atomic.Int32   // resting, busy or roused
	wake   chan struct{}  // receives when roused while busy; nil if the delivery is strict
	timer  *time.Timer    // rouses; nil: none
	reader *replay.Reader // rouses; nil: none
}

const (
	resting int32 = iota
	busy          // in its goroutine
	roused        // the same, and looks again before it rests
)

const (
	// readEvents is how many events are read at once.
	readEvents = 32

	minBackoff = time.Second
	maxBackoff = time.Hour

	// logTrouble is how long a worker waits when the log cannot be read.
	logTrouble = 10 * time.Second
)

// errFailed ends a pass: an attempt has failed, and the time of the next is set.
var errFailed = errors.New("the attempt failed")

// rouse makes the worker look for something to do.
func (w *worker) rouse() {
	if w.state.Swap(roused) == resting {
		go w.run()
		return
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run does what there is to do. Once ctx has ended or nothing more can be sent, the worker is never resting again.
func (w *worker) run() {
	for {
		w.state.Store(busy)
		if w.ends() {
			w.close()
			w.over()
			return
		}
		if w.state.CompareAndSwap(busy, resting) {
			return
		}
	}
}

// ends sends until there is nothing to do for now, or reports that there will be nothing any more. While it waits for a
// next attempt it has no place at a feed, so nothing wakes it but the time.
func (w *worker) ends() bool {
	for w.ctx.Err() == nil {
		w.s.mu.Lock()
		next, ends := w.d.next, w.d.state(w.s.logID) != Running
		w.s.mu.Unlock()
		if ends {
			return true
		}
		if wait := time.Until(next); wait > 0 {
			w.rouseIn(wait)
			return false
		}
		err := w.pass(w.ctx)
		if err == nil {
			return false
		}
		w.close()
		if !errors.Is(err, errFailed) && w.ctx.Err() == nil {
			w.s.o.Logger.Error("delivery cannot read the log", "delivery", w.d.name, "error", err)
			w.rouseIn(logTrouble)
			return false
		}
	}
	return true
}

// rouseIn rouses the worker after a while, instead of any earlier call's.
func (w *worker) rouseIn(wait time.Duration) {
	if w.timer != nil {
		w.timer.Stop()
	}
	w.timer = time.AfterFunc(wait, w.rouse)
}

// open makes sure that the worker has a reader, which rouses it.
func (w *worker) open() (err error) {
	if w.reader != nil {
		return nil
	}
	w.s.mu.Lock()
	filter, at := w.d.record.filter(), w.d.at
	w.s.mu.Unlock()
	w.reader, err = w.s.tail.NewReaderFunc(filter, replay.After(at.String()), w.rouse)
	return err
}

// close gives up what rouses the worker.
func (w *worker) close() {
	if w.reader != nil {
		w.reader.Close()
		w.reader = nil
	}
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
}

// sleep reports whether it was not interrupted.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// pass sends what there is, until something fails. The error is errFailed, ctx's, or the log's; nil: the reader rouses
// the worker when there is more.
func (w *worker) pass(ctx context.Context) error {
	if err := w.tellGap(ctx); err != nil {
		return err
	}
	if err := w.open(); err != nil {
		return err
	}
	w.s.mu.Lock()
	format, strict := w.d.record.Format, w.d.record.order() == Strict
	w.s.mu.Unlock()
	if !strict {
		return w.spread(ctx)
	}
	for {
		page, err := w.reader.Next(w.atOnce())
		if err != nil {
			return err
		}
		if w.foundGap(ctx, &page, nil) {
			if err := w.tellGap(ctx); err != nil {
				return err
			}
		}
		if err := w.sendFold(ctx, &page); err != nil {
			return err
		}
		for i := range page.Events {
			e := &page.Events[i]
			m := eventMessage(e, format)
			err := w.send(ctx, &m, nil, func(d *delivery) { d.passEvent(nil, e.ID) })
			if err != nil {
				return err
			}
			page.Events[i] = store.Event{}
		}
		if page.Gap == nil && len(page.Events) == 0 && !page.Through.Before(w.s.log.Head()) {
			return nil
		}
	}
}

// drop removes from a message the events that are not, or no longer, for the delivery, and reports whether that was
// all.
func (w *worker) drop(m *message) bool {
	wanted := make([]store.Event, 0, len(m.events))
	for i := range m.events {
		if w.s.o.Wants(w.d.name, &m.events[i]) {
			wanted = append(wanted, m.events[i])
		}
	}
	none := len(wanted) == 0 && len(m.events) > 0
	m.events = wanted // it keeps its ID
	return none
}

// foundGap records a gap that was not reported yet, before the first attempt, so that every attempt sends the same. It
// was found in a lane unless l is nil.
func (w *worker) foundGap(ctx context.Context, page *replay.Page, l *lane) bool {
	if page.Gap == nil {
		return false
	}
	gap := &telling{Gap: page.Gap}
	if gap.Reason != replay.Expired {
		gap.Then = page.Through // a page with such a gap has no events
	}
	w.s.mu.Lock()
	before := w.d.record.Told
	if l != nil {
		before, gap.Lane = l.Told, l.key
	}
	told := gap.Reason == replay.Expired && !before.Before(gap.Through)
	if !told {
		w.d.record.Gap = gap
		w.s.change(w.d)
	}
	w.s.mu.Unlock()
	if told {
		return false
	}
	w.s.o.Logger.Warn("events that a delivery has yet to send are gone; reporting the gap to its "+
		"receiver", "delivery", w.d.name,
		"reason", string(gap.Reason), "detail", gap.Detail)
	w.writeNow(ctx)
	return true
}

// tellGap sends the recorded gap, if there is one.
func (w *worker) tellGap(ctx context.Context) error {
	w.s.mu.Lock()
	gap, format := w.d.record.Gap, w.d.record.Format
	w.s.mu.Unlock()
	if gap == nil {
		return nil
	}
	m := ownMessage(gap.id(), "tidings.gap", w.d.name, format, gap.Gap)
	if err := w.send(ctx, &m, nil, (*delivery).passGap); err != nil {
		return err
	}
	w.writeNow(ctx)
	return nil
}

func (t *telling) id() string { return "gap-" + t.Requested + "-" + t.Through.String() }

// passGap moves on after a gap was reported. The caller holds mu, and calls change first.
func (d *delivery) passGap() {
	gap := d.record.Gap
	if gap == nil {
		return
	}
	if l := d.lanes[gap.Lane]; l != nil {
		if gap.Reason == replay.Expired {
			l.Told = store.Later(l.Told, gap.Through)
			d.touch(l)
		} else {
			d.passEvent(l, gap.Then)
		}
	} else if gap.Reason == replay.Expired {
		d.record.Told = store.Later(d.record.Told, gap.Through)
	} else {
		d.at = gap.Then
	}
	d.record.Gap = nil
}

// send makes one attempt with what is wanted of the message, for a lane unless l is nil, and records the outcome: done
// is called with mu held. The error is errFailed, or ctx's.
func (w *worker) send(ctx context.Context, m *message, l *lane, done func(*delivery)) error {
	if w.drop(m) {
		w.s.mu.Lock()
		defer w.s.mu.Unlock()
		w.s.change(w.d)
		done(w.d)
		return ctx.Err()
	}
	to, err := w.s.open(w.d)
	if err != nil {
		w.lock(clean(err.Error()))
		return errFailed
	}
	a := w.s.attempt(ctx, w.d.name, to, *m)
	if ctx.Err() != nil && !a.ok() {
		return ctx.Err() // cut off by this server
	}
	s, d := w.s, w.d
	s.mu.Lock()
	d.locked = ""
	if !a.ok() {
		s.counts.Failed++
		urgent := w.failed(m, a, l)
		s.mu.Unlock()
		if urgent {
			w.writeNow(ctx)
		}
		return errFailed
	}
	s.counts.Sent++
	recovered := d.record.Due
	if l != nil {
		recovered = l.Due
	} else {
		d.record.Due, d.next = nil, time.Time{}
	}
	d.sent = time.Now()
	s.change(d)
	done(d)
	s.mu.Unlock()
	if recovered != nil {
		s.o.Logger.Info("delivery recovered", "delivery", d.name, "attempts", recovered.Attempts+1)
	}
	return nil
}

// lock records that the secrets cannot be opened, and logs it once.
func (w *worker) lock(why string) {
	w.s.mu.Lock()
	said := w.d.locked != ""
	w.d.locked, w.d.next = why, time.Now().Add(lockedEvery)
	w.s.mu.Unlock()
	if !said {
		w.s.o.Logger.Error("delivery cannot open its secrets; it sends nothing until it can", "delivery", w.d.name,
			"error", why, "secrets_key_file", w.s.o.Key.Path())
	}
}

// failed records a failure, and when to retry, if at all. If urgent, it must not be lost. The caller holds mu.
func (w *worker) failed(m *message, a answer, l *lane) (urgent bool) {
	d, r, at, logger := w.d, &w.d.record, now(), w.s.o.Logger
	w.s.change(d)
	last, next := &r.Due, &d.next
	if l != nil {
		last, next = &l.Due, &l.next
		d.touch(l)
	}
	f := due{ID: m.id, First: at} // a copy, never changed in place: keep may have the last one
	if *last != nil && (*last).ID == m.id {
		f = **last
	}
	*last = &f
	f.Attempts, f.Last, f.Failure, f.NotBefore = f.Attempts+1, at, a.failure, time.Time{}
	f.Through = m.through()
	end := f.First.Add(r.GiveUp.Duration)
	switch {
	case a.status == 410:
		r.Stopped, r.Reason = Disabled, a.failure
		logger.Error("delivery disabled: the receiver answered 410 Gone", "delivery", d.name,
			"origin", r.Origin)
		return true
	case !at.Before(end):
		w.giveUp(m, l, &f)
		return true
	}
	wait := backoff(f.Attempts)
	if a.config || refusesEvent[a.status] {
		wait = jitter(maxBackoff)
	}
	if *next = at.Add(wait); next.After(end) {
		*next = end // the last attempt
	}
	if asked := at.Add(a.retryAfter); asked.After(*next) {
		*next, f.NotBefore = asked, asked
		if asked.After(d.next) {
			d.next = asked // the receiver asks this for all requests
		}
	}
	if f.Attempts == 1 {
		logger.Warn("delivery failed, will retry", "delivery", d.name, "origin", r.Origin, "id", m.id,
			"error", a.failure, "next", next.UTC())
	}
	return false
}

// backoff is how long to wait after this many failed attempts: a second at first, then twice as long each time, an hour
// at most.
func backoff(attempts int) time.Duration {
	d := maxBackoff
	if n := attempts - 1; n < 12 {
		d = min(d, minBackoff<<n)
	}
	return jitter(d)
}

// jitter is between d/2 and d, so that messages that failed together are not retried together.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

// writeNow writes the delivery at once. If that fails it is written with the progress.
func (w *worker) writeNow(ctx context.Context) {
	if err := w.s.write(ctx, w.d); err != nil && ctx.Err() == nil {
		w.s.o.Logger.Warn("cannot write the state of a delivery yet", "delivery", w.d.name, "error", err)
	}
}
