package held

import (
	"container/heap"
	"sync"
	"time"
)

// tick is how late a connection may be told the time, so that one timer serves many.
const tick = 10 * time.Millisecond

// timers wake connections at a given time: one timer for all. A connection that asks for a later time than before
// stays where it is, and is woken too early: that is cheaper than moving it for each write.
type timers struct {
	pool *Pool

	mu    sync.Mutex
	heap  byTime
	alarm *time.Timer
	at    time.Time // of alarm; zero: it is off
}

// set has the connection woken at that time at the latest, give or take tick.
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

// remove cancels the wake-up of the connection.
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

// ring wakes all connections that are due. Only the timer calls it.
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

// byTime is a heap of connections, the earliest first; the place of a connection is its index plus 1.
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
