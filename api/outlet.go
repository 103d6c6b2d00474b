package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

const (
	// maxWrite is the most that is written under one deadline.
	maxWrite = 64 << 10

	// stalledAfter is how long a write must have been waiting for its client to count as stalled,
	// and what a client gets to take the rest of an answer that is cut off.
	stalledAfter = time.Second
)

// errCutOff ends a write that did not come to its end before its answer was cut off.
var errCutOff = errors.New("cut off while the client took nothing")

// outlet times what is written of one answer: a piece of maxWrite has the stall time-out, and only
// stalledAfter once the answer is cut off or the server drains. A piece that takes longer ends the
// answer: over HTTP/1.1 its connection, over HTTP/2 its stream, by a reset. A reset waits behind a
// frame that is being written; when it does not get out in stalledAfter the client takes nothing
// of the connection either, and that is closed.
//
// Over HTTP/2 the deadline is a timer of the outlet's: net/http's would reset a stream that has
// nothing to write, too. Over HTTP/1.1 with TLS the timer closes what is below TLS, whose last words
// net/http would wait for, for 5 s. The handler's goroutine writes; the other methods may be called
// concurrently.
type outlet struct {
	s     *Server
	rc    *http.ResponseController
	conn  net.Conn // below TLS; nil: not known
	http2 bool
	timer *time.Timer // nil: HTTP/1.1 without TLS

	mu       sync.Mutex
	over     bool      // the handler has returned
	reset    bool      // the stream, after the deadline
	began    time.Time // the piece that is being written; zero while none is
	deadline time.Time // of the last piece
	last     time.Time // nothing is written after it; zero: it may go on
	rate     int64     // least bytes a second over the whole answer; 0: no such
	first    time.Time // when the first piece began
	sent     int64     // bytes of the pieces that have begun
}

// newOutlet returns the outlet of an answer; its guard closes it.
func (s *Server) newOutlet(w http.ResponseWriter, r *http.Request) *outlet {
	o := &outlet{s: s, rc: http.NewResponseController(w), http2: r.ProtoMajor > 1}
	if o.http2 || r.TLS != nil {
		o.conn, _ = r.Context().Value(connKey{}).(net.Conn)
		o.timer = time.AfterFunc(time.Hour, o.expire)
		o.timer.Stop()
	}
	s.outlets.Store(o, nil)
	return o
}

// close is called before the handler's return, after which the ResponseWriter is another's. What is
// left in its buffer has the time of one more piece.
func (o *outlet) close() {
	o.s.outlets.Delete(o)
	if o.http2 {
		_ = o.begin(0)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.http2 {
		_ = o.rc.SetWriteDeadline(o.deadline)
	}
	o.over = true
	o.done()
}

// begin is called before a piece of so many bytes, at most maxWrite, is written.
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

// end is called when what has begun is written.
func (o *outlet) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.done()
}

func (o *outlet) done() {
	o.began = time.Time{}
	if o.timer != nil {
		o.timer.Stop()
	}
}

func (o *outlet) set(deadline time.Time) error {
	o.deadline = deadline
	if o.timer != nil {
		o.timer.Reset(time.Until(deadline))
	}
	if o.http2 {
		return nil
	}
	return o.rc.SetWriteDeadline(deadline)
}

// expire is called by the timer.
func (o *outlet) expire() {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.began.IsZero() || time.Now().Before(o.deadline): // it was written meanwhile
	case o.http2 && !o.reset:
		o.reset = true
		_ = o.rc.SetWriteDeadline(o.began.Add(-1)) // in the past: resets it now
		o.timer.Reset(stalledAfter)
	case o.conn != nil:
		_ = o.conn.Close()
	}
}

// hurry moves the deadline of a piece that is being written forward.
func (o *outlet) hurry(by time.Time) {
	if !o.over && !o.began.IsZero() && by.Before(o.deadline) {
		_ = o.set(by) // what cannot be timed cannot be written either
	}
}

// patience is how much longer a piece that is being written may take, once it is to end.
func (o *outlet) patience() time.Duration {
	if o.began.IsZero() {
		return stalledAfter
	}
	return max(0, stalledAfter-time.Since(o.began))
}

// drain lets a piece that has waited for stalledAfter end now, and the others no later.
func (o *outlet) drain() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hurry(time.Now().Add(o.patience()))
}

// cut ends the answer: now if it has waited for stalledAfter for its client, else in stalledAfter.
func (o *outlet) cut() {
	o.mu.Lock()
	defer o.mu.Unlock()
	left := stalledAfter
	if o.patience() == 0 {
		left = 0
	}
	o.last = earlier(time.Now().Add(left), o.last)
	o.hurry(o.last)
}

// endBy is called before anything is written: nothing is after t, unless t is zero.
func (o *outlet) endBy(t time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = t
}

// atLeast is called before anything is written: the answer ends when its client, after a first
// stall time-out, takes less on an average.
func (o *outlet) atLeast(bytesPerSecond int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rate = bytesPerSecond
}

// stalled reports whether a piece has been waiting for its client for more than stalledAfter.
func (o *outlet) stalled() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.began.IsZero() && time.Since(o.began) > stalledAfter
}

// failed is called with the error of a write, and returns what it means: os.ErrDeadlineExceeded
// when the client took nothing for the stall time-out, which HTTP/2 does not tell from other ends
// of a stream.
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

// earlier returns the earlier time; zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

type connKey struct{}

// connContext is http.Server.ConnContext: it bounds the memory of a connection, and lets an outlet
// close it.
func connContext(ctx context.Context, c net.Conn) context.Context {
	if encrypted, ok := c.(*tls.Conn); ok {
		c = encrypted.NetConn()
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(sendBuffer) // only a bound on memory
	}
	return context.WithValue(ctx, connKey{}, c)
}
