package held

import (
	"errors"
	"runtime"
	"sync"
	"time"
)

// queue holds the connections that wait for their turn.
type queue struct {
	mu      sync.Mutex
	conns   []*Conn
	first   int // in conns
	workers int
	max     int // workers at a time
	work    func()
}

// add appends the connection, and reports whether another worker is needed.
func (q *queue) add(c *Conn) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.first == len(q.conns) {
		q.conns, q.first = q.conns[:0], 0
	}
	q.conns = append(q.conns, c)
	if q.workers == q.max {
		return false
	}
	q.workers++
	return true
}

// take moves the first connections to into. If there are none, the worker must end.
func (q *queue) take(into []*Conn) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := copy(into, q.conns[q.first:])
	clear(q.conns[q.first : q.first+n])
	q.first += n
	if n == 0 {
		q.workers--
	}
	if q.first > batch*batch && 2*q.first > len(q.conns) {
		rest := copy(q.conns, q.conns[q.first:])
		clear(q.conns[rest:])
		q.conns, q.first = q.conns[:rest], 0
	}
	return n
}

// enqueue gives the connection, which is busy, its turn.
func (p *Pool) enqueue(c *Conn) {
	q := &p.live
	if c.behind {
		q = &p.behind
	}
	if q.add(c) {
		go q.work() // a function with arguments would be allocated
	}
}

// worker is the state of a goroutine that gives turns.
type worker struct {
	*Pool
	message
	frames [][]byte
	heard  []byte
	one    [1][]byte

	// Of calls that use a descriptor.
	buffers [][]byte
	n       int
	err     error
	send    func(fd uintptr)
	receive func(fd uintptr)
}

var workers = sync.Pool{New: func() any {
	w := &worker{heard: make([]byte, maxHeard+1)}
	w.send = func(fd uintptr) { w.n, w.err = w.write(int(fd), w.buffers) }
	w.receive = func(fd uintptr) { w.n, w.err = read(int(fd), w.heard) }
	return w
}}

// work gives turns until the queue is empty.
func (p *Pool) work(q *queue) {
	w := workers.Get().(*worker)
	w.Pool = p
	var turns [batch]*Conn
	limit := batch
	if q == &p.behind {
		limit = 1 // so that no connection waits behind another's disk while a worker is free
	}
	for {
		n := q.take(turns[:limit])
		if n == 0 {
			break
		}
		now := time.Now()
		for i, c := range turns[:n] {
			if limit == 1 {
				now = time.Now()
			}
			w.serve(c, now)
			turns[i] = nil
		}
		runtime.Gosched() // publishers and their commits come before the next batch
	}
	w.Pool = nil
	w.message.reset(false) // otherwise it would keep blocks of the tail
	clear(w.frames[:cap(w.frames)])
	w.one[0], w.buffers = nil, nil
	workers.Put(w)
}

// serve gives the connection a turn, and puts it where it waits for the next one.
func (w *worker) serve(c *Conn, now time.Time) {
	defer func() {
		if what := recover(); what != nil {
			w.o.Panicked(what)
			w.finish(c, ErrGone)
		}
	}()
	if w.turn(c, now) || !c.release() {
		w.enqueue(c)
	}
}

// turn reports whether the connection needs another turn without a signal. It does not after finish.
func (w *worker) turn(c *Conn, now time.Time) (again bool) {
	s := c.take()
	last, why := c.cut()
	switch {
	case c.done:
		return false
	case s&gone != 0:
		w.finish(c, ErrGone)
		return false
	case s&crowded != 0:
		w.finish(c, ErrCrowded)
		return false
	}
	if s&readable != 0 {
		if err := w.listen(c, now); err != nil {
			w.finish(c, err)
			return false
		}
	}
	if !c.closeAt.IsZero() {
		if !now.Before(c.closeAt) {
			w.finish(c, nil)
		} else {
			w.timers.set(c, c.closeAt)
		}
		return false
	}
	if c.since.Load() != 0 {
		if !w.flush(c, now, last, s) {
			return false
		}
		if c.end != nil {
			w.close(c, c.end, now)
			return false
		}
	}
	return w.advance(c, now, why, last)
}

