// Package replay turns a log into streams: cursors that know where to start, what matches and what is
// gone, and subscriptions that pass from the past to the present without a seam.
//
//	tail := replay.NewTail(log, replay.TailOptions{})
//	sub, err := tail.Subscribe(filter, format, replay.After(lastEventID))
//	defer sub.Close()
//	for {
//		chunk, err := sub.Next() // a gap, frames, or nothing: caught up
//		...                      // write it; when there is nothing, wait for sub.Ready()
//	}
//
// There is no live path. A subscription is a cursor over the log that is woken when an event it wants
// was committed. It is registered for the wake-up before it reads for the first time, so nothing falls
// between reading and waiting. The Tail keeps recent frames in memory, encoded once for all who want the
// same. It is a cache of the log and never the truth: a subscription reads from it only while nothing
// above its position has been trimmed and the cache reaches back to it, and otherwise reads the log; what
// it reads is kept for others of its feed that catch up, too (past.go). With TailOptions.Bytes below
// zero there is no cache, and the result is the same.
//
// A Reader is the same for a client that fetches a page of events now and then: a cursor and the
// wake-up, without frames.
//
// Order: every subscription sees its events in log order, once each. A gap is reported before the first
// event after the hole.
package replay

import (
	"container/list"
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"tidings/store"
)

// DefaultTailBytes bounds the in-memory tail over all feeds.
const DefaultTailBytes = 64 << 20

// TailOptions configures NewTail. The zero value means the defaults.
type TailOptions struct {
	Bytes int64 // of frames in memory, over all feeds; 0 means DefaultTailBytes, below 0 none
}

// Tail follows the log and wakes the subscriptions that an event matches, and no others. All methods may
// be called concurrently.
type Tail struct {
	log   Source
	limit int64
	stop  context.CancelCauseFunc
	done  chan struct{}

	mu      sync.Mutex // held before a feed's
	feeds   map[feedKey]*feed
	matches matches
	blocks  list.List // of *block, of all feeds, in the order they were made
	bytes   int64     // in blocks and the past

	past      list.List // of *stretch, of all feeds, in the order they were made
	pastBytes int64

	through atomic.Pointer[store.ID] // every event up to here has been given to its feeds

	// Owned by the tailer goroutine.
	dirty   []*feed
	pending []*doorbell // to ring after the batch
	frames  frames

	wakeups, tailReads, logReads atomic.Uint64
}

// TailStats counts since the Tail was made.
type TailStats struct {
	Feeds     int
	Bytes     int64  // of the in-memory tail
	Wakeups   uint64 // subscriptions woken
	TailReads uint64 // answered from memory
	LogReads  uint64 // answered from the log
}

// NewTail starts following the log. Call Close before the log's.
func NewTail(log Source, o TailOptions) *Tail {
	if o.Bytes == 0 {
		o.Bytes = DefaultTailBytes
	}
	ctx, stop := context.WithCancelCause(context.Background())
	t := &Tail{
		log: log, limit: o.Bytes, stop: stop, done: make(chan struct{}),
		feeds: make(map[feedKey]*feed),
	}
	head := log.Head()
	t.through.Store(&head)
	go t.follow(ctx)
	return t
}

// Close stops following. Subscriptions are no longer woken; they can still read.
func (t *Tail) Close() {
	t.stop(store.ErrClosed)
	<-t.done
}

// Stats returns the counters as of about now.
func (t *Tail) Stats() TailStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return TailStats{Feeds: len(t.feeds), Bytes: t.bytes,
		Wakeups: t.wakeups.Load(), TailReads: t.tailReads.Load(), LogReads: t.logReads.Load()}
}

// followPage is the most events that the tailer reads at once.
const followPage = 1024

// follow is the tailer: it waits for the head to move, reads the new events, and gives them to the feeds.
// An error means that Close was called, or that the log was closed or has failed: then the head no longer
// moves.
func (t *Tail) follow(ctx context.Context) {
	defer close(t.done)
	reader, at := store.Reader(nil), store.ID{}
	for t.log.Wait(ctx, *t.through.Load()) == nil {
		if t.skip() {
			continue
		}
		if through := *t.through.Load(); reader == nil || at != through {
			reader = t.log.NewReader(store.Everything(), through)
		}
		page, err := reader.Next(followPage)
		if err != nil {
			return
		}
		t.give(&page)
		t.frames.reset(nil)
		reader.Release()
		t.wake()
		at = page.Through
	}
}

// skip moves on without reading while there are no feeds.
func (t *Tail) skip() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.feeds) > 0 {
		return false
	}
	head := t.log.Head()
	t.through.Store(&head)
	return true
}

// give adds the events to the feeds that want them, and notes their armed doorbells for wake. It
// encodes first, without the lock.
func (t *Tail) give(page *store.Page) {
	t.frames.reset(page.Events)
	t.want()
	t.frames.encode()
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range page.Events {
		for _, f := range t.matches.of(page.Events[i].Topic) {
			t.giveTo(f, i)
		}
	}
	if !page.Corrupt.IsZero() {
		// The record's topic is not certain: each subscription reads the log and reports the gap.
		for _, f := range t.feeds {
			t.drop(f.reset(page.Through))
			t.markDirty(f)
		}
	}
	through := page.Through
	t.through.Store(&through)
	for _, f := range t.dirty {
		t.pending = f.take(t.pending)
		f.dirty = false
	}
	t.wakeups.Add(uint64(len(t.pending)))
	clear(t.dirty)
	t.dirty = t.dirty[:0]
}

// wakeStep is how many subscriptions are woken before other goroutines have a turn.
const wakeStep = 32

// wake wakes the subscriptions that give noted, a few at a time: a thousand writes at once would be ahead
// of the next publish in the run queue. What is committed meanwhile goes out in the next round.
func (t *Tail) wake() {
	for i, d := range t.pending {
		if i%wakeStep == wakeStep-1 {
			runtime.Gosched()
		}
		d.ring()
	}
	clear(t.pending)
	t.pending = t.pending[:0]
}

// want notes the frames that the feeds want. A feed that is added later may want more.
func (t *Tail) want() {
	if t.limit < 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.frames.events {
		for _, f := range t.matches.of(t.frames.events[i].Topic) {
			if f.key.format != nil {
				t.frames.want(i, f.key.format)
			}
		}
	}
}

func (t *Tail) giveTo(f *feed, i int) {
	t.markDirty(f)
	id := t.frames.events[i].ID
	if t.limit < 0 || f.key.format == nil {
		f.reset(id)
		return
	}
	if b := f.add(id, t.frames.get(i, f.key.format)); b != nil {
		b.place = t.blocks.PushBack(b)
		t.bytes += b.hold()
		t.evict()
	}
}

func (t *Tail) markDirty(f *feed) {
	if !f.dirty {
		f.dirty = true
		t.dirty = append(t.dirty, f)
	}
}

// evict drops the past beyond its share, then the oldest blocks, until the rest is within the limit.
func (t *Tail) evict() {
	for t.bytes > t.limit {
		if t.pastBytes > t.limit/pastShare {
			t.dropPast(t.past.Front().Value.(*stretch))
			continue
		}
		b := t.blocks.Remove(t.blocks.Front()).(*block)
		b.feed.dropFirst()
		t.bytes -= b.release()
	}
}

// drop removes blocks that their feed has given up.
func (t *Tail) drop(blocks []*block) {
	for _, b := range blocks {
		t.blocks.Remove(b.place)
		t.bytes -= b.release()
	}
}
