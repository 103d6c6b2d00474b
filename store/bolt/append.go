package bolt

import (
	"context"

	"tidings/store"
	"tidings/store/internal/commit"
)

// AppendOnce implements store.Log.
func (l *Log) AppendOnce(ctx context.Context, groups []store.Group) ([]store.Result, error) {
	r, err := commit.Append(groups)
	if err != nil {
		return nil, err
	}
	outcome, err := l.queue.do(ctx, r)
	return outcome.Results, err
}
