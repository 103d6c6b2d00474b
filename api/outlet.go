package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"tidings/internal/held"
)

const (
	// maxWrite is the most that is written under one deadline.
	maxWrite = 64 << 10

	// stalledAfter is how long a write must have been waiting for its client to count as stalled, and how long a
	// client gets to accept the rest of a response that is cut off.
	stalledAfter = time.Second
)

// errCutOff ends a write that was not finished when its response was cut off.
var errCutOff = errors.New("cut off: the client was not reading")

// outlet times the writing of one response: a piece of maxWrite has the stall timeout, and only stalledAfter once the
// response is cut off or the server drains. A piece that takes longer ends the response: over HTTP/1.1 its
// connection, over HTTP/2 its stream, by a reset. A reset waits behind a frame that is being written; if it is not
// sent within stalledAfter, the client does not read the connection at all, which is then closed.
//
// Over HTTP/2 the deadline is a timer of the outlet: net/http's would also reset a stream that has nothing to write.
// An event stream has the timer over every protocol, also to wait by. Over HTTP/1.1 with TLS the timer closes the
// connection below TLS, because net/http would wait 5 s for TLS's last words. The handler's goroutine writes; the
// other methods may be called concurrently.
type outlet struct {
	s     *Server
	rc    http.ResponseController
	conn  net.Conn // below TLS; nil: not known
	http2 bool
	timed bool // by the timer; otherwise only by the connection's deadline

	bell chan struct{} // of a stream, whose handler waits for nothing else; nil: not a stream

	mu       sync.Mutex
	timer    *time.Timer // created when first needed
	armed    time.Time   // when timer rings; zero: it does not
	until    time.Time   // when to ring bell while nothing is written; zero: never
	ended    error       // why the stream must end, once that is known
	over     bool        // the handler has returned
	reset    bool        // the stream, after the deadline
	began    time.Time   // start of the piece being written; zero while there is none
	deadline time.Time   // of the last piece
	last     time.Time   // nothing is written after it; zero: no limit
	rate     int64       // minimum bytes per second over the whole response; 0: none
	first    time.Time   // when the first piece began
	sent     int64       // bytes of the pieces that have begun
}

// open turns a zero outlet into the outlet of a response; its guard closes it.
func (o *outlet) open(s *Server, w http.ResponseWriter, r *http.Request) {
	o.s, o.rc, o.http2 = s, *http.NewResponseController(w), r.ProtoMajor > 1
	if o.http2 || r.TLS != nil {
		o.conn, _ = r.Context().Value(connKey{}).(net.Conn)
		o.timed = true
	}
	s.outlets.add(o)
}

// close is called before the handler returns, after which the ResponseWriter belongs to somebody else. What is left
// in its buffer, such as the head of a response without a body, has the time of one more piece, or over HTTP/1.1 what
// the last piece has left.
func (o *outlet) close() {
	o.s.outlets.remove(o)
	if o.http2 || o.bell != nil || o.deadline.IsZero() {
		_ = o.begin(0) // what cannot be timed cannot be written either
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.http2 || o.bell != nil {
		_ = o.rc.SetWriteDeadline(o.deadline)
	}
	o.over, o.began = true, time.Time{}
	if o.timer != nil {
		o.timer.Stop()
	}
}

// begin is called before a piece of this many bytes, at most maxWrite, is written.
func (o *outlet) begin(bytes int) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.began = time.Now()
	patience := o.s.o.StallTimeout
	if o.s.draining() {
		patience = min(patience, stalledAfter)
	}
	by := o.began.Add(patience)
	if o.rate > 0 {
		if o.first.IsZero() {
			o.first = o.began
		}
		by = earlier(by, o.first.Add(o.s.o.StallTimeout+
			time.Duration(o.sent/o.rate)*time.Second))
		o.sent += int64(bytes)
	}
	return o.set(earlier(by, o.last))
}

// end is called when what has begun has been written.
func (o *outlet) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.began = time.Time{}
}

// set sets the deadline of the piece that is being written.
func (o *outlet) set(deadline time.Time) error {
	o.deadline = deadline
	if o.timed {
		o.arm(deadline)
	}
	if o.http2 || o.bell != nil {
		return nil
	}
	return o.rc.SetWriteDeadline(deadline)
}

// arm makes the timer ring at this time at the latest. It may ring earlier: expire checks what is due.
func (o *outlet) arm(at time.Time) {
	switch {
	case !o.armed.IsZero() && !at.Before(o.armed):
		return
	case o.timer == nil:
		o.timer = time.AfterFunc(time.Until(at), o.expire)
	default:
		o.timer.Reset(time.Until(at))
	}
	o.armed = at
}

