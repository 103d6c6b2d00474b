package deliver

import (
	"bytes"
	"container/heap"
	"context"
	"time"

	"tidings/store"
)

const (
	// maxPushes bounds the requests to push services under way.
	maxPushes = 64

	// pushesPerSecond is how many begin per second, after the first maxPushes: publishers must not notice a message to
	// all devices, and 100,000 still get it in less than four minutes.
	pushesPerSecond = 500

	// pushStep is the interval at which they begin.
	pushStep = 20 * time.Millisecond

	// pushPace is the minimum interval between two messages to a device: events in between go together.
	pushPace = 30 * time.Second

	// lookPace is the minimum interval between two looks at the log, so that a burst is handled as one.
	lookPace = 100 * time.Millisecond

	// lookEvents is how many events are read before their audiences are looked up.
	lookEvents = 4096

	// sweepEvery is how often devices whose grant has ended are looked for.
	sweepEvery = time.Hour

	// sweepAtOnce is how many of them are removed before others get a turn.
	sweepAtOnce = 1000
)

// schedule is a heap of devices by due time.
type schedule []*device

func (s schedule) Len() int { return len(s) }

func (s schedule) Less(i, j int) bool {
	if a, b := s[i].due.next, s[j].due.next; !a.Equal(b) {
		return a.Before(b)
	}
	return bytes.Compare(s[i].id[:], s[j].id[:]) < 0 // rows that are written together lie together
}

func (s schedule) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].due.place, s[j].due.place = i, j
}

// Push implements heap.Interface.
func (s *schedule) Push(x any) {
	d := x.(*device)
	d.due.in, d.due.place = s, len(*s)
	*s = append(*s, d)
}

// Pop implements heap.Interface.
func (s *schedule) Pop() any {
	last := len(*s) - 1
	d := (*s)[last]
	(*s)[last], d.due.in = nil, nil
	*s = (*s)[:last]
	return d
}

// add adds a device with something due.
func (s *schedule) add(d *device) { heap.Push(s, d) }

// schedule queues a device that has something due. The caller holds mu.
func (p *Devices) schedule(d *device) {
	if d.due.attempts > 0 {
		p.failing.add(d)
	} else {
		p.waiting.add(d)
	}
}

// clear discards what is due to a device. The caller holds mu.
func (p *Devices) clear(d *device) {
	if d.due != nil && d.due.in != nil {
		heap.Remove(d.due.in, d.due.place)
		for _, s := range p.sharesOf(d) {
			p.refill(s, 1)
		}
		p.dropShares(d)
	}
	d.due = nil
}

// wake makes run look again. The caller holds mu.
func (p *Devices) wake() {
	p.woken = true
	if p.interrupt != nil {
		p.interrupt()
	}
}

// run finds out who wants new events, and has them sent.
func (p *Devices) run() {
	var looked, swept time.Time
	for p.ctx.Err() == nil {
		now, next := time.Now(), time.Time{}
		p.mu.Lock()
		if now.Sub(swept) >= sweepEvery && p.sweep(now) {
			swept = now
		}
		reads := len(p.byID) > 0 && !p.held
		p.mu.Unlock()
		if reads && now.Sub(looked) >= lookPace {
			looked = now
			if err := p.look(); err != nil {
				p.o.Logger.Error("cannot read the log for pushes; they wait until it is readable", "error", err)
				looked = now.Add(logTrouble)
			}
		}
		if reads {
			next = p.dispatch(now)
		}
		if wait := looked.Add(lookPace); reads && now.Before(wait) && p.behind() {
			reads, next = false, earlier(next, wait)
		}
		p.sleep(earlier(next, swept.Add(sweepEvery)), reads)
	}
}

