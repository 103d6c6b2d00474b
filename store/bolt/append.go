package bolt

import (
	"context"

	"tidings/store"
	"tidings/store/internal/commit"
)

// Append implements store.Log.
func (l *Log) Append(ctx context.Context, drafts []store.Draft) ([]store.ID, error) {
	results, err := l.AppendOnce(ctx, []store.Group{{Drafts: drafts}})
	if err != nil {
		return nil, err
	}
	return results[0].IDs, nil
}

// AppendOnce implements store.Log.
func (l *Log) AppendOnce(ctx context.Context, groups []store.Group) ([]store.Result, error) {
	r, err := commit.Append(groups)
	if err != nil {
		return nil, err
	}
	outcome, err := l.queue.do(ctx, r)
	return outcome.Results, err
}
