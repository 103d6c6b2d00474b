package deliver

import (
	"container/heap"
	"strings"
	"time"
)

const (
	// serviceShare is how many of maxPushes one push service may have under way, so that it slows no other.
	serviceShare = maxPushes / 2

	// strangerShare is the same for one that has not answered yet, or did not the last time.
	strangerShare = 4

	// ownerShare is how many one owner may have under way, whatever the services.
	ownerShare = 4

	// answersWithin is how soon a push service that does not hang answers.
	answersWithin = 5 * time.Second
)

// share is the part of the requests under way that a push service or an owner has. It exists while there are any, or
// devices that wait for them.
type share struct {
	flying  int
	most    int
	waiting schedule // devices that are due but would exceed most
}

// sharesOf returns the shares that a request to a device counts in. The caller holds mu.
func (p *Devices) sharesOf(d *device) (list [2]*share) {
	keys := d.shares()
	for i, most := range [...]int{ownerShare, strangerShare} {
		if list[i] = p.shares[keys[i]]; list[i] == nil {
			list[i] = &share{most: most}
			p.shares[keys[i]] = list[i]
		}
	}
	return list
}

// shares are the names of its shares: its owner, and the host of its push service.
func (d *device) shares() [2]string {
	_, host, _ := strings.Cut(d.service, "//")
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host = host[:i]
	}
	return [2]string{"owner " + d.owner, "host " + host}
}

// takesShares counts a request to a device that is in no schedule. It reports false if that would be one too many: then
// the device waits until one has ended. The caller holds mu.
func (p *Devices) takesShares(d *device) bool {
	list := p.sharesOf(d)
	for i, s := range list {
		if s.flying >= s.most {
			s.waiting.add(d)
			p.refill(list[1-i], 1) // this one may have been competing there, and has not begun
			p.dropShares(d)
			return false
		}
	}
	for _, s := range list {
		s.flying++
	}
	return true
}

// giveShares records that a request to a device has ended. The caller holds mu.
func (p *Devices) giveShares(d *device, o outcome) {
	list := p.sharesOf(d)
	switch service := list[1]; {
	case o.prompt:
		service.most = serviceShare
	case o.asked:
		service.most = strangerShare
	}
	for _, s := range list {
		s.flying--
		p.refill(s, s.most)
	}
	p.dropShares(d)
}

// refill lets up to n devices that wait for a share compete again, as far as they may begin. Each of them begins, or
// else lets another one compete: so none waits while no request is under way. The caller holds mu.
func (p *Devices) refill(s *share, n int) {
	for n = min(n, s.most-s.flying); n > 0 && len(s.waiting) > 0; n-- {
		p.schedule(heap.Pop(&s.waiting).(*device))
	}
}

// dropShares drops those shares of a device that are empty. The caller holds mu.
func (p *Devices) dropShares(d *device) {
	for _, key := range d.shares() {
		if s := p.shares[key]; s != nil && s.flying == 0 && len(s.waiting) == 0 {
			delete(p.shares, key)
		}
	}
}