// awaken turns the outlet into a stream's; it is called before ring, wait and cut are, but drain may come in between.
// A stream writes often, so the timer keeps its deadlines over HTTP/1.1, too: the connection's deadline costs more.
func (o *outlet) awaken() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bell, o.timed = make(chan struct{}, 1), true
	if !o.http2 {
		_ = o.rc.SetWriteDeadline(time.Time{}) // a failure shows when writing
	}
}

// ring makes the handler of a stream check what there is to do, now or when it next waits.
func (o *outlet) ring() {
	select {
	case o.bell <- struct{}{}:
	default: // it has not checked since the last ring
	}
}

// wait returns when the bell has rung, or at the given time.
func (o *outlet) wait(until time.Time) {
	o.mu.Lock()
	o.until = until
	o.arm(until)
	o.mu.Unlock()
	<-o.bell
}

// why returns why the stream must end, once it has been cut off.
func (o *outlet) why() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ended
}

// expire is called by the timer.
func (o *outlet) expire() {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	o.armed = time.Time{}
	switch {
	case o.over:
	case o.began.IsZero(): // it has been written meanwhile
		if o.bell != nil && now.Before(o.until) {
			o.arm(o.until)
		} else if o.bell != nil {
			o.ring()
		}
	case now.Before(o.deadline):
		o.arm(o.deadline)
	case o.http2 && !o.reset:
		o.reset = true
		_ = o.rc.SetWriteDeadline(o.began.Add(-1)) // in the past: resets it now
		o.arm(now.Add(stalledAfter))
	case o.conn != nil:
		_ = o.conn.Close()
	case !o.http2:
		_ = o.rc.SetWriteDeadline(o.began.Add(-1))
	}
}

// hurry brings the deadline of a piece that is being written forward.
func (o *outlet) hurry(by time.Time) {
	if !o.over && !o.began.IsZero() && by.Before(o.deadline) {
		_ = o.set(by) // what cannot be timed cannot be written either
	}
}

// patience returns how much longer a piece that is being written may take when the response must end.
func (o *outlet) patience() time.Duration {
	if o.began.IsZero() {
		return stalledAfter
	}
	return max(0, stalledAfter-time.Since(o.began))
}

// drain ends a piece now if it has waited for stalledAfter, otherwise once it has.
func (o *outlet) drain() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hurry(time.Now().Add(o.patience()))
	if o.bell != nil {
		o.ring()
	}
}

// cut implements ender.
func (o *outlet) cut(why error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = why
	o.ring()
	left := stalledAfter
	if o.patience() == 0 {
		left = 0
	}
	o.last = earlier(time.Now().Add(left), o.last)
	o.hurry(o.last)
}

// endBy is called before anything is written: nothing is written after t, unless t is zero.
func (o *outlet) endBy(t time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = t
}

// atLeast is called before anything is written: the response ends if its client, after a first stall timeout, accepts
// less on average.
func (o *outlet) atLeast(bytesPerSecond int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rate = bytesPerSecond
}

// stalled implements ender.
func (o *outlet) stalled() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.began.IsZero() && time.Since(o.began) > stalledAfter
}

// failed is called with the error of a write, and returns what it means: os.ErrDeadlineExceeded when the client
// accepted nothing for the stall timeout, which HTTP/2 does not distinguish from other ends of a stream.
func (o *outlet) failed(err error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Now().Before(o.deadline) {
		return err
	}
	if !o.http2 && o.conn != nil {
		_ = o.conn.Close()
	}
	if o.deadline.Sub(o.began) < o.s.o.StallTimeout {
		return errCutOff
	}
	return fmt.Errorf("%w (%w)", os.ErrDeadlineExceeded, err)
}

// outlets are those of the responses under way. All methods may be called concurrently.
type outlets struct {
	mu  sync.Mutex
	all map[*outlet]struct{}
}

func (s *outlets) add(o *outlet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[o] = struct{}{}
}

func (s *outlets) remove(o *outlet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, o)
}

// now returns the current outlets.
func (s *outlets) now() []*outlet {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.all))
}

// earlier returns the earlier time; zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

type connKey struct{}

// connContext is http.Server.ConnContext: it bounds the memory of a connection, and lets an outlet close it.
func connContext(ctx context.Context, c net.Conn) context.Context {
	if encrypted, ok := c.(*tls.Conn); ok {
		c = encrypted.NetConn()
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = held.BoundUnsent(tcp, sendBuffer) // only a bound on memory
	}
	return context.WithValue(ctx, connKey{}, c)
}
