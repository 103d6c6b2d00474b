package deliver

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"tidings/store"
)

const (
	// rowsAtOnce is how many device rows one commit writes.
	rowsAtOnce = 1000

	// idlePlaces is how often the common position is written while nothing else is.
	idlePlaces = 30 * time.Second
)

// writtenDevices is the row of all devices as last written.
type writtenDevices struct {
	at   store.ID
	when time.Time
}

// batch is a pending write, for those who wait for it.
type batch struct {
	done chan struct{}
	err  error
}

// wait returns once the batch is written. Its error is the log's, or ctx's: then it will still be written.
func (b *batch) wait(ctx context.Context) error {
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// await has all unwritten rows written at once. The caller holds mu.
func (p *Devices) await() *batch {
	if p.batch == nil {
		p.batch = &batch{done: make(chan struct{})}
	}
	if p.ride != nil {
		p.ride()
	}
	p.dirty.ring()
	return p.batch
}

// writeRows writes changes: at once if somebody waits, else once a second at most.
func (p *Devices) writeRows() {
	var last time.Time
	for {
		select {
		case <-p.dirty:
		case <-time.After(idlePlaces):
		case <-p.ctx.Done():
			return
		}
		if !p.pace(last) {
			return
		}
		last = time.Now()
		p.noteTrouble(p.flush(p.ctx, true))
	}
}

// pace waits for the next second, or until somebody waits for unwritten rows. It reports false at the end.
func (p *Devices) pace(last time.Time) bool {
	late := time.NewTimer(time.Until(last.Add(progressEvery)))
	defer late.Stop()
	for {
		p.mu.Lock()
		urgent := p.batch != nil
		p.mu.Unlock()
		if urgent {
			return true
		}
		select {
		case <-late.C:
			return true
		case <-p.dirty:
		case <-p.ctx.Done():
			return false
		}
	}
}

// noteTrouble logs once that rows cannot be written, and has them tried again.
func (p *Devices) noteTrouble(interrupted bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.troubled = false
		return
	}
	p.dirty.ring()
	if !interrupted && !p.troubled {
		p.troubled = true
		p.o.Logger.Warn("cannot write push progress; sending continues, and a restart repeats it", "error", err)
	}
}

// flush writes all changes, riding on the next append if ride is set and nobody waits; whoever starts to wait
// interrupts that. Only one goroutine calls it at a time.
func (p *Devices) flush(ctx context.Context, ride bool) (interrupted bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	p.mu.Lock()
	b, ids, at := p.batch, p.unwritten, p.floor()
	rows := make([]store.NamedDelivery, 0, len(ids)+1)
	for id := range ids {
		if d := p.byID[id]; d != nil {
			rows = append(rows, d.row())
		} else {
			rows = append(rows, store.NamedDelivery{Name: deviceRowName(id)})
		}
	}
	idle := len(rows) == 0 && b == nil
	if idle && (p.sealed == nil || at == p.written.at || time.Since(p.written.when) < idlePlaces) {
		p.mu.Unlock()
		return false, nil
	}
	rows = append(rows, p.row(at)) // after the rows that it passes over
	p.batch, p.unwritten = nil, make(map[deviceID]bool)
	if ride = ride && b == nil; ride {
		p.ride = cancel
	}
	p.mu.Unlock()
	err = p.putRows(ctx, rows, ride)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ride = nil
	if err == nil {
		p.written = writtenDevices{at, time.Now()}
	} else {
		for id := range ids { // some may be written, which is harmless
			p.unwritten[id] = true
		}
	}
	if b != nil {
		b.err = err
		close(b.done)
	}
	return errors.Is(ctx.Err(), context.Canceled), err
}

// putRows writes rows in this order, those that ride a few at a time.
func (p *Devices) putRows(ctx context.Context, rows []store.NamedDelivery, ride bool) (err error) {
	for began := time.Now(); len(rows) > 0 && err == nil; ride = ride && time.Since(began) < ridesWithin {
		n := min(len(rows), rowsAtOnce)
		if ride {
			n = min(n, rideTogether)
		}
		err = p.log.SetDeliveries(ctx, rows[:n], ride)
		rows = rows[n:]
	}
	return err
}

// floor is the position that a restart may read on from. The caller holds mu.
func (p *Devices) floor() store.ID {
	at := p.at
	lower := func(d *device) {
		if d.due != nil && !d.due.kept && d.due.after.Before(at) {
			at = d.due.after
		}
	}
	for _, d := range p.waiting {
		lower(d)
	}
	for _, s := range p.shares {
		for _, d := range s.waiting {
			lower(d)
		}
	}
	for d := range p.flying {
		lower(d)
	}
	return at
}

// row is the row of all devices. The caller holds mu.
func (p *Devices) row(at store.ID) store.NamedDelivery {
	r := devicesRow{recordVersion, p.logID, p.sealed}
	if p.held {
		r.Log = store.ID{}
	}
	text, err := json.Marshal(r)
	if err != nil {
		panic(err) // it has nothing that could fail
	}
	return store.NamedDelivery{Name: rowOfDevices, Delivery: store.Delivery{ID: at, Record: text}}
}
