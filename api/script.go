package api

import (
	"errors"
	"sync/atomic"
	"time"

	"tidings/internal/sse"
	"tidings/replay"
	"tidings/store"
)

// errTopicsEnded ends a stream on which nothing can ever arrive again.
var errTopicsEnded = errors.New("all topics of the stream have ended")

// script decides what comes next on one stream, in the order of DESIGN §4: retry, perhaps a gap, open; gaps and
// events; live, once there are no more; heartbeats; the end. It never waits for a client, a timer or an event: its
// driver does, such as follow. Its steps depend only on its subscription and the arguments of next. It belongs to one
// goroutine at a time.
type script struct {
	begun    bool      // open was a step
	pending  bool      // chunk has a step left
	readsLog bool      // the next step reads the log
	live     bool      // live was a step
	wrote    bool      // the last step had frames
	beat     time.Time // when the next heartbeat is due
	sub      *replay.Subscription
	scriptOptions
	chunk replay.Chunk // the last that sub returned, without its gap once that was a step
}

// scriptOptions are what a script needs besides its subscription.
type scriptOptions struct {
	heartbeat  time.Duration
	limit      time.Time // when the stream ends; zero: never
	why        bye       // the reason it ends with then
	beats      *beats
	retry      int      // milliseconds before the client reconnects
	log        store.ID // identity of the log
	who        string   // see Server.who
	subscriber string   // the ID of the row in GET /v1/subscribers
	// isOver reports whether nothing can follow the subscription's position. It does not read the log.
	isOver func(*replay.Subscription) bool
}

// step is what a driver does next: write the frames, then end, wait, or take the next step.
type step struct {
	// frames are to be written one after the other. They are about 64 KiB at most, unless a single frame is larger; a
	// driver cuts that into writes of 64 KiB. The bytes are shared with other streams and never change. They and the
	// slice are valid until the next step is taken.
	frames [][]byte
	events int         // number of events in frames
	gap    *replay.Gap // in frames, if any

	// end is why the stream ends once frames are written; nil while it continues. If it is a bye, the bye is in
	// frames.
	end error

	// until is when to take the next step, unless the subscription is ready or there is a reason to end the stream
	// before. Zero means at once; only a step without frames waits.
	until time.Time

	// readsLog means that the next step reads a page of the log, unless the stream ends instead. All other steps are
	// served from memory.
	readsLog bool
}

// round returns what goes out in one write, appended to frames, and its last step: for example a head with the events
// or the live that follow it; with apart it is a single step. now and cut are as for next.
func (c *script) round(now time.Time, cut error, m *metrics, apart bool,
	frames [][]byte) ([][]byte, step) {
	for {
		st := c.next(now, cut)
		m.step(&st)
		frames = append(frames, st.frames...)
		if apart || st.events > 0 || st.end != nil || st.readsLog || !st.until.IsZero() {
			return frames, st
		}
	}
}

// written is called when the frames of a round that ends with a waiting step have been written. It returns until when
// that step waits.
func (c *script) written(now time.Time) (until time.Time) {
	c.beat = now.Add(c.heartbeat)
	return c.waitUntil()
}

// rewind makes the script continue after an event of the last step, as if it had never taken what follows.
func (c *script) rewind(id store.ID) {
	c.sub.Rewind(id)
	c.chunk, c.pending, c.readsLog = replay.Chunk{}, false, false
}

// newScript returns the script of a subscription that has just returned its first chunk.
func newScript(sub *replay.Subscription, first replay.Chunk, o scriptOptions) script {
	return script{scriptOptions: o, sub: sub, chunk: first, pending: true}
}

// refusal returns the script of a stream that there is no room for. It has no subscription, and its first step must
// end it: retry and bye are then the whole response.
func refusal(retry int) *script { return &script{scriptOptions: scriptOptions{retry: retry}} }

