package deliver

import (
	"context"
	"runtime"
	"sync"
	"time"
)

const (
	// turnsPerProcessor is how many attempts there are at a time whose receivers may answer any moment. With all that
	// want to send at once the publishers would wait behind them for the processor.
	turnsPerProcessor = 4

	// turnEnds is after how long an attempt gives its turn to others, for then it waits for its receiver, and that
	// takes no processor.
	turnEnds = 5 * time.Millisecond
)

// turns are those of attempts. It may be used concurrently.
type turns chan struct{}

func newTurns() turns { return make(turns, turnsPerProcessor*runtime.GOMAXPROCS(0)) }

// take waits for a turn. The caller calls end after the attempt. The error is ctx's.
func (t turns) take(ctx context.Context) (end func(), err error) {
	select {
	case t <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	give := sync.OnceFunc(func() { <-t })
	timer := time.AfterFunc(turnEnds, give)
	return func() {
		timer.Stop()
		give()
	}, nil
}