// listen discards what the client has sent. The error is why the connection must end.
func (w *worker) listen(c *Conn, now time.Time) error {
	if now.Sub(c.hearing) >= time.Second {
		c.hearing, c.heard = now, 0
	}
	for {
		if err := c.raw.Control(w.receive); err != nil || w.err != nil {
			return errors.Join(err, w.err)
		}
		if c.heard += w.n; c.heard > maxHeard {
			return ErrNoisy
		}
		if w.n < len(w.heard) {
			return nil
		}
	}
}

// flush writes what a stuck connection owes, and reports whether that was everything.
func (w *worker) flush(c *Conn, now, last time.Time, s signals) bool {
	if s&writable != 0 {
		w.one[0] = c.rest
		n, err := w.put(c, w.one[:], len(c.rest))
		if err != nil {
			w.finish(c, err)
			return false
		}
		if c.rest = c.rest[n:]; len(c.rest) == 0 {
			w.unblock(c)
			return true
		}
		if c.taken += n; c.taken >= maxWrite {
			w.refresh(c, now)
		}
	}
	by := c.deadline(last)
	if !now.Before(by) {
		w.finish(c, c.overdue(now))
	} else {
		w.timers.set(c, by)
	}
	return false
}

// advance writes what the source has next, and once more what it has then, if it only waits after that.
func (w *worker) advance(c *Conn, now time.Time, why error, last time.Time) (again bool) {
	for range 2 {
		t := c.source.Next(now, why, w.frames[:0])
		if t.Frames != nil {
			w.frames = t.Frames // which may have grown
		}
		c.behind = t.Reads || !t.Live
		if len(t.Frames) > 0 || t.End != nil {
			if !w.say(c, &t, now, last) {
				return false
			}
		}
		if !t.Until.IsZero() {
			w.timers.set(c, t.Until)
			return false
		}
		if c.behind || signals(c.signals.Load()) != busy {
			return true
		}
	}
	return true
}

// say writes the turn's frames, and reports whether all of it was accepted and more may follow.
func (w *worker) say(c *Conn, t *Turn, now, last time.Time) bool {
	w.message.reset(c.chunked)
	w.control(c.head, t.Frames[:t.Control], t.End != nil)
	for _, f := range t.Frames[t.Control:] {
		w.events(f)
	}
	n, err := w.put(c, w.message.buffers, w.message.bytes)
	if err != nil {
		w.finish(c, errors.Join(t.End, err))
		return false
	}
	c.head = nil
	if n == w.message.bytes {
		c.source.Wrote(t.Frames, w.message.body)
		if t.End != nil {
			w.close(c, t.End, now)
		}
		return t.End == nil
	}
	rest, body := w.rest(n)
	c.source.Wrote(t.Frames, body)
	c.end = t.End
	w.block(c, rest, now)
	w.timers.set(c, c.deadline(last))
	return false
}

// put writes what the connection accepts now of the buffers, which hold this many bytes.
func (w *worker) put(c *Conn, buffers [][]byte, bytes int) (n int, err error) {
	for n < bytes {
		some := buffers[:min(len(buffers), maxBuffers)]
		want := bytes - n
		if len(some) < len(buffers) {
			want = 0
			for _, b := range some {
				want += len(b)
			}
		}
		w.buffers = some
		if err := c.raw.Control(w.send); err != nil {
			return n, err
		}
		n += w.n
		if w.err != nil || w.n < want {
			return n, w.err
		}
		buffers = buffers[len(some):]
	}
	return n, nil
}

// close ends a connection whose client has received everything. Its source is no longer needed.
func (w *worker) close(c *Conn, end error, now time.Time) {
	c.source.Ended(end)
	c.source = nil
	half, ok := c.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		w.finish(c, end)
		return
	}
	c.closeAt = now.Add(lingerFor)
	w.timers.set(c, c.closeAt)
}

// finish closes a connection.
func (w *worker) finish(c *Conn, err error) {
	if c.done {
		return
	}
	c.done = true
	w.timers.remove(c)
	w.unblock(c)
	_ = c.conn.Close()
	if c.source != nil {
		c.source.Ended(err)
		c.source = nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forget(c)
}
