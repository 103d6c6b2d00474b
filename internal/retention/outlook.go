package retention

import (
	"iter"
	"slices"
	"time"

	"tidings/store"
)

// Outlook predicts how long a log keeps events under a Policy, as far as that can be known. All methods may be called
// concurrently.
//
// An age is exact. A number of events, or of bytes, is kept for as long as that many take to arrive, estimated from the
// past: the retained events have arrived since the oldest of them. A topic that is written faster from now on is kept
// for less.
type Outlook struct {
	log     Kept
	rules   rules
	filters []store.Filter
}

// Kept is the part of store.Log that an Outlook uses, with its contract.
type Kept interface {
	Info() (store.Info, error)
	Topics(f store.Filter) iter.Seq[store.TopicInfo]
}

// NewOutlook returns an Outlook, or Policy.Validate's error.
func NewOutlook(log Kept, p Policy) (*Outlook, error) {
	r, err := compile(p)
	o := &Outlook{log: log, rules: r}
	for _, l := range r.age {
		o.filters = append(o.filters, l.filter.WithReserved())
	}
	for _, l := range slices.Concat(r.events, r.bytes) {
		o.filters = append(o.filters, l.filter)
	}
	return o, err
}

// span is how long something is kept; 0: forever.
type span time.Duration

// least is the shorter of two.
func least(a, b span) span {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// filled is how long the newest max events are kept, given n whose oldest was committed at first.
func filled(max, n uint64, first store.ID, now time.Time) span {
	if max == 0 || n == 0 {
		return 0
	}
	return span(float64(now.Sub(first.Time())) * (float64(max) / float64(n)))
}

// Keeps returns how long an event of a topic stays in the log, from its commit; 0: forever. The error is the log's.
func (o *Outlook) Keeps(topic string, now time.Time) (time.Duration, error) {
	whole, err := o.whole(now)
	if err != nil {
		return 0, err
	}
	l := o.rules.of(topic)
	keeps := least(whole, span(l.age))
	if f, err := store.NewFilter(topic); err == nil && l.events+l.bytes > 0 {
		for info := range o.log.Topics(f) {
			keeps = least(keeps, filled(l.events, info.Count, info.First, now))
			keeps = least(keeps, filled(l.bytes, info.Bytes, info.First, now))
		}
	}
	return time.Duration(keeps), nil
}

// whole is how long the log as a whole keeps events.
func (o *Outlook) whole(now time.Time) (span, error) {
	info, err := o.log.Info()
	w := o.rules.whole
	keeps := least(filled(w.events, info.Events, info.First, now), filled(w.bytes, info.Bytes, info.First, now))
	return least(keeps, span(w.age)), err
}

// Shortest returns a time for which every event stays, whatever its topic; 0: some may go at any time, or none ever
// goes. The error is the log's.
func (o *Outlook) Shortest(now time.Time) (time.Duration, error) {
	if len(o.rules.events)+len(o.rules.bytes) > 0 {
		return 0, nil
	}
	keeps, err := o.whole(now)
	for _, r := range o.rules.age {
		keeps = least(keeps, span(r.max))
	}
	return time.Duration(keeps), err
}

// Filters returns the filters of topic limits, with the reserved topics about these. The caller does not change the
// list.
func (o *Outlook) Filters() []store.Filter { return o.filters }
