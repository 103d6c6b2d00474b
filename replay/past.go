package replay

import (
	"slices"
	"sort"
	"sync"
	"time"

	"tidings/store"
)

// past is what the subscriptions of a feed share while they catch up: stretches of the log, each read
// and encoded once for all of them. It is a cache like the rest of the in-memory tail: a subscription
// below a trimmed event reads the log, as does one that has the feed alone. A stretch with a damaged
// record is not kept. So gaps come from the log only.
type past struct {
	mu        sync.Mutex
	stretches []*stretch // in log order; they do not overlap
	making    []*making
}

// stretch has every event that its feed's filter matches, above from and up to through.
type stretch struct {
	block
	from, through store.ID
	reader        store.Reader // positioned at through; nil: none
	bytes         int64        // of the in-memory tail
}

// making is a stretch that a subscription is reading.
type making struct {
	from   store.ID
	reader store.Reader
	done   chan struct{}
	made   *stretch // valid once done is closed; nil: there is none
}

const (
	// pastShare is the past's part of the in-memory tail, one in pastShare, when the live blocks would
	// fill it.
	pastShare = 4

	// slowMaker is how long a subscription waits for another that is reading what it wants, too.
	slowMaker = 250 * time.Millisecond
)

// places returns where a stretch that contains pos may begin, the best first. The log determines these
// places, not the first reader, so that subscriptions whose cursors lie a few events apart share all that
// follows. They are the start of 64 ms, and of 256 IDs that follow each other as those of a batch do. If
// both lie more than a page before pos, the stretch begins at pos.
func places(pos store.ID) [3]store.ID {
	return [...]store.ID{floor(pos, 80+6), floor(pos, 8), pos}
}

// floor returns the ID with its last bits cleared.
func floor(id store.ID, bits int) store.ID {
	at := len(id) - 1 - bits/8
	id[at] &^= 1<<(bits%8) - 1
	clear(id[at+1:])
	return id
}

// fromPast answers from what other subscriptions of the feed have read.
func (s *Subscription) fromPast() (Chunk, bool) {
	if c := s.cursor; c.gap != nil || c.pos.Before(s.tail.log.Trimmed()) {
		return Chunk{}, false
	}
	clear(s.shared)
	given, ok := s.feed.past.after(s.cursor.pos, s.shared[:0])
	if !ok {
		return Chunk{}, false
	}
	return s.hand(given), true
}

// joinPast is fromPast, but reads what is missing and leaves it to the feed.
func (s *Subscription) joinPast() (Chunk, bool) {
	pos := s.cursor.pos
	if s.cursor.gap != nil || !pos.Before(s.tail.log.Head()) || !s.tail.sharesPast(s.feed) {
		return Chunk{}, false
	}
	from := s.tail.join(s.feed, pos)
	if from == nil || pos.Before(s.tail.log.Trimmed()) {
		return Chunk{}, false
	}
	given := handful{frames: s.shared[:0], last: pos, room: maxWrite}
	given.take(from)
	return s.hand(given), true
}

// hand hands out a handful. Until the client has read it, it may be the last reference to the stretches,
// so it counts as the subscription's own memory.
func (s *Subscription) hand(given handful) Chunk {
	s.tail.tailReads.Add(1)
	s.shared = given.frames
	s.page, s.buf = Page{}, nil
	if !s.hold(given.held) {
		return Chunk{NoRoom: true}
	}
	s.cursor.seek(given.last)
	return Chunk{Frames: given.frames, Events: given.n, Shared: true, More: given.n == 0 && s.behind(given.last)}
}

// handful is what stretches have after a position, up to one write.
type handful struct {
	frames [][]byte
	n      int      // events
	last   store.ID // how far it reaches
	room   int      // bytes
	held   int      // memory of the stretches
}

// take adds what follows from the stretch, and reports whether that was all of it.
func (h *handful) take(s *stretch) bool {
	part, n, last := s.block.after(h.last, h.room, h.room == maxWrite)
	if end := len(s.frames); end == 0 || !last.Before(s.frames[end-1].id) {
		last = s.through
	}
	h.held += cap(s.buf)
	if len(part) > 0 {
		h.frames, h.n, h.room = append(h.frames, part), h.n+n, h.room-len(part)
	}
	h.last = last
	return last == s.through
}

// after returns what follows pos, as far as stretches are adjacent. It reports false if none contains
// pos.
func (p *past) after(pos store.ID, into [][]byte) (given handful, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	given = handful{frames: into, last: pos, room: maxWrite}
	for _, s := range p.stretches[p.search(pos):] {
		if given.last.Before(s.from) {
			break
		}
		if ok = true; !given.take(s) {
			break
		}
	}
	return given, ok
}

// search returns the index of the first stretch that reaches beyond pos.
func (p *past) search(pos store.ID) int {
	return sort.Search(len(p.stretches), func(i int) bool {
		return pos.Before(p.stretches[i].through)
	})
}

// covers reports whether the stretch has what follows pos.
func (s *stretch) covers(pos store.ID) bool { return !pos.Before(s.from) && pos.Before(s.through) }

// sharesPast reports whether there are others to share the feed's past with, and memory for it.
func (t *Tail) sharesPast(f *feed) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.limit > 0 && f.readers > 1
}

