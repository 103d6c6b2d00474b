package retention

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

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

const (
	// topicsInFilter bounds how many topics one trim is for.
	topicsInFilter = 256

	// topicsAtOnce is how many topics are trimmed at once.
	topicsAtOnce = 64
)

// trimTopics applies the limits of topics. Those with the same age are trimmed together.
func (t *Trimmer) trimTopics(ctx context.Context, now time.Time) (deleted int, err error) {
	old := make(map[time.Duration][]string)
	many := make(map[string]store.ID) // before which there is too much
	for info := range t.log.Topics(t.rules.topics) {
		if info.Count == 0 {
			continue
		}
		l := t.rules.of(info.Topic)
		if l.age > 0 && info.First.Before(cutoff(now, l.age)) {
			old[l.age] = append(old[l.age], info.Topic)
		}
		if l.events > 0 && info.Count > l.events || l.bytes > 0 && info.Bytes > l.bytes {
			if many[info.Topic], err = t.excess(l, info.Topic); err != nil {
				return 0, err
			}
		}
	}
	for age, topics := range old {
		for chunk := range slices.Chunk(topics, topicsInFilter) {
			n, err := t.trim(ctx, cutoff(now, age), chunk...)
			deleted += n
			if err != nil {
				return deleted, err
			}
		}
	}
	n, err := t.trimEach(ctx, many)
	return deleted + n, err
}

// trimEach trims each topic before its ID, many at once: then they share commits. The topics whose oldest events go
// furthest back come first.
func (t *Trimmer) trimEach(ctx context.Context, before map[string]store.ID) (int, error) {
	var deleted atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(topicsAtOnce)
	topics := slices.SortedFunc(maps.Keys(before), func(a, b string) int {
		return cmp.Or(before[a].Compare(before[b]), strings.Compare(a, b))
	})
	for _, topic := range topics {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			n, err := t.trim(ctx, before[topic], topic)
			deleted.Add(int64(n))
			return err
		})
	}
	err := g.Wait()
	return int(deleted.Load()), err
}

// trimWhole applies the limits of the log as a whole.
func (t *Trimmer) trimWhole(ctx context.Context, now time.Time) (deleted int, err error) {
	whole := t.rules.whole
	if whole.age > 0 {
		if deleted, err = t.trim(ctx, cutoff(now, whole.age), ">"); err != nil {
			return deleted, err
		}
	}
	before, err := t.excess(whole, ">")
	if err != nil || before.IsZero() {
		return deleted, err
	}
	n, err := t.trim(ctx, before, ">")
	return deleted + n, err
}

// cutoff is the ID before which events are older than age.
func cutoff(now time.Time, age time.Duration) store.ID { return store.FirstIDAt(now.Add(-age)) }

// excess is the ID before which there are more events than the limits by count and size allow, zero if there are not.
func (t *Trimmer) excess(l limits, pattern string) (before store.ID, err error) {
	if l.events == 0 && l.bytes == 0 {
		return store.ID{}, nil
	}
	f, err := store.NewFilter(pattern)
	if err != nil {
		return store.ID{}, err
	}
	last, err := t.log.Excess(f, l.events, l.bytes)
	if err != nil || last.IsZero() {
		return store.ID{}, err
	}
	before, _ = last.Next() // no event has MaxID
	return before, nil
}

func (t *Trimmer) trim(ctx context.Context, before store.ID, patterns ...string) (int, error) {
	f, err := store.NewFilter(patterns...)
	if err != nil {
		return 0, err
	}
	return t.log.Trim(ctx, f, before)
}
