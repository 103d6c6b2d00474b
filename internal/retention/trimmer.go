package retention

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"tidings/store"
)

// topicsEvery is the least time between two passes when topics have limits of their own. What goes
// then is spread over the log, an event here and there on a page: after a while several lie on
// each, which is written once for all of them.
const topicsEvery = time.Second

// Log is what is trimmed: of store.Log the one method that this package uses, with its contract.
type Log interface {
	Retain(ctx context.Context, keep store.Retention) (int, error)
}

// Trimmer applies a Policy to a log. It belongs to one goroutine.
type Trimmer struct {
	log   Log
	rules rules
	last  time.Time // of the passes
}

// New returns a Trimmer, or Policy.Validate's error.
func New(log Log, p Policy) (*Trimmer, error) {
	r, err := compile(p)
	if err != nil {
		return nil, err
	}
	return &Trimmer{log: log, rules: r}, nil
}

// Run trims at once and then at every interval, until ctx ends or the log takes no more writes. A
// full disk, or any other reason for which a pass ends early, is left to the next pass.
func (t *Trimmer) Run(ctx context.Context, interval time.Duration, logger *slog.Logger) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		deleted, err := t.Trim(ctx, time.Now())
		switch {
		case ctx.Err() != nil, errors.Is(err, store.ErrClosed), errors.Is(err, store.ErrFailed):
			return
		case err != nil:
			logger.Warn("retention could not trim all that it should; it tries again", "deleted",
				deleted, "again_in", interval, "error", err)
		case deleted > 0:
			logger.Debug("retention trimmed the log", "deleted", deleted)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// Trim deletes what the policy does not keep at the given time, and returns how many events that
// were. When topics have limits of their own it leaves all that to a later call until a second has
// passed since the last. The cost follows what is deleted, and the topics that have limits of their
// own. After an error it may be called again.
func (t *Trimmer) Trim(ctx context.Context, now time.Time) (deleted int, err error) {
	if since := now.Sub(t.last); t.rules.ofTopics() && 0 <= since && since < topicsEvery {
		return 0, nil // also the whole log's limits: they count what the topics' leave
	}
	t.last = now
	return t.log.Retain(ctx, t.rules.at(now))
}