// join returns the stretch that contains pos; nil if the subscription has to read the log itself.
func (t *Tail) join(f *feed, pos store.ID) *stretch {
	for _, from := range places(pos) {
		from = store.Later(from, t.log.Trimmed())
		if pos.Before(from) {
			return nil
		}
		if s := t.joinFrom(f, from, pos); s == nil || s.covers(pos) {
			return s
		}
	}
	return nil
}

// joinFrom waits for the stretch that begins at from, or between from and pos, or makes it, also in place
// of a slow subscription. It returns nil if no stretch was made.
func (t *Tail) joinFrom(f *feed, from, pos store.ID) *stretch {
	var slow *making
	for {
		s, m, mine := f.past.begin(from, pos, slow)
		switch {
		case s != nil:
			return s
		case mine:
			t.make(f, m)
			return m.made
		case m.wait():
			return m.made
		}
		slow = m
	}
}

func (m *making) wait() bool {
	timer := time.NewTimer(slowMaker)
	defer timer.Stop()
	select {
	case <-m.done:
		return true
	case <-timer.C:
		return false
	}
}

// begin returns the stretch that contains pos, or one being made that begins at from or between from and
// pos, or, if mine, one that the caller has to make. slow no longer counts as being made.
func (p *past) begin(from, pos store.ID, slow *making) (found *stretch, m *making, mine bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.search(pos)
	if i < len(p.stretches) && p.stretches[i].covers(pos) {
		return p.stretches[i], nil, false
	}
	m = &making{from: from, done: make(chan struct{})}
	var before *stretch
	if i > 0 && !p.stretches[i-1].through.Before(from) {
		before = p.stretches[i-1]
		m.from = before.through
	}
	for _, other := range p.making {
		if other != slow && !other.from.Before(m.from) && !pos.Before(other.from) {
			return nil, other, false
		}
	}
	if before != nil {
		m.reader, before.reader = before.reader, nil
	}
	p.forget(slow)
	p.making = append(p.making, m)
	return nil, m, true
}

// forget drops the record that a stretch is being made. The caller holds mu.
func (p *past) forget(m *making) {
	p.making = slices.DeleteFunc(p.making, func(other *making) bool { return other == m })
}

// make reads a stretch and keeps it.
func (t *Tail) make(f *feed, m *making) {
	defer func() {
		f.past.mu.Lock()
		f.past.forget(m)
		f.past.mu.Unlock()
		close(m.done)
	}()
	if m.reader == nil {
		m.reader = t.log.NewReader(f.filter, m.from)
	}
	if m.made = t.read(f, m); m.made != nil {
		t.keep(m.made)
	}
}

// read reads a stretch. It returns nil if only a read of the log can tell what to report.
func (t *Tail) read(f *feed, m *making) *stretch {
	t.logReads.Add(1)
	// a small tail has small stretches of a few events
	most := min(readEvents, max(1, int(t.limit/(2*pastShare)/(frameBytes+frameRoom))))
	page, err := m.reader.Next(most)
	if err != nil || !page.Trimmed.IsZero() || !page.Corrupt.IsZero() ||
		!m.from.Before(page.Through) {
		return nil
	}
	size := 0
	for i := range page.Events {
		size += f.key.format.size(&page.Events[i])
	}
	s := &stretch{from: m.from, through: page.Through, block: block{feed: f,
		buf: make([]byte, 0, size), frames: make([]frame, 0, len(page.Events))}}
	for i := range page.Events {
		s.buf = f.key.format.AppendFrame(s.buf, &page.Events[i])
		s.frames = append(s.frames, frame{page.Events[i].ID, len(s.buf)})
	}
	m.reader.Release()
	if page.Through.Before(t.log.Head()) {
		s.reader = m.reader
	}
	s.bytes = blockBytes + int64(cap(s.buf)) + frameBytes*int64(cap(s.frames))
	return s
}

// keep adds a stretch to its feed, unless the feed has no subscriptions left.
func (t *Tail) keep(s *stretch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.feeds[s.feed.key] != s.feed || !s.feed.past.add(s) {
		return
	}
	s.place = t.past.PushBack(s)
	t.bytes += s.bytes
	t.pastBytes += s.bytes
	t.evict()
}

// add puts the stretch in its place and cuts it where the next one begins. It reports false if its start
// is taken.
func (p *past) add(s *stretch) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.search(s.from)
	if i < len(p.stretches) {
		next := p.stretches[i].from
		if !s.from.Before(next) {
			return false
		}
		if next.Before(s.through) {
			s.through, s.reader = next, nil
			s.frames = s.frames[:s.search(func(f frame) bool { return next.Before(f.id) })]
		}
	}
	p.stretches = slices.Insert(p.stretches, i, s)
	return true
}

// remove removes the stretch.
func (p *past) remove(s *stretch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.search(s.from)
	p.stretches = slices.Delete(p.stretches, i, i+1)
}

// dropPast drops a stretch.
func (t *Tail) dropPast(s *stretch) {
	t.past.Remove(s.place)
	s.feed.past.remove(s)
	t.bytes -= s.bytes
	t.pastBytes -= s.bytes
}
