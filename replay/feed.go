package replay

import (
	"container/list"
	"sort"
	"sync"

	"tidings/store"
)

// Format is a way to write an event on a stream. Formats are compared by address.
type Format struct {
	Name string
	// AppendFrame appends the event's frame to dst.
	AppendFrame func(dst []byte, e *store.Event) []byte
	// DataSize is about the size of the event's data in its frame; nil: its own size.
	DataSize func(e *store.Event) int
}

// frameRoom is about the size of a frame without its data and attributes.
const frameRoom = 96

// size estimates the size of the event's frame.
func (f *Format) size(e *store.Event) int {
	n := e.Size() + frameRoom
	if f.DataSize != nil {
		n += f.DataSize(e) - len(e.Data)
	}
	return n
}

// feed is what all subscriptions with the same filter and format share: the part of the in-memory
// tail that matches, encoded once.
type feed struct {
	key    feedKey
	filter store.Filter
	seen   uint64 // used by matches; guarded by Tail.mu
	dirty  bool   // the tailer's: there is something to wake for

	readers int // doorbells; guarded by Tail.mu

	mu     sync.Mutex
	armed  []*doorbell
	from   store.ID // blocks has every matching event above it, up to Tail.through
	blocks []*block // oldest first

	past past
}

type feedKey struct {
	filter string
	format *Format
}

// block holds consecutive frames, or a single one that it shares with blocks of other feeds. Written bytes
// never change or move, so that readers share them without a copy.
type block struct {
	feed   *feed
	place  *list.Element // in Tail.blocks
	buf    []byte
	frames []frame
	shared *shared // set if buf is shared
}

// frame is the end of a frame in its block.
type frame struct {
	id  store.ID
	end int
}

const (
	minBlock   = 1 << 10
	maxBlock   = 64 << 10
	frameBytes = 24  // memory of a frame besides its bytes
	blockBytes = 200 // memory of a block besides its frames
	minFrame   = 40  // an ID and one byte of data
)

// add appends a frame, and returns the block it made for it, if any.
func (f *feed) add(id store.ID, e *encoded) (made *block) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b *block
	if n := len(f.blocks); n > 0 {
		b = f.blocks[n-1]
	}
	switch {
	case e.shared != nil:
		made = &block{feed: f, buf: e.bytes, shared: e.shared}
	case b == nil || b.shared != nil:
		made = &block{feed: f, buf: make([]byte, 0, max(minBlock, len(e.bytes)))}
	case len(b.buf)+len(e.bytes) > cap(b.buf):
		size := min(2*cap(b.buf), maxBlock)
		made = &block{feed: f, buf: make([]byte, 0, max(size, len(e.bytes)))}
	}
	if made != nil {
		f.blocks, b = append(f.blocks, made), made
	}
	if e.shared == nil {
		b.buf = append(b.buf, e.bytes...)
	}
	b.frames = append(b.frames, frame{id, len(b.buf)})
	return made
}

// hold returns the memory that a new block adds to the tail: its capacity, not its content, and shared
// bytes once. The caller holds Tail.mu.
func (b *block) hold() int64 {
	cost := b.cost()
	if b.shared != nil {
		if b.shared.blocks == 0 {
			cost += int64(len(b.buf))
		}
		b.shared.blocks++
	}
	return cost
}

// release returns the memory that the tail gains by giving up a block. The caller holds Tail.mu.
func (b *block) release() int64 {
	cost := b.cost()
	if b.shared != nil {
		b.shared.blocks--
		if b.shared.blocks == 0 {
			cost += int64(len(b.buf))
		}
	}
	return cost
}

// cost returns the memory of the block alone.
func (b *block) cost() int64 {
	if b.shared != nil {
		return blockBytes + frameBytes
	}
	return blockBytes + int64(cap(b.buf)) + frameBytes*int64(cap(b.buf)/minFrame)
}

// arm has the doorbell rung with the next event. The caller holds mu.
func (f *feed) arm(d *doorbell) {
	if d.place == 0 {
		f.armed = append(f.armed, d)
		d.place = len(f.armed)
	}
}

// disarm undoes arm.
func (f *feed) disarm(d *doorbell) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d.place == 0 {
		return
	}
	last := len(f.armed) - 1
	other := f.armed[last]
	f.armed[d.place-1], other.place = other, d.place
	f.armed[last] = nil
	f.armed, d.place = f.armed[:last], 0
}

// take appends the armed doorbells, which are to be rung. Those with a channel, which are few, stay armed: one ring
// waits in it.
func (f *feed) take(into []*doorbell) []*doorbell {
	f.mu.Lock()
	defer f.mu.Unlock()
	into = append(into, f.armed...)
	stay := f.armed[:0]
	for _, d := range f.armed {
		d.place = 0
		if d.call == nil {
			stay = append(stay, d)
			d.place = len(stay)
		}
	}
	clear(f.armed[len(stay):])
	f.armed = stay
	return into
}

// dropFirst drops the oldest block.
func (f *feed) dropFirst() {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.blocks[0]
	f.from = b.frames[len(b.frames)-1].id
	f.blocks[0] = nil
	f.blocks = f.blocks[1:]
}

// reset drops all blocks: events up to id are in the log alone.
func (f *feed) reset(id store.ID) (dropped []*block) {
	f.mu.Lock()
	defer f.mu.Unlock()
	dropped, f.blocks, f.from = f.blocks, nil, id
	return dropped
}

// after returns the frames of the n events that follow pos, at most maxWrite bytes unless the first
// alone is larger, and the ID of the last. The bytes are shared and must not be changed. If there are none,
// it arms the doorbell. It reports false if the feed does not reach back to pos.
func (f *feed) after(pos store.ID, into [][]byte, d *doorbell) (frames [][]byte, n int, last store.ID, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if pos.Before(f.from) {
		return into, 0, pos, false
	}
	i := len(f.blocks)
	for i > 0 && pos.Before(f.blocks[i-1].frames[len(f.blocks[i-1].frames)-1].id) {
		i--
	}
	room, last := maxWrite, pos
	for _, b := range f.blocks[i:] {
		part, count, id := b.after(pos, room, room == maxWrite)
		if len(part) == 0 {
			break
		}
		into, n, last, room = append(into, part), n+count, id, room-len(part)
		if id != b.frames[len(b.frames)-1].id {
			break
		}
	}
	if n == 0 {
		f.arm(d)
	}
	return into, n, last, true
}

// after returns the n frames above pos that fit into room; with force the first one always does.
func (b *block) after(pos store.ID, room int, force bool) (part []byte, n int, last store.ID) {
	first := b.search(func(f frame) bool { return pos.Before(f.id) })
	start := 0
	if first > 0 {
		start = b.frames[first-1].end
	}
	end := b.search(func(f frame) bool { return f.end-start > room })
	if end <= first {
		if !force || first == len(b.frames) {
			return nil, 0, pos
		}
		end = first + 1
	}
	return b.buf[start:b.frames[end-1].end:b.frames[end-1].end], end - first, b.frames[end-1].id
}

// search returns the index of the first frame for which holds is true; it must be true for all later
// ones.
func (b *block) search(holds func(frame) bool) int {
	return sort.Search(len(b.frames), func(i int) bool { return holds(b.frames[i]) })
}
