package deliver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"tidings/internal/outbound"
	"tidings/store"
)

// checkEndpoint checks the URL that a push service wants requests at.
func (p *Devices) checkEndpoint(text string) (*url.URL, error) {
	u, err := p.o.Guard.CheckURL(text)
	if errors.Is(err, outbound.ErrURL) {
		return nil, &InvalidError{"subscription", "expected an endpoint such as https://push.example.com/send/…"}
	}
	return u, err
}

// Register makes a device of a browser, durably, or renews its device. Whoever has the endpoint has the browser: a
// device of another owner changes hands. Errors: *InvalidError, an outbound.Refused, ErrDeviceLimit, those of seal and
// of the log.
func (p *Devices) Register(ctx context.Context, r Registration) (shown Device, made bool, err error) {
	r.Language, r.Urgency = cmp.Or(r.Language, "en"), cmp.Or(r.Urgency, defaultUrgency)
	a, service, err := p.check(&r)
	if err != nil {
		return Device{}, false, err
	}
	if _, err := p.vapid(ctx); err != nil { // so that no second secrets key is made
		return Device{}, false, err
	}
	id := deviceIDOf(p.secret, a.endpoint)
	sealed, err := p.o.Key.Seal(a.bytes(), devicePurpose(id))
	if err != nil {
		return Device{}, false, err
	}
	now := time.Now().UnixMilli()
	d := &device{id: id, owner: r.Owner, topics: r.Topics.String(), mark: r.Mark, name: r.Name, language: r.Language,
		urgency: r.Urgency, service: service, sealed: sealed, made: now, renewed: now}
	if !r.Expires.IsZero() {
		d.expires = r.Expires.UnixMilli()
	}
	p.mu.Lock()
	d, made, err = p.put(d)
	if err != nil {
		p.mu.Unlock()
		return Device{}, false, err
	}
	shown = d.describe(time.Now(), p.held)
	written := p.await()
	p.mu.Unlock()
	return shown, made, written.wait(ctx)
}

// put replaces the device that a browser was with the one now registered, or renews it if owner and topics are the
// same: what is due to it then stays, whether it waits, is being sent, or has failed. The caller holds mu.
func (p *Devices) put(d *device) (kept *device, made bool, err error) {
	old, head := p.byID[d.id], p.log.Head()
	made = old == nil || old.owner != d.owner
	switch {
	case made && len(p.byOwner[d.owner]) >= p.o.PerOwner:
		return nil, false, fmt.Errorf("%w: %d per subject; delete one that is no longer "+
			"used", ErrDeviceLimit, p.o.PerOwner)
	case old == nil && len(p.byID) >= MaxDevices:
		return nil, false, fmt.Errorf("%w: %d in all", ErrDeviceLimit, MaxDevices)
	}
	if !made && old.topics == d.topics {
		old.renew(d)
		p.note(old)
		return old, false, nil
	}
	if len(p.byID) == 0 {
		p.at = store.Later(p.at, head) // nobody has moved it
	}
	d.at = head
	if old != nil {
		p.take(old)
	}
	p.insert(d)
	p.note(d)
	p.wake()
	return d, made, nil
}

// note schedules a device's row to be written as it is by then, or deleted if the device is gone. The caller holds mu.
func (p *Devices) note(d *device) {
	p.unwritten[d.id] = true
	p.dirty.ring()
}

// List returns an owner's devices after an ID, sorted by ID, at most max.
func (p *Devices) List(owner, after string, max int) []Device {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.describe(p.byOwner[owner], after, max)
}

// ListAll returns the devices of all matching owners, in the same way.
func (p *Devices) ListAll(suits func(owner string) bool, after string, max int) []Device {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.describe(p.of(suits), after, max)
}

// of returns the devices of matching owners. The caller holds mu.
func (p *Devices) of(suits func(owner string) bool) (all []*device) {
	for owner, mine := range p.byOwner {
		if suits(owner) {
			all = append(all, mine...)
		}
	}
	return all
}

// describe sorts and describes devices. The caller holds mu.
func (p *Devices) describe(all []*device, after string, max int) (list []Device) {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b *device) int { return strings.Compare(a.id.String(), b.id.String()) })
	now := time.Now()
	for _, d := range all {
		if len(list) < max && d.id.String() > after {
			list = append(list, d.describe(now, p.held))
		}
	}
	return list
}

// Remove removes a device, durably, if its owner matches. Errors: ErrNoDevice, and those of the log.
func (p *Devices) Remove(ctx context.Context, id string, suits func(owner string) bool) error {
	key, ok := parseDeviceID(id)
	p.mu.Lock()
	d := p.byID[key]
	if !ok || d == nil || !suits(d.owner) {
		p.mu.Unlock()
		return ErrNoDevice
	}
	written := p.forget(d)
	p.mu.Unlock()
	return written.wait(ctx)
}

// RemoveAll removes all devices of matching owners, durably, and returns how many. Errors: those of the log.
func (p *Devices) RemoveAll(ctx context.Context, suits func(owner string) bool) (removed int, err error) {
	p.mu.Lock()
	all := p.of(suits)
	var written *batch
	for _, d := range all {
		written = p.forget(d)
	}
	p.mu.Unlock()
	if written == nil {
		return 0, nil
	}
	return len(all), written.wait(ctx)
}

// forget removes a device. The caller holds mu.
func (p *Devices) forget(d *device) *batch {
	p.take(d)
	p.note(d)
	return p.await()
}

// Resume lets devices be pushed to from a restored log, starting with events from now on, and reports whether they were
// held. Errors: those of the log.
func (p *Devices) Resume(ctx context.Context) (bool, error) {
	p.mu.Lock()
	if !p.held {
		p.mu.Unlock()
		return false, nil
	}
	p.held, p.at = false, p.log.Head()
	for _, d := range p.byID {
		if d.due != nil {
			p.note(d)
		}
		p.clear(d)
		d.at = store.Later(d.at, p.at)
	}
	written := p.await()
	p.wake()
	p.mu.Unlock()
	return true, written.wait(ctx)
}
