package deliver

import (
	"context"
	"runtime"
	"sync"
	"time"
)

const (
	// turnsPerProcessor is how many attempts run at a time whose receivers may answer any moment. If all ran at once,
	// publishers would wait behind them for the processor.
	turnsPerProcessor = 2

	// turnEnds is how long an attempt keeps its turn: after that it waits for its receiver, which takes no processor.
	turnEnds = time.Millisecond
)

// turns are the turns of attempts. It may be used concurrently.
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