// behind reports whether the log has something to look at.
func (p *Devices) behind() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at.Before(p.log.Head())
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// sleep returns at a time, or earlier when woken or, if it listens, when the log has more.
func (p *Devices) sleep(until time.Time, listens bool) {
	ctx, cancel := context.WithDeadline(p.ctx, until)
	defer cancel()
	p.mu.Lock()
	at, woken := p.at, p.woken
	p.woken, p.interrupt = false, cancel
	p.mu.Unlock()
	if !woken && (!listens || p.log.Wait(ctx, at) != nil) {
		<-ctx.Done() // a log that is closed or has failed has nothing new
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.interrupt = nil
}

// sweep removes devices whose grant and grace are over, and reports whether it got all. The caller holds mu.
func (p *Devices) sweep(now time.Time) (done bool) {
	swept := 0
	for _, d := range p.byID {
		if d.ended(now, p.o.Grace) {
			if swept++; swept > sweepAtOnce {
				return false
			}
			p.counts.Expired++
			p.take(d)
			p.note(d)
		}
	}
	return true
}

// look reads on in the log, and records who wants what it finds. The error is the log's.
func (p *Devices) look() error {
	p.mu.Lock()
	from := p.at
	p.mu.Unlock()
	reader := p.log.NewReader(store.Everything(), from)
	newest := make(map[string]store.ID)  // by topic
	ringing := make(map[string]store.ID) // the newest of these that ring
	for seen, through := 0, from; ; {
		page, err := reader.Next(readEvents * 8)
		if err != nil {
			return err
		}
		for i := range page.Events {
			e := &page.Events[i]
			newest[e.Topic] = e.ID
			if rings(e) {
				ringing[topicOf(e)] = e.ID
			}
		}
		seen += len(page.Events)
		idle := page.Through == through
		through = page.Through
		reader.Release()
		if caughtUp := !through.Before(p.log.Head()); caughtUp || idle || seen >= lookEvents {
			p.want(newest, ringing, from, through)
			if caughtUp || idle {
				return nil
			}
			clear(newest)
			clear(ringing)
			seen, from = 0, through
		}
	}
}

// want records that the devices that want these topics have something due, after one position and up to another, some
// of it at once.
func (p *Devices) want(newest, ringing map[string]store.ID, from, through store.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for a, id := range p.wanted.find(ringing) {
		for _, d := range a.Values {
			p.ring(d, id, from, now)
		}
	}
	for _, id := range ringing {
		p.rung = store.Later(p.rung, id)
	}
	for a, id := range p.wanted.find(newest) {
		for _, d := range a.Values {
			switch {
			case !d.at.Before(id):
			case d.due != nil:
				d.due.newest = store.Later(d.due.newest, id)
			default:
				d.due = &dueDevice{after: store.Later(d.at, from), newest: id, next: now}
				if pause := time.UnixMilli(d.sent).Add(pushPace); d.sent != 0 && pause.After(now) {
					d.due.next = pause
				}
				p.schedule(d)
			}
		}
	}
	p.at = store.Later(p.at, through)
}

// dispatch begins to send what is due as far as there is room, and returns when more will be due.
func (p *Devices) dispatch(now time.Time) (next time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	both := [...]*schedule{&p.failing, &p.waiting}
	for _, s := range both {
		for p.hasRoom(s) && !now.Before((*s)[0].due.next) {
			if p.rate.TokensAt(now) < 1 {
				return now.Add(pushStep)
			}
			if d := heap.Pop(s).(*device); p.takesShares(d) {
				p.rate.AllowN(now, 1)
				p.begin(d)
			}
		}
	}
	for _, s := range both {
		if p.hasRoom(s) {
			next = earlier(next, (*s)[0].due.next)
		}
	}
	return next
}

// hasRoom reports whether the first device of a schedule may be sent to, once due. The caller holds mu.
func (p *Devices) hasRoom(s *schedule) bool {
	return len(*s) > 0 && len(p.flying) < maxPushes && (s != &p.failing || p.retrying < maxPushes/2)
}

// begin sends what is due to a device. The caller holds mu.
func (p *Devices) begin(d *device) {
	due, retry := d.due, d.due.attempts > 0
	if retry {
		p.retrying++
	}
	p.flying[d] = true
	p.over.Go(func() {
		o := p.push(d)
		p.mu.Lock()
		defer p.mu.Unlock()
		if retry {
			p.retrying--
		}
		p.giveShares(d, o)
		same, ended := d.due == due, p.ctx.Err() != nil // a removed device has nothing due
		if !same || !ended {
			delete(p.flying, d) // else it is still due: Close must not write a position past it
		}
		if same && !ended {
			p.finish(d, o)
		} else if o.kind == pushSent {
			p.counts.Sent++
		}
		p.wake()
	})
}
