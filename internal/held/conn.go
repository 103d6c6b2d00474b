package held

import (
	"container/list"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// signals are the reasons for a connection's turn.
type signals uint32

const (
	rung     signals = 1 << iota // its source has more
	readable                     // its client has sent something
	writable                     // it accepts more
	gone                         // its client is gone
	crowded                      // it must make room for other stuck connections
	asked                        // it was cut off, or its time has come

	// busy means that the connection is in a queue, or being worked on. Whoever sets it puts the connection into a
	// queue.
	busy
)

// Conn is a connection that is held. Ring, Cut and Stalled may be called concurrently; everything else belongs to
// whoever gives the turn: the handler until Hold, a goroutine of the pool afterwards.
type Conn struct {
	// What each turn needs comes first, in few cache lines.
	signals atomic.Uint32
	chunked bool
	behind  bool         // its turns are in the queue of connections that catch up
	done    bool         // it is closed
	since   atomic.Int64 // when its socket refused, on the pool's clock; 0: it accepts more
	armed   atomic.Int64 // of timers: at, on the pool's clock; 0: not there
	source  Source
	raw     syscall.RawConn

	mu   sync.Mutex
	why  error     // why it must end
	last time.Time // nothing is written after it; zero: no limit

	head    []byte    // goes before the first frames
	closeAt time.Time // everything is written; the client has until then to close

	pool   *Pool
	conn   net.Conn
	number uint64 // within the pool

	// While the socket refuses.
	rest  []byte // must be written before anything else
	owed  int    // length of rest when it was created: counts in the pool's stuck
	taken int    // bytes since since was set
	stuck *list.Element
	end   error // how it ends once rest is written, if it does

	heard   int // bytes that the client sent in the second that began at hearing
	hearing time.Time

	// Of timers.
	at    time.Time
	place int
}

// Ring makes the pool ask the source what comes next. It does not wait.
func (c *Conn) Ring() { c.signal(rung) }

// Cut ends the connection for this reason, after what its source writes in response: now if it has refused for
// Options.Grace, otherwise once that has passed at the latest. The first reason counts.
func (c *Conn) Cut(why error) {
	c.mu.Lock()
	if c.why == nil {
		c.why = why
		now := time.Now()
		left := c.pool.o.Grace
		if since := c.since.Load(); since != 0 {
			left = max(0, left-now.Sub(c.pool.at(since)))
		}
		if by := now.Add(left); c.last.IsZero() || by.Before(c.last) {
			c.last = by
		}
	}
	c.mu.Unlock()
	c.signal(asked)
}

// Stalled reports whether the connection has refused to accept more for Options.Grace.
func (c *Conn) Stalled() bool {
	since := c.since.Load()
	return since != 0 && time.Since(c.pool.at(since)) > c.pool.o.Grace
}

// signal gives the connection a turn.
func (c *Conn) signal(s signals) {
	if signals(c.signals.Or(uint32(s|busy)))&busy == 0 {
		c.pool.enqueue(c)
	}
}

// release lets go of the connection at the end of a turn, unless there is another signal: then it reports false, and
// the caller must put the connection into a queue.
func (c *Conn) release() bool {
	return c.signals.CompareAndSwap(uint32(busy), 0)
}

// take returns the signals of a turn.
func (c *Conn) take() signals {
	return signals(c.signals.Swap(uint32(busy)))
}

// cut returns after when nothing more is written, and why the connection must end, if it must.
func (c *Conn) cut() (last time.Time, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last, c.why
}