// next returns the next step. now is when the last step's frames had been written; it never goes back. cut is why the
// stream must end, where the script cannot know it: a bye, or any other error if there is nobody left to tell; else
// nil.
func (c *script) next(now time.Time, cut error) step {
	if c.wrote {
		c.beat = now.Add(c.heartbeat)
	}
	if cut == nil && !c.limit.IsZero() && !now.Before(c.limit) {
		cut = c.why
	}
	var st step
	switch {
	case c.chunk.NoRoom:
		st = c.finish(byeOverloaded) // like a stream without a seat
	case !c.begun && c.sub != nil: // in any case: it gives the client a cursor
		st = c.begin()
	case cut != nil: // before anything is read: nothing is sent after the token's end
		st = c.finish(cut)
	case c.pending:
		st = c.play(now)
	default:
		st = c.read(now)
	}
	c.wrote = len(st.frames) > 0
	return st
}

// begin returns the head of the stream.
func (c *script) begin() step {
	c.begun = true
	gap := c.chunk.Gap
	c.chunk.Gap = nil
	head := sse.AppendRetry(nil, c.retry)
	if gap != nil {
		head = appendGap(head, gap)
	}
	head = appendOpen(head, c.sub.OpenID(), c.sub.Resumed(), &c.scriptOptions)
	return step{frames: [][]byte{head}, gap: gap}
}

// read takes the next chunk from memory. When memory cannot tell, it announces that it will read the log, and does so
// at the next call.
func (c *script) read(now time.Time) step {
	var ok bool
	if c.readsLog {
		var err error
		if c.chunk, err = c.sub.Next(); err != nil {
			return step{end: err}
		}
	} else if c.chunk, ok = c.sub.TryNext(); !ok {
		c.readsLog = true
		return step{readsLog: true}
	}
	c.readsLog, c.pending = false, true
	if c.chunk.NoRoom {
		return c.finish(byeOverloaded) // its client has the cursor from before the chunk
	}
	return c.play(now)
}

// play returns one step of the chunk.
func (c *script) play(now time.Time) step {
	chunk := c.chunk
	switch {
	case chunk.Gap != nil:
		c.chunk.Gap = nil
		return step{frames: [][]byte{appendGap(nil, chunk.Gap)}, gap: chunk.Gap}
	case len(chunk.Frames) > 0:
		c.pending = false
		return step{frames: chunk.Frames, events: chunk.Events}
	case !chunk.More && !c.live:
		c.live, c.pending = true, false // looks once more: it may have been woken since the chunk was read
		return step{frames: [][]byte{appendLive(nil, c.sub.Position())}}
	case !chunk.More && c.isOver(c.sub):
		return step{frames: c.checkpoint(), end: errTopicsEnded} // its client reconnects and gets a 204
	case !now.Before(c.beat):
		return step{frames: c.checkpoint()}
	case chunk.More:
		c.pending = false
		return c.read(now)
	default:
		c.pending = false
		return step{until: c.waitUntil()}
	}
}

// checkpoint is a heartbeat. Nothing is pending when it is due: its client may resume after it, however old the last
// event is.
func (c *script) checkpoint() [][]byte {
	return c.beats.at(c.sub.Position())
}

// beats has the newest heartbeat, which streams that have caught up share.
type beats struct{ newest atomic.Pointer[beat] }

type beat struct {
	through store.ID
	frames  [][]byte
}

func (b *beats) at(through store.ID) [][]byte {
	newest := b.newest.Load()
	if newest == nil || newest.through != through {
		newest = &beat{through, [][]byte{appendHeartbeat(nil, through)}}
		b.newest.Store(newest)
	}
	return newest.frames
}

// waitUntil returns when there is something to do even if nothing is committed.
func (c *script) waitUntil() time.Time {
	if !c.limit.IsZero() && c.limit.Before(c.beat) {
		return c.limit
	}
	return c.beat
}

// finish ends the stream, with a bye if its client is still connected.
func (c *script) finish(cut error) step {
	var why bye
	if !errors.As(cut, &why) {
		return step{end: cut}
	}
	var last []byte
	if !c.begun {
		last = sse.AppendRetry(last, c.retry)
	}
	return step{frames: [][]byte{appendBye(last, why)}, end: why}
}
