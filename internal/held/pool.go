// Package held writes event streams to many connections without a goroutine, a reader or a buffer for each. A
// connection that is held is a descriptor, and a Source that knows what comes next on it.
//
//	pool := held.New(held.Options{...})
//	conn := pool.New()                 // conn.Ring may be called from now on
//	...                                // create the source, which rings it
//	pool.Hold(conn, netConn, head, chunked, source)
//	...
//	pool.Drain(why); pool.Wait(ctx)
//
// A turn of a connection asks its source what comes next and writes that at once, without waiting; then it is another
// connection's turn. What a socket does not accept stays with the source, except for the piece that was begun: its
// rest is copied, and written first when the socket accepts more. So a client that reads slowly, or not at all, costs
// a copy of 4 KiB or of one larger frame.
//
// Turns are given by as many goroutines as there is work for, up to a bound, in two queues: one for connections whose
// source has caught up, which never waits for a disk, and one for those that catch up. One timer tells the time, one
// poller reports readiness.
package held

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

var (
	// ErrGone ends a connection whose client has closed it, or half of it, as in net/http.
	ErrGone = errors.New("the client is gone")

	// ErrCutOff ends a connection that was cut off while its client accepted nothing.
	ErrCutOff = errors.New("cut off: the client was not reading")

	// ErrCrowded ends the connection that has been stuck the longest when stuck connections hold more than
	// Options.StuckBytes.
	ErrCrowded = errors.New("cut off to make room for other stuck clients")

	// ErrNoisy ends a connection whose client sends more than a listener needs to.
	ErrNoisy = errors.New("the client sends instead of listening")
)

const (
	// maxWrite is the least that a client must accept within the stall timeout.
	maxWrite = 64 << 10

	// maxHeard is how many bytes a client may send per second; they are discarded.
	maxHeard = 4 << 10

	// lingerFor is how long the last bytes have to arrive before the connection is closed: closed at once, it might
	// be reset and lose them (net/http waits as long).
	lingerFor = 500 * time.Millisecond

	// batch is how many connections a goroutine takes from a queue at once.
	batch = 32
)

// Source decides what comes next on a connection. Its methods are called by one goroutine at a time.
type Source interface {
	// Next returns what to write, and what to do then. now is when the result of the last call had been written; cut
	// is why the connection must end, or nil. Next waits for nothing, except for the disk in the call after one that
	// returned Reads. It appends to frames.
	Next(now time.Time, cut error, frames [][]byte) Turn

	// Wrote reports that n bytes of the frames that Next returned are written, or will be before anything else. If
	// that is not all of them, they end with a frame of an event, and the source must take back what follows.
	Wrote(frames [][]byte, n int)

	// Ended is called once, as the last call, with why the connection ended.
	Ended(err error)
}

// Turn is what a Source has next.
type Turn struct {
	Frames  [][]byte // whole frames; valid until the next call of the source
	Control int      // how many of them, at the front, are not events
	End     error    // the connection ends when they are written; nil: it continues
	// Until is when to call again, unless the connection is rung earlier; zero: at once.
	Until time.Time
	Reads bool // the next call reads the log
	Live  bool // the connection goes before those that catch up
}

// Options configures New; all are required.
type Options struct {
	StallTimeout time.Duration // for a client to accept 64 KiB
	Grace        time.Duration // for a connection that is cut off
	StuckBytes   int64         // of copies of begun pieces, over all connections
	Panicked     func(what any)
}

// Pool holds connections. All methods may be called concurrently.
type Pool struct {
	o      Options
	live   queue
	behind queue
	timers timers
	began  time.Time
	write  func(fd int, buffers [][]byte) (int, error)

	mu      sync.Mutex
	poller  *poller // nil while nothing is held
	conns   []*Conn // by the lower half of their numbers; nil: free
	free    []uint32
	round   uint32 // the upper half of the next number
	held    int
	drained error         // why new connections must end
	idle    chan struct{} // closed when nothing is held; nil while nobody waits

	stuckMu sync.Mutex
	stuck   list.List // of *Conn, the longest stuck first
	owed    int64     // bytes of their rests
	crowded uint64
}

// New returns a pool without connections.
func New(o Options) *Pool {
	p := &Pool{o: o, write: writev, began: time.Now()}
	p.timers.pool = p
	p.live.work, p.behind.work = func() { p.work(&p.live) }, func() { p.work(&p.behind) }
	procs := runtime.GOMAXPROCS(0)
	p.live.max, p.behind.max = min(max(1, procs/2), maxWriters), 2*procs
	return p
}

// clock returns a time on the pool's clock, which never steps and is never 0.
func (p *Pool) clock(t time.Time) int64 { return int64(t.Sub(p.began)) + 1 }

// at undoes clock.
func (p *Pool) at(clock int64) time.Time { return p.began.Add(time.Duration(clock - 1)) }

// maxWriters bounds the goroutines that write to connections that have caught up, which are at most half as many as
// there are processors: the rest is for publishers, commits and the kernel. On two processors one delivers more than
// two do, with a lower p99 and less CPU (docs/BENCHMARKS.md).
const maxWriters = 8

// New returns a connection that is not yet held. Cut and Ring are remembered until it is.
func (p *Pool) New() *Conn {
	c := &Conn{pool: p}
	c.signals.Store(uint32(busy))
	return c
}

