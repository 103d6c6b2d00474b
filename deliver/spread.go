package deliver

import (
	"cmp"
	"context"
	"time"

	"tidings/replay"
	"tidings/store"
)

// spread sends for a delivery whose requests may overtake each other, for one pass: until all of it has to wait. Each
// event that it reads opens a lane, or joins its open lane. It belongs to the worker's goroutine.
type spread struct {
	*worker
	format Format
	order  Order
	most   int           // requests at once
	more   bool          // there may be more to read
	page   []store.Event // read, to be sent
	ready  []*lane       // these have an event to send that has not failed

	flying  map[*lane]bool          // have a request under way; the value: whether it is a retry
	retries int                     // how many of those are retries
	retryAt time.Time               // when to look at the first failing lane; zero: none fails
	ahead   map[*lane][]store.Event // events already read for some of those and of ready
	landed  chan *lane
	over    bool // no more requests may be made
}

// spread sends what there is and what comes, until all has to wait or end. The error is errFailed if it has to wait for
// a time, the log's, or ctx's.
func (w *worker) spread(ctx context.Context) error {
	p := &spread{worker: w, more: true, flying: make(map[*lane]bool), ahead: make(map[*lane][]store.Event),
		landed: make(chan *lane)}
	w.s.mu.Lock()
	r := &w.d.record
	p.format, p.order, p.most = r.Format, r.order(), r.inFlight()
	for _, l := range w.d.lanes {
		p.sort(l)
	}
	w.s.mu.Unlock()
	ctx, cut := context.WithCancel(ctx)
	defer cut()
	for err := error(nil); ; p.wait(ctx) {
		if p.halts(ctx) {
			cut()
		}
		if err == nil {
			err = p.fill(ctx)
		}
		p.over = p.over || err != nil
		switch {
		case len(p.flying) > 0:
		case p.over:
			return cmp.Or(err, errFailed)
		case !p.more && len(p.page) == 0 && p.retryAt.IsZero():
			return nil
		}
	}
}

// halts reports whether requests under way must end too, and records when no more may be made.
func (p *spread) halts(ctx context.Context) bool {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	ends := ctx.Err() != nil || p.d.state(p.s.logID) != Running
	p.over = p.over || ends || p.d.next.After(time.Now())
	return ends
}

// sort puts a lane without a request under way where it is found. The caller holds mu.
func (p *spread) sort(l *lane) {
	if l.Due == nil {
		p.ready = append(p.ready, l)
	} else if p.retryAt.IsZero() || l.next.Before(p.retryAt) {
		p.retryAt = l.next
	}
}

// wait waits until there may be more to do.
func (p *spread) wait(ctx context.Context) {
	var wake <-chan struct{}
	var retry <-chan time.Time
	stop := ctx.Done()
	if p.over {
		stop = nil
	} else {
		if !p.more {
			wake = p.wake
		}
		if !p.retryAt.IsZero() && p.mayRetry() {
			timer := time.NewTimer(time.Until(p.retryAt))
			defer timer.Stop()
			retry = timer.C
		}
	}
	select {
	case l := <-p.landed:
		p.land(l)
	case <-wake:
		p.more = true
	case <-retry:
	case <-stop:
	}
}

// land handles a request that has ended.
func (p *spread) land(l *lane) {
	if p.flying[l] {
		p.retries--
	}
	delete(p.flying, l)
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	open := p.d.lanes[l.key] == l
	if open {
		p.sort(l)
	}
	if !open || l.Due != nil || len(p.ready) > p.most {
		delete(p.ahead, l)
	}
}

// mayRetry leaves half of the requests to events that have not failed: a slowly failing receiver does not stop the
// rest.
func (p *spread) mayRetry() bool { return len(p.flying) < p.most && p.retries < max(1, p.most/2) }

// fill makes as many requests as allowed. The error is the log's.
func (p *spread) fill(ctx context.Context) error {
	for !p.over && len(p.flying) < p.most {
		l, e, err := p.pick(ctx)
		if err != nil || e == nil {
			return err
		}
		go func() {
			m := eventMessage(e, p.format)
			_ = p.send(ctx, &m, l, func(d *delivery) { d.passEvent(l, e.ID) })
			p.landed <- l
		}()
	}
	return nil
}

