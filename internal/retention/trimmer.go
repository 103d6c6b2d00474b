package retention

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"tidings/store"
)

// Trimmer applies a Policy to a log.
type Trimmer struct {
	log   store.Log
	rules rules
}

// New returns a Trimmer, or Policy.Validate's error.
func New(log store.Log, p Policy) (*Trimmer, error) {
	r, err := compile(p)
	if err != nil {
		return nil, err
	}
	return &Trimmer{log, r}, nil
}

// Run trims at once and then at every interval, until ctx ends or the log takes no more writes. A full disk, or
// any other reason for which a pass ends early, is left to the next pass.
func (t *Trimmer) Run(ctx context.Context, interval time.Duration, logger *slog.Logger) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		deleted, err := t.Trim(ctx, time.Now())
		switch {
		case ctx.Err() != nil, errors.Is(err, store.ErrClosed), errors.Is(err, store.ErrFailed):
			return
		case err != nil:
			logger.Warn("retention could not trim all that it should; it tries again", "deleted", deleted, "again_in", interval, "error", err)
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

// Trim deletes what the policy does not keep at the given time, and returns how many events that were. The
// cost follows what is deleted, and the topics that have limits of their own. After an error it may be called again.
func (t *Trimmer) Trim(ctx context.Context, now time.Time) (deleted int, err error) {
	for _, pass := range []func(context.Context, time.Time) (int, error){t.trimTopics, t.trimWhole} {
		n, err := pass(ctx, now)
		deleted += n
		if err != nil {
			return deleted, err
		}
	}
	return deleted, nil
}

// topicsAtOnce bounds how many topics one trim is for.
const topicsAtOnce = 256

// trimTopics applies the limits of topics. Those with the same age are trimmed together.
func (t *Trimmer) trimTopics(ctx context.Context, now time.Time) (deleted int, err error) {
	old := make(map[time.Duration][]string)
	many := make(map[string]limits)
	for info := range t.log.Topics(t.rules.topics) {
		if info.Count == 0 {
			continue
		}
		l := t.rules.of(info.Topic)
		if l.age > 0 && info.First.Before(cutoff(now, l.age)) {
			old[l.age] = append(old[l.age], info.Topic)
		}
		if l.events > 0 && info.Count > l.events || l.bytes > 0 && info.Bytes > l.bytes {
			many[info.Topic] = l
		}
	}
	for age, topics := range old {
		for chunk := range slices.Chunk(topics, topicsAtOnce) {
			n, err := t.trim(ctx, cutoff(now, age), chunk...)
			deleted += n
			if err != nil {
				return deleted, err
			}
		}
	}
	for _, topic := range slices.Sorted(maps.Keys(many)) {
		n, err := t.trimExcess(ctx, many[topic], topic)
		deleted += n
		if err != nil {
			return deleted, err
		}
	}
	return deleted, nil
}

// trimWhole applies the limits of the log as a whole.
func (t *Trimmer) trimWhole(ctx context.Context, now time.Time) (deleted int, err error) {
	whole := t.rules.whole
	if whole.age > 0 {
		if deleted, err = t.trim(ctx, cutoff(now, whole.age), ">"); err != nil {
			return deleted, err
		}
	}
	n, err := t.trimExcess(ctx, whole, ">")
	return deleted + n, err
}

// cutoff is the ID before which events are older than age.
func cutoff(now time.Time, age time.Duration) store.ID { return store.FirstIDAt(now.Add(-age)) }

func (t *Trimmer) trimExcess(ctx context.Context, l limits, pattern string) (int, error) {
	if l.events == 0 && l.bytes == 0 {
		return 0, nil
	}
	f, err := store.NewFilter(pattern)
	if err != nil {
		return 0, err
	}
	last, err := t.log.Excess(f, l.events, l.bytes)
	if err != nil || last.IsZero() {
		return 0, err
	}
	before, _ := last.Next() // no event has MaxID
	return t.log.Trim(ctx, f, before)
}

func (t *Trimmer) trim(ctx context.Context, before store.ID, patterns ...string) (int, error) {
	f, err := store.NewFilter(patterns...)
	if err != nil {
		return 0, err
	}
	return t.log.Trim(ctx, f, before)
}
