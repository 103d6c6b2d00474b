package load

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Plan says what to do, and how much of it.
type Plan struct {
	Mode        string        // one of Modes
	Duration    time.Duration // of publishing, or of idling
	Connections int           // publishers
	Subscribers int           // readers, each over a stream
	Rate        int           // of fanout and storm: events per second, all publishers together
	Events      int           // for replay to read
	Size        int           // of an event's data, in bytes, about
	Lines       int           // of a batch
}

// Modes are the modes of a Plan.
var Modes = []string{"publish", "batch", "fanout", "replay", "storm", "idle"}

// Result is the result of a run. What could not be measured is nil or zero.
type Result struct {
	Mode        string  `json:"mode"`
	Seconds     float64 `json:"seconds"` // the time that PerSecond refers to
	Connections int     `json:"connections,omitempty"`
	Subscribers int     `json:"subscribers,omitempty"`
	Size        int     `json:"event_bytes,omitempty"`

	Published int     `json:"published"`  // acknowledged events
	Received  int     `json:"received"`   // by all readers together
	PerSecond float64 `json:"per_second"` // events published or, in fanout and replay, received

	// Latency is of a publish or a batch until it was acknowledged; in fanout of an event from the start of its publish
	// until a subscriber had it; in storm of a subscriber from being cut off until live again.
	Latency *Latency `json:"latency_ms,omitempty"`

	Missing    int            `json:"missing"`
	Duplicates int            `json:"duplicates"`
	OutOfOrder int            `json:"out_of_order"`
	Refused    map[string]int `json:"refused,omitempty"` // by code; these were retried

	ServerCPU    float64 `json:"server_cpu_us_per_event,omitempty"` // events as in PerSecond
	ServerMemory float64 `json:"server_bytes_per_subscriber,omitempty"`
}

// Exact reports whether nothing was missing, duplicated or out of order.
func (r *Result) Exact() bool { return r.Missing+r.Duplicates+r.OutOfOrder == 0 }

// run is a Plan under way.
type run struct {
	target  *Target
	plan    Plan
	start   string       // the log's head before the run
	done    atomic.Int64 // events published or received, for the progress
	timing  *timing      // for Result.Latency
	readers []*reader
	sent    []int // acknowledged, by publisher
	result  Result
	mu      sync.Mutex // guards result.Refused
}

// Run carries out the plan, and calls progress about once a second with the number of events so far. An error means
// that it was not carried out; what went wrong within it is in the Result.
func Run(ctx context.Context, t *Target, p Plan, progress func(events int64)) (*Result, error) {
	r := &run{target: t, plan: p, timing: newTiming(),
		result: Result{Mode: p.Mode, Refused: make(map[string]int)}}
	work, ok := map[string]func(*run, context.Context) error{"publish": (*run).publish,
		"batch": (*run).publish, "fanout": (*run).fanout, "replay": (*run).replay,
		"storm": (*run).storm, "idle": (*run).idle}[p.Mode]
	if !ok {
		return nil, fmt.Errorf("mode: expected one of %s", strings.Join(Modes, ", "))
	}
	head, err := t.head(ctx)
	if err != nil {
		return nil, err
	}
	if r.start = head; head == "" {
		r.start = strings.Repeat("0", 26) // before everything
	}
	stop := r.tell(progress)
	err = work(r, ctx)
	stop()
	if err != nil {
		return nil, err
	}
	for _, reader := range r.readers {
		reader.end(r.sent)
		r.result.Received += reader.count()
		r.result.Missing += reader.missing
		r.result.Duplicates += reader.duplicates
		r.result.OutOfOrder += reader.outOfOrder
	}
	r.result.Latency = r.timing.latency()
	return &r.result, nil
}

// tell calls progress until stop is called.
func (r *run) tell(progress func(int64)) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				progress(r.done.Load())
			case <-end:
				return
			}
		}
	}()
	return func() { close(end); <-ended }
}

// measured runs work, and records how long it took and what the server spent on each of the events that it returns.
func (r *run) measured(ctx context.Context, work func() (events int, err error)) error {
	before, known := r.target.usage(ctx)
	begin := time.Now()
	events, err := work()
	r.result.Seconds = time.Since(begin).Seconds()
	after, stillKnown := r.target.usage(ctx)
	if err != nil || events == 0 {
		return err
	}
	r.result.PerSecond = float64(events) / r.result.Seconds
	if known && stillKnown {
		r.result.ServerCPU = (after.cpu - before.cpu) * 1e6 / float64(events)
	}
	return nil
}

// publish publishes as fast as the server takes it, and reads everything back.
func (r *run) publish(ctx context.Context) error {
	err := r.measured(ctx, func() (int, error) {
		return r.produce(ctx, time.Now().Add(r.plan.Duration), 0, r.timing)
	})
	if err != nil {
		return err
	}
	return r.readBack(ctx, 1)
}

// fanout publishes at a rate to many subscribers.
func (r *run) fanout(ctx context.Context) error {
	c, err := r.subscribe(ctx, r.timing, nil)
	if err != nil {
		return err
	}
	defer c.close()
	return r.measured(ctx, func() (int, error) {
		events, err := r.produce(ctx, time.Now().Add(r.plan.Duration), r.plan.Rate, nil)
		if err == nil {
			err = c.settle(ctx, r.sent)
		}
		return events * r.plan.Subscribers, err
	})
}

// replay publishes events, and makes many readers read all of them at once.
func (r *run) replay(ctx context.Context) error {
	if err := r.fill(ctx); err != nil {
		return err
	}
	r.done.Store(0)
	return r.measured(ctx, func() (int, error) {
		err := r.readBack(ctx, r.plan.Subscribers)
		return r.plan.Events * r.plan.Subscribers, err
	})
}

// idle holds subscribers that get nothing.
func (r *run) idle(ctx context.Context) error {
	before, known := r.target.usage(ctx)
	c, err := r.subscribe(ctx, nil, nil)
	if err != nil {
		return err
	}
	defer c.close()
	if err := pause(ctx, r.plan.Duration); err != nil {
		return err
	}
	r.result.Seconds = r.plan.Duration.Seconds()
	if after, still := r.target.usage(ctx); known && still {
		r.result.ServerMemory = (after.resident - before.resident) / float64(r.plan.Subscribers)
	}
	return nil
}

// storm cuts all subscribers off while events come, and makes them reconnect at once.
func (r *run) storm(ctx context.Context) error {
	c, err := r.subscribe(ctx, nil, nil)
	if err != nil {
		return err
	}
	published := make(chan error, 1)
	go func() {
		_, err := r.produce(ctx, time.Now().Add(r.plan.Duration), r.plan.Rate, nil)
		published <- err
	}()
	err = pause(ctx, r.plan.Duration/2)
	c.close()
	if err == nil {
		err = r.measured(ctx, func() (int, error) {
			c, err = r.subscribe(ctx, nil, r.timing)
			return 0, err
		})
	}
	if err = errors.Join(err, <-published); err != nil {
		return err
	}
	defer c.close()
	return c.settle(ctx, r.sent)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
