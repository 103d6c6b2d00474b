package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tidings/internal/sse"
)

// reader is one subscriber, over all its connections.
type reader struct {
	mu sync.Mutex
	sequence
	after string
}

// readBack makes this many readers read from the log everything that was published, at once.
func (r *run) readBack(ctx context.Context, readers int) error {
	r.addReaders(readers)
	errs := make([]error, readers)
	var all sync.WaitGroup
	for i, reader := range r.readers {
		all.Go(func() {
			reader.after, errs[i] = r.target.stream(ctx, reader.after, func(e sse.Event) bool {
				r.got(reader, e, nil)
				return e.Type != "tidings.live"
			})
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func (r *run) addReaders(n int) {
	for len(r.readers) < n {
		r.readers = append(r.readers, &reader{after: r.start})
	}
	r.result.Subscribers = n
}

func (r *run) got(reader *reader, e sse.Event, timing *timing) {
	reader.mu.Lock()
	defer reader.mu.Unlock()
	at, ok := reader.take(e.Data)
	if !ok {
		return
	}
	r.done.Add(1)
	if timing != nil {
		timing.since(at)
	}
}

// crowd is many connected subscribers.
type crowd struct {
	run     *run
	cut     context.CancelFunc
	readers sync.WaitGroup
	failed  chan error
}

// subscribe connects the plan's subscribers, each where it was before, and returns once all are live. It times each
// event, and how long each subscriber took to be live.
func (r *run) subscribe(ctx context.Context, events, live *timing) (*crowd, error) {
	r.addReaders(r.plan.Subscribers)
	inner, cut := context.WithCancel(ctx)
	c := &crowd{run: r, cut: cut, failed: make(chan error, len(r.readers))}
	var alive sync.WaitGroup
	alive.Add(len(r.readers))
	begin := time.Now()
	for _, reader := range r.readers {
		first := sync.OnceFunc(func() {
			if live != nil {
				live.since(begin)
			}
			alive.Done()
		})
		c.readers.Go(func() {
			after, err := r.target.stream(inner, reader.after, func(e sse.Event) bool {
				if e.Type == "tidings.live" {
					first()
				}
				r.got(reader, e, events)
				return true
			})
			if reader.after = after; inner.Err() == nil {
				c.failed <- fmt.Errorf("a subscriber was cut off: %w", err)
			}
			first()
		})
	}
	alive.Wait()
	select {
	case err := <-c.failed:
		c.close()
		return nil, err
	default:
		return c, nil
	}
}

// close cuts the subscribers off.
func (c *crowd) close() {
	c.cut()
	c.readers.Wait()
}

// settling is how long to wait for events while none arrive.
const settling = 30 * time.Second

// settle waits until every reader has everything, but gives up when nothing has arrived for half a minute.
func (c *crowd) settle(ctx context.Context, sent []int) error {
	last, since := int64(-1), time.Now()
	for !c.complete(sent) {
		select {
		case err := <-c.failed:
			return err
		default:
		}
		if now := c.run.done.Load(); now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) > settling {
			return nil // the Result says what is missing
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func (c *crowd) complete(sent []int) bool {
	for _, reader := range c.run.readers {
		reader.mu.Lock()
		missing := reader.missing
		for by, n := range sent {
			missing += n - reader.next[by]
		}
		reader.mu.Unlock()
		if missing > 0 {
			return false
		}
	}
	return true
}
