package retention

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"time"

	"tidings/store"
)

const (
	// topicsEvery is the minimum interval between two passes when topics have limits of their own. What is deleted then
	// is spread over the log, an event here and there on a page: after a while several are on each page, which is
	// written once for all of them.
	topicsEvery = time.Second

	// sayEvery is the minimum interval between two log lines about deletions.
	sayEvery = time.Minute
)

// Log is the part of store.Log that this package uses, with its contract.
type Log interface {
	Retain(ctx context.Context, keep store.Retention) (int, error)
	NewReader(f store.Filter, after store.ID) store.Reader
	Floor(id store.ID) (store.ID, error)
	Topics(f store.Filter) iter.Seq[store.TopicInfo]
}

// Clock says what is old. Package clock has one that a wrong wall clock does not mislead.
type Clock interface {
	// Past is the time that lies an age back: an event with an earlier time is older.
	Past(age time.Duration) time.Time

	// Doubt says that by this clock young events may look old. While Doubted, nothing is deleted by age.
	Doubt()
	Doubted() bool
}

// Trimmer applies a Policy to a log. It belongs to one goroutine.
type Trimmer struct {
	log   Log
	rules rules
	needs Needed
	last  time.Time // of the last pass
	said  said
}

// Needed returns the event from which on a topic stays whatever the policy says, as of now: see store.Retention. While
// that is unknown it returns an error, and everything stays.
type Needed func() (from func(topic string) store.ID, err error)

// nothing is the default Needed of a Trimmer.
func nothing() (from func(topic string) store.ID, err error) { return nil, nil }

// said is what was deleted since the last log line about it.
type said struct {
	at             time.Time
	events         int
	oldest, newest store.ID
}

// New returns a Trimmer, or Policy.Validate's error.
func New(log Log, p Policy) (*Trimmer, error) {
	r, err := compile(p)
	if err != nil {
		return nil, err
	}
	return &Trimmer{log: log, rules: r, needs: nothing}, nil
}

// Keep makes the Trimmer keep needed events whatever the policy says. It is called before the other methods.
func (t *Trimmer) Keep(needed Needed) { t.needs = needed }

// Judge looks at the log before anything is appended to it after a start, and doubts the clock if a pass would delete,
// by age, the events that were newest: those that nothing followed for as long as that age, until now or until another
// such start. Either the log was idle for that long, or the clock is wrong.
func (t *Trimmer) Judge(c Clock) error {
	from, err := t.needs()
	if err != nil {
		return err
	}
	for _, age := range t.rules.ages() {
		cut := store.FirstIDAt(c.Past(age))
		newest, err := t.log.Floor(cut.Prev())
		if err != nil {
			return err
		}
		if newest.IsZero() {
			continue
		}
		page, err := t.log.NewReader(store.Everything(), newest).Next(1)
		if err != nil {
			return err
		}
		next := c.Past(0)
		if len(page.Events) > 0 {
			next = page.Events[0].ID.Time()
		}
		if next.Sub(newest.Time()) >= age && t.deletes(age, cut, store.Retention{Keep: from}) {
			c.Doubt()
			return nil
		}
	}
	return nil
}

// deletes reports whether there are events before cut that are not needed, in topics of which the log keeps none beyond
// this age.
func (t *Trimmer) deletes(age time.Duration, cut store.ID, keep store.Retention) bool {
	if keep.Keep == nil && t.rules.whole.age == age {
		return true
	}
	topics := t.rules.topics
	if t.rules.whole.age == age {
		topics = store.Everything()
	}
	for info := range t.log.Topics(topics) {
		from := keep.Keeps(info.Topic)
		if info.Count > 0 && info.First.Before(cut) && (from.IsZero() || info.First.Before(from)) &&
			(t.rules.whole.age == age || t.rules.of(info.Topic).age == age) {
			return true
		}
	}
	return false
}

// Run trims at once and then at every interval, until ctx ends or the log accepts no more writes. If a pass ends early,
// because of a full disk or anything else, the rest is left to the next pass.
func (t *Trimmer) Run(ctx context.Context, interval time.Duration, c Clock, logger *slog.Logger) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		deleted, err := t.pass(ctx, time.Now(), c.Past, c.Doubted())
		t.say(logger, time.Now())
		switch {
		case ctx.Err() != nil, errors.Is(err, store.ErrClosed), errors.Is(err, store.ErrFailed):
			t.say(logger, t.said.at.Add(sayEvery))
			return
		case err != nil:
			logger.Warn("retention pass incomplete, will retry", "deleted",
				deleted, "again_in", interval.String(), "error", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.say(logger, t.said.at.Add(sayEvery))
			return
		}
	}
}

// say logs what was deleted since the last line about it, unless that line is too recent.
func (t *Trimmer) say(logger *slog.Logger, now time.Time) {
	if t.said.events == 0 || now.Sub(t.said.at) < sayEvery {
		return
	}
	logger.Info("retention deleted events", "events", t.said.events, "oldest", t.said.oldest.Time(),
		"newest", t.said.newest.Time())
	t.said = said{at: now}
}

// Trim deletes what the policy does not keep at the given time, and returns how many events that was. If topics have
// limits of their own and the last call was less than a second ago, it leaves everything to a later call. The cost
// depends on what is deleted, and on the topics that have limits of their own. After an error it may be called again.
func (t *Trimmer) Trim(ctx context.Context, now time.Time) (deleted int, err error) {
	return t.pass(ctx, now, func(age time.Duration) time.Time { return now.Add(-age) }, false)
}

func (t *Trimmer) pass(ctx context.Context, now time.Time, past func(time.Duration) time.Time,
	doubted bool) (deleted int, err error) {
	if since := now.Sub(t.last); t.rules.ofTopics() && 0 <= since && since < topicsEvery {
		return 0, nil // also the whole log's limits: they count what the topics' limits leave
	}
	t.last = now
	needed, err := t.needs()
	if err != nil {
		return 0, err
	}
	cuts := make(map[time.Duration]store.ID)
	if !doubted {
		for _, age := range t.rules.ages() {
			cuts[age] = store.FirstIDAt(past(age))
		}
	}
	keep := t.rules.keeping(cuts)
	keep.Keep = needed
	keep.Deleted = func(oldest, newest store.ID) {
		if t.said.oldest.IsZero() || oldest.Before(t.said.oldest) {
			t.said.oldest = oldest
		}
		if t.said.newest.Before(newest) {
			t.said.newest = newest
		}
	}
	deleted, err = t.log.Retain(ctx, keep)
	t.said.events += deleted
	return deleted, err
}