// pick returns the next event to send, and marks its lane; nil if there is none now. The error is the log's.
func (p *spread) pick(ctx context.Context) (l *lane, e *store.Event, err error) {
	for !p.over {
		again := p.due()
		switch {
		case again != nil:
			l = again
		case len(p.ready) > 0:
			l, p.ready = p.ready[0], p.ready[1:]
		default:
			if l, e, err = p.front(ctx); e != nil {
				p.flying[l] = false
			}
			return l, e, err
		}
		if e, err = p.read(ctx, l); e != nil {
			if p.flying[l] = again != nil; again != nil {
				p.retries++
			}
		}
		if e != nil || err != nil {
			return l, e, err
		}
	}
	return nil, nil, nil
}

// due returns the lane that has waited longest for a retry; nil if none is due now.
func (p *spread) due() (found *lane) {
	if p.retryAt.IsZero() || p.retryAt.After(time.Now()) || !p.mayRetry() {
		return nil
	}
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	for _, l := range p.d.lanes {
		if _, flies := p.flying[l]; !flies && l.Due != nil && (found == nil || l.next.Before(found.next)) {
			found = l
		}
	}
	if p.retryAt = (time.Time{}); found == nil {
		return nil
	}
	if p.retryAt = found.next; p.retryAt.After(time.Now()) {
		return nil
	}
	return found
}

// read returns the next event of a lane; nil if there is none, which closes the lane, or a gap before it, which ends
// the pass. The error is the log's.
func (p *spread) read(ctx context.Context, l *lane) (*store.Event, error) {
	if len(p.ahead[l]) == 0 {
		if err := p.readAhead(ctx, l); err != nil {
			return nil, err
		}
	}
	events := p.ahead[l]
	if len(events) == 0 {
		return nil, nil
	}
	p.ahead[l] = events[1:]
	return &events[0], nil
}

func (p *spread) readAhead(ctx context.Context, l *lane) error {
	p.s.mu.Lock()
	topic, after, last := l.Topic, l.After, l.last
	p.s.mu.Unlock()
	filter, err := store.NewFilter(topic)
	if err != nil {
		return err
	}
	reader, err := p.s.tail.NewReader(filter, replay.After(after.String()))
	if err != nil {
		return err
	}
	defer reader.Close()
	for {
		page, err := reader.Next(readEvents)
		if err != nil {
			return err
		}
		if p.over = p.foundGap(ctx, &page, l); p.over {
			return nil
		}
		n := 0
		for n < len(page.Events) && !last.Before(page.Events[n].ID) {
			n++
		}
		if p.ahead[l] = page.Events[:n]; n > 0 {
			return nil
		}
		if len(page.Events) > 0 || !page.Through.Before(last) {
			p.s.mu.Lock()
			p.s.change(p.d)
			p.d.closeLane(l)
			p.s.mu.Unlock()
			return nil
		}
	}
}

// front returns the next event without a lane before it; nil if there is none now. The error is the log's.
func (p *spread) front(ctx context.Context) (*lane, *store.Event, error) {
	for {
		for len(p.page) > 0 {
			e := &p.page[0]
			l, full := p.enter(e)
			if full {
				return nil, nil, nil
			}
			if p.page = p.page[1:]; l != nil {
				return l, e, nil
			}
		}
		if !p.more {
			return nil, nil, nil
		}
		page, err := p.reader.Next(readEvents)
		if err != nil {
			return nil, nil, err
		}
		if p.over = p.foundGap(ctx, &page, nil); p.over {
			return nil, nil, nil
		}
		p.page = page.Events
		p.more = page.Gap != nil || len(page.Events) > 0 || page.Through.Before(p.s.log.Head())
	}
}

// enter moves the position past an event, and returns the lane that this opens; nil if the event joins an open one. It
// does neither if there are too many.
func (p *spread) enter(e *store.Event) (opened *lane, full bool) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	d, key := p.d, e.Topic
	if p.order == Parallel {
		key = e.ID.String()
	}
	l := d.lanes[key]
	if l == nil && len(d.lanes) >= MaxHeldBack {
		return nil, true
	}
	p.s.change(d)
	if l == nil {
		opened = d.putLane(key, lane{Topic: e.Topic, After: d.at, Told: e.ID.Prev()}) // nothing before it is due
		if l = opened; p.order == Parallel {
			l.Only = e.ID
		}
		d.touch(l)
	}
	l.last, d.at = e.ID, e.ID
	return opened, false
}
