package console_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/tracing"
	"github.com/chromedp/chromedp"

	"tidings/internal/e2e"
)

// traceEvent is an event of the browser's trace. Times are in µs.
type traceEvent struct {
	Name     string
	Category string  `json:"cat"`
	Phase    string  `json:"ph"`
	Process  int     `json:"pid"`
	Thread   int     `json:"tid"`
	Start    float64 `json:"ts"`
	Wall     float64 `json:"dur"`
	CPU      float64 `json:"tdur"` // of the thread
	Args     struct {
		Name string
		Data struct {
			URL             string
			NeedsBeginFrame *int
		}
	}
}

// trace returns what happens in the tab's browser while do runs.
func (tb *tab) trace(t *testing.T, do func(), categories ...string) []traceEvent {
	t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, 2*e2e.Patience)
	defer cancel()
	var events []traceEvent
	complete := make(chan struct{})
	err := chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *tracing.EventDataCollected:
			for _, text := range e.Value {
				var one traceEvent
				if json.Unmarshal(text, &one) == nil { // some have arguments of other types
					events = append(events, one)
				}
			}
		case *tracing.EventTracingComplete:
			close(complete)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	config := tracing.TraceConfig{IncludedCategories: categories}
	if _, err := chromedp.Call(ctx, tracing.Start,
		tracing.StartParams{TraceConfig: &config}); err != nil {
		t.Fatalf("start tracing: %v", err)
	}
	do()
	if _, err := chromedp.Call(ctx, tracing.End, cdp.Empty{}); err != nil {
		t.Fatalf("end tracing: %v", err)
	}
	select {
	case <-complete:
	case <-ctx.Done():
		t.Fatalf("wait for the trace: %v", ctx.Err())
	}
	return events
}

// spread is a distribution of times in ms.
type spread struct {
	n              int
	p50, p99, most float64
}

func (s spread) String() string {
	return fmt.Sprintf("%d, p50 %.1f ms, p99 %.1f ms, at most %.1f ms", s.n, s.p50, s.p99, s.most)
}

func spreadOf(times []float64) (s spread) {
	slices.Sort(times)
	if s.n = len(times); s.n > 0 {
		s.p50, s.p99, s.most = times[s.n/2], times[s.n*99/100], times[s.n-1]
	}
	return s
}

// load is the cost of a page.
type load struct {
	frames      spread // from one drawn frame to the next, by the clock, while something changes
	work        spread // the main thread's processor time meanwhile
	tasks       spread // the processor time of each task of the main thread
	tasksByWall spread
}

func (l load) String() string {
	return fmt.Sprintf("frames %v; work of a frame %v; tasks %v; by the clock %v", l.frames, l.work,
		l.tasks, l.tasksByWall)
}

// loadOf reads a trace of the page whose scripts come from an address.
func loadOf(t *testing.T, trace []traceEvent, address string) (l load) {
	t.Helper()
	process := 0
	for _, e := range trace {
		if e.Name == "FunctionCall" && strings.HasPrefix(e.Args.Data.URL, address) {
			process = e.Process
		}
	}
	mine := slices.DeleteFunc(trace, func(e traceEvent) bool { return e.Process != process })
	slices.SortFunc(mine, func(a, b traceEvent) int { return cmp.Compare(a.Start, b.Start) })
	main := 0
	for _, e := range mine {
		if e.Name == "thread_name" && e.Args.Name == "CrRendererMain" {
			main = e.Thread
		}
	}
	var frames, work, cpu, wall []float64
	drawn, done := 0., 0.
	for _, e := range mine {
		switch {
		case e.Name == "RunTask" && e.Thread == main:
			cpu, wall = append(cpu, e.CPU/1000), append(wall, e.Wall/1000)
			done += e.CPU / 1000
		case e.Name == "DrawFrame":
			if drawn > 0 {
				frames, work = append(frames, (e.Start-drawn)/1000), append(work, done)
			}
			drawn, done = e.Start, 0
		case e.Args.Data.NeedsBeginFrame != nil && *e.Args.Data.NeedsBeginFrame == 0:
			drawn = 0 // nothing changes: the next frame is not late
		}
	}
	return load{spreadOf(frames), spreadOf(work), spreadOf(cpu), spreadOf(wall)}
}
