package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"

	"tidings/replay"
)

// openStream is a stream and everything it holds of the server: a seat, memory, a subscription, a row among the
// subscribers. One goroutine at a time drives it. The last one to drive it closes it.
type openStream struct {
	s      *Server
	owner  ownerHash // of the seat
	memory share     // for what it has read from the log
	sub    *replay.Subscription
	script *script
	row    *subscriber // nil: nothing has been written
}

// openStream acquires what a stream needs before anything is written to it. ring is called when the stream is to take
// its next step: see replay.Tail.SubscribeFunc. The caller has taken the seat, which the stream gives back.
func (s *Server) openStream(c *caller, asked *subscription, ring func()) (*openStream, *problem) {
	o := &openStream{s: s, owner: c.owner, memory: share{budget: s.answers, owner: c.owner}}
	p := o.begin(c, asked, ring)
	if p != nil {
		o.close()
		return nil, p
	}
	return o, nil
}

func (o *openStream) begin(c *caller, asked *subscription, ring func()) (p *problem) {
	var err error
	if o.sub, err = o.s.tail.SubscribeFunc(asked.filter, asked.format, asked.start, ring); err != nil {
		return storeProblem(err)
	}
	o.sub.Bound(o.memory.set)
	at := o.sub.Position()
	first, err := o.sub.Next()
	if err != nil {
		return storeProblem(err)
	}
	if first.Shared && first.Events > 0 {
		// a thousand that return at once wait for their turns without holding it, or there would be no room
		o.sub.Rewind(at)
		first = replay.Chunk{More: true}
	}
	if first.CaughtUp() && o.s.isOver(o.sub) {
		return nil
	}
	if o.script, err = o.s.newScript(o.sub, first, c.grant); err != nil {
		return storeProblem(err)
	}
	return nil
}

// show makes the stream known to administrators and metrics; end ends it on their behalf.
func (o *openStream) show(r *http.Request, asked *subscription, end ender) {
	o.row = o.s.addSubscriber(r, asked, o, end)
}

// close gives everything back.
func (o *openStream) close() {
	if o.row != nil {
		o.row.leave() // first: a stream that has left the list counts nowhere
		o.s.subscribers.byID.Delete(o.row.id)
	}
	if o.sub != nil {
		o.sub.Close()
	}
	o.memory.set(0)
	o.s.seats.free(o.owner)
}

// wrote counts what was written, and records how far the stream has come.
func (o *openStream) wrote(bytes, events int) {
	if events > 0 {
		o.s.metrics.events.Add(float64(events))
	}
	o.row.wrote(bytes, o.sub.Position())
	o.sub.Release() // before the next turn, for which thousands may wait
}

// tell reports why the stream has ended, where somebody may look for it.
func (o *openStream) tell(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// the client accepted nothing for the stall timeout; it resumes from its cursor
		o.s.metrics.stalls.Inc()
		o.s.logSeldom("stall", slog.LevelInfo, "stream ended", "remote", o.row.remote, "error", err)
		return
	}
	if o.s.o.Logger.Enabled(context.Background(), slog.LevelDebug) {
		o.s.o.Logger.Debug("stream ended", "remote", o.row.remote, "error", err)
	}
}