// Hold takes over the connection, whose request has been read and whose response starts with head; chunked means that
// its body is chunked. Hold closes it in the end. After an error the connection is still the caller's.
func (p *Pool) Hold(c *Conn, conn net.Conn, head []byte, chunked bool, source Source) error {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return fmt.Errorf("held: %T has no descriptor: %w", conn, errors.ErrUnsupported)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	c.conn, c.raw, c.head, c.chunked, c.source = conn, raw, head, chunked, source
	if err := p.register(c); err != nil {
		return err
	}
	p.enqueue(c)
	return nil
}

// EndBy is called before Hold: nothing is written after t.
func (c *Conn) EndBy(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = t
}

func (p *Pool) register(c *Conn) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.poller == nil {
		poller, err := newPoller()
		if err != nil {
			return err
		}
		p.poller = poller
		go p.watch(poller)
	}
	if len(p.free) == 0 {
		p.free = append(p.free, uint32(len(p.conns)))
		p.conns = append(p.conns, nil)
	}
	i := p.free[len(p.free)-1]
	p.round++
	c.number = uint64(p.round)<<32 | uint64(i)
	p.free = p.free[:len(p.free)-1]
	p.conns[i] = c
	p.held++
	if err := p.poller.add(c.raw, c.number); err != nil {
		p.forget(c)
		return err
	}
	if p.drained != nil {
		c.Cut(p.drained)
	}
	return nil
}

// forget undoes register. The caller holds mu.
func (p *Pool) forget(c *Conn) {
	i := uint32(c.number)
	p.conns[i] = nil
	p.free = append(p.free, i)
	if p.held--; p.held > 0 {
		return
	}
	_ = p.poller.close() // ends watch
	p.poller, p.conns, p.free = nil, nil, nil
	if p.idle != nil {
		close(p.idle)
		p.idle = nil
	}
}

// watch passes on what the poller reports, until it is closed.
func (p *Pool) watch(poller *poller) {
	for poller.wait(p.tell) == nil {
	}
}

func (p *Pool) tell(number uint64, s signals) {
	p.mu.Lock()
	var c *Conn
	if i := uint32(number); int(i) < len(p.conns) {
		c = p.conns[i]
	}
	p.mu.Unlock()
	if c != nil && c.number == number {
		c.signal(s)
	}
}

// Drain cuts off all connections, including later ones.
func (p *Pool) Drain(why error) {
	p.mu.Lock()
	p.drained = why
	all := make([]*Conn, 0, p.held)
	for _, c := range p.conns {
		if c != nil {
			all = append(all, c)
		}
	}
	p.mu.Unlock()
	for _, c := range all {
		c.Cut(why)
	}
}

// Wait waits until nothing is held. If ctx ends first, it closes the remaining connections, and returns the cause.
func (p *Pool) Wait(ctx context.Context) error {
	p.mu.Lock()
	if p.held == 0 {
		p.mu.Unlock()
		return nil
	}
	if p.idle == nil {
		p.idle = make(chan struct{})
	}
	idle := p.idle
	p.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		if c != nil {
			c.signal(gone)
		}
	}
	return context.Cause(ctx)
}

// Stuck returns the bytes owed to clients that do not accept them, and how many connections were cut off because
// those were too many.
func (p *Pool) Stuck() (bytes int64, crowded uint64) {
	p.stuckMu.Lock()
	defer p.stuckMu.Unlock()
	return p.owed, p.crowded
}

// block records that the socket refuses: rest is what must be written first.
func (p *Pool) block(c *Conn, rest []byte, now time.Time) {
	p.stuckMu.Lock()
	defer p.stuckMu.Unlock()
	c.rest, c.owed, c.taken = rest, len(rest), 0
	c.since.Store(p.clock(now))
	c.stuck = p.stuck.PushBack(c)
	p.owed += int64(c.owed)
	for e := p.stuck.Front(); p.owed > p.o.StuckBytes && p.stuck.Len() > 1; e = p.stuck.Front() {
		longest := e.Value.(*Conn)
		p.unlist(longest)
		p.crowded++
		longest.signal(crowded)
	}
}

// unblock records that the socket has accepted everything.
func (p *Pool) unblock(c *Conn) {
	p.stuckMu.Lock()
	defer p.stuckMu.Unlock()
	p.unlist(c)
	c.rest = nil
	c.since.Store(0)
}

// unlist removes the connection from the list of stuck ones. The caller holds stuckMu.
func (p *Pool) unlist(c *Conn) {
	if c.stuck != nil {
		p.stuck.Remove(c.stuck)
		p.owed -= int64(c.owed)
		c.stuck, c.owed = nil, 0
	}
}

// refresh records that the client of a stuck connection has accepted enough to be given new time.
func (p *Pool) refresh(c *Conn, now time.Time) {
	p.stuckMu.Lock()
	defer p.stuckMu.Unlock()
	c.taken = 0
	c.since.Store(p.clock(now))
	if c.stuck != nil {
		p.stuck.MoveToBack(c.stuck)
	}
}

// deadline returns when a stuck connection ends.
func (c *Conn) deadline(last time.Time) time.Time {
	by := c.pool.at(c.since.Load()).Add(c.pool.o.StallTimeout)
	if !last.IsZero() && last.Before(by) {
		return last
	}
	return by
}

// overdue returns how a stuck connection ends whose deadline has passed: with os.ErrDeadlineExceeded, like a write,
// if it had the full stall timeout.
func (c *Conn) overdue(now time.Time) error {
	if now.Sub(c.pool.at(c.since.Load())) < c.pool.o.StallTimeout {
		return ErrCutOff
	}
	return fmt.Errorf("%w (the client was not reading)", os.ErrDeadlineExceeded)
}
