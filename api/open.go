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
//
// What each turn needs lies together and comes first, here and in held.Conn and replay.Subscription: a commit gives
// thousands of streams a turn, and no cache holds their memory by then.
type openStream struct {
	script   script
	s        *Server
	progress progress
	sub      *replay.Subscription
	row      *subscriber // nil: nothing has been written
	owner    ownerHash   // of the seat
	memory   share       // for what it has read from the log
}

// open acquires what a stream needs before anything is written to it; the stream must not be copied from then on. It
// reports whether nothing can ever arrive on it: then it has no script. ring is called when the stream is to take its
// next step: see replay.Tail.SubscribeFunc. The caller has taken the seat, which the stream gives back.
func (o *openStream) open(s *Server, c *caller, asked *subscription, ring func()) (over bool, p *problem) {
	o.s, o.owner, o.memory = s, c.owner, share{budget: s.answers, owner: c.owner}
	if over, p = o.begin(c, asked, ring); p != nil {
		o.close()
	}
	return over, p
}

func (o *openStream) begin(c *caller, asked *subscription, ring func()) (over bool, p *problem) {
	var err error
	if o.sub, err = o.s.tail.SubscribeFunc(asked.filter, asked.format, asked.start, ring); err != nil {
		return false, storeProblem(err)
	}
	o.sub.Bound(o.memory.set)
	at := o.sub.Position()
	first, err := o.sub.Next()
	if err != nil {
		return false, storeProblem(err)
	}
	if first.Shared && first.Events > 0 {
		// a thousand that return at once wait for their turns without holding it, or there would be no room
		o.sub.Rewind(at)
		first = replay.Chunk{More: true}
	}
	if first.CaughtUp() && o.s.isOver(o.sub) {
		return true, nil
	}
	if o.script, err = o.s.newScript(o.sub, first, c.grant); err != nil {
		return false, storeProblem(err)
	}
	return false, nil
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
	o.progress.wrote(bytes, o.sub.Position())
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
