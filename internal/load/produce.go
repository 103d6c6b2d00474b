package load

import (
	"context"
	"errors"
	"sync"
	"time"
)

// produce makes each connection publish, one event or batch after the other, until the time; at a common rate or, if it
// is 0, as fast as the server answers. It returns how many events were acknowledged.
func (r *run) produce(ctx context.Context, until time.Time, rate int, timing *timing) (int, error) {
	lines := 1
	if r.plan.Mode == "batch" {
		lines = r.plan.Lines
	}
	pace := newPace(rate)
	return r.publishers(ctx, r.plan.Connections, func(int) int {
		if pace.wait(); time.Now().After(until) {
			return 0
		}
		return lines
	}, timing)
}

// fill publishes as many events as the plan says, in batches.
func (r *run) fill(ctx context.Context) error {
	_, err := r.publishers(ctx, 1, func(sent int) int {
		return min(r.plan.Lines, r.plan.Events-sent)
	}, nil)
	return err
}

// publishers runs n publishers. next gets how many events of the publisher were acknowledged, and returns how many its
// next request has; 0 ends it.
func (r *run) publishers(ctx context.Context, n int, next func(sent int) int,
	timing *timing) (total int, err error) {
	r.sent = make([]int, n)
	errs := make([]error, n)
	var all sync.WaitGroup
	for by := range n {
		all.Go(func() {
			for lines := next(0); lines > 0 && errs[by] == nil && ctx.Err() == nil; {
				errs[by] = r.publishOnce(ctx, by, lines, timing)
				lines = next(r.sent[by])
			}
		})
	}
	all.Wait()
	for _, n := range r.sent {
		total += n
	}
	r.result.Connections, r.result.Published, r.result.Size = n, total, r.plan.Size
	if ctx.Err() != nil {
		return total, context.Cause(ctx)
	}
	return total, errors.Join(errs...)
}

// publishOnce publishes the next events of a publisher. Refused ones are counted, and sent again. If there is no
// answer, it is unknown what is stored, and nothing could be checked: an error.
func (r *run) publishOnce(ctx context.Context, by, lines int, timing *timing) error {
	send, body := r.target.publish, []byte(nil)
	if lines == 1 {
		body = appendData(nil, by, r.sent[by], r.plan.Size)
	} else {
		send = r.target.batch
		for i := range lines {
			body = append(body, `{"topic":"`+Topic+`","data":`...)
			body = appendData(body, by, r.sent[by]+i, r.plan.Size)
			body = append(body, "}\n"...)
		}
	}
	begin := time.Now()
	err := send(ctx, body)
	var refused *refusal
	if errors.As(err, &refused) && (refused.status == 429 || refused.status == 503) {
		r.mu.Lock()
		r.result.Refused[refused.code]++
		r.mu.Unlock()
		return pause(ctx, refusedPause)
	}
	if err != nil {
		return err
	}
	if timing != nil {
		timing.since(begin)
	}
	r.sent[by] += lines
	r.done.Add(int64(lines))
	return nil
}

// refusedPause is how long a publisher waits after the server has refused for now.
const refusedPause = 10 * time.Millisecond

// pace spreads the work of many evenly over time.
type pace struct {
	mu    sync.Mutex
	every time.Duration // 0: no limit
	next  time.Time
}

func newPace(rate int) *pace {
	p := &pace{next: time.Now()}
	if rate > 0 {
		p.every = time.Second / time.Duration(rate)
	}
	return p
}

// wait returns when it is this caller's turn. Missed turns come at once.
func (p *pace) wait() {
	if p.every == 0 {
		return
	}
	p.mu.Lock()
	turn := p.next
	p.next = p.next.Add(p.every)
	p.mu.Unlock()
	time.Sleep(time.Until(turn))
}
