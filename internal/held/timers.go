package held

import (
	"container/heap"
	"sync"
	"time"
)

// tick is how much later than it asked for a connection may be told of the time, so that one alarm
// serves many.
const tick = 10 * time.Millisecond

// timers tell connections of a time: one alarm for all. A connection that asks for a later time
// than it has asked for before stays where it is, and is told too early: that is cheaper than to
// move it for each write.
type timers struct {
	pool *Pool

	mu    sync.Mutex
	heap  byTime
	alarm *time.Timer
	at    time.Time // of alarm; zero: it is off
}

// set has the connection told at the latest then, but for tick.
func (t *timers) set(c *Conn, at time.Time) {
	clock := t.pool.clock(at)
	if armed := c.armed.Load(); armed != 0 && armed <= clock {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c.armed.Store(clock)
	switch {
	case c.place == 0:
		c.at = at
		heap.Push(&t.heap, c)
	default:
		c.at = at
		heap.Fix(&t.heap, c.place-1)
	}
	t.wind()
}

// remove has the connection not be told any more.
func (t *timers) remove(c *Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.place > 0 {
		heap.Remove(&t.heap, c.place-1)
	}
}

// wind sets the alarm. The caller holds mu.
func (t *timers) wind() {
	if len(t.heap) == 0 {
		return
	}
	at := t.heap[0].at
	if !t.at.IsZero() && !at.Before(t.at) {
		return
	}
	t.at = at
	if wait := time.Until(at); t.alarm == nil {
		t.alarm = time.AfterFunc(wait, t.ring)
	} else {
		t.alarm.Reset(wait)
	}
}

// ring tells all who are due. It is called by the alarm alone.
func (t *timers) ring() {
	t.mu.Lock()
	now := time.Now()
	var due []*Conn
	for len(t.heap) > 0 && !now.Before(t.heap[0].at) {
		c := heap.Pop(&t.heap).(*Conn)
		c.armed.Store(0)
		due = append(due, c)
	}
	t.at = time.Time{}
	if len(t.heap) > 0 { // not before a tick has passed
		t.at = now.Add(tick)
		if next := t.heap[0].at; t.at.Before(next) {
			t.at = next
		}
		t.alarm.Reset(t.at.Sub(now))
	}
	t.mu.Unlock()
	for _, c := range due {
		c.signal(asked)
	}
}

// byTime is a heap of connections, the earliest first; the place of a connection is its index and 1.
type byTime []*Conn

func (h byTime) Len() int           { return len(h) }
func (h byTime) Less(i, j int) bool { return h[i].at.Before(h[j].at) }

func (h byTime) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i+1, j+1
}

func (h *byTime) Push(x any) {
	*h = append(*h, x.(*Conn))
	x.(*Conn).place = len(*h)
}

func (h *byTime) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	(*h)[last] = nil
	*h, c.place = (*h)[:last], 0
	return c
}
