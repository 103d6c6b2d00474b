// Package retention decides which events a log no longer keeps, and trims them.
//
//	trimmer, err := retention.New(log, retention.Policy{
//		Age:    []retention.Limit[time.Duration]{{Max: 30 * 24 * time.Hour}},
//		Events: []retention.Limit[uint64]{{Pattern: "orders.>", Max: 10_000}},
//	})
//	err = trimmer.Judge(clock) // before the first append
//	trimmer.Run(ctx, 10*time.Second, clock, logger)
//
// What is deleted depends on the log and the time, and on what is needed: see Trimmer.Keep. A limit with a pattern
// bounds each matching topic by itself. If several patterns match a topic, the most specific of each kind of limit
// counts: the one with the most literal segments; among those the one with the most segments; among those the first in
// byte order. An age without a pattern applies to all topics that no pattern of another age matches. A number of events
// or bytes without one bounds the log as a whole, topics with limits of their own included, and is applied last. A
// reserved topic has the age of the topic that it is about, and other limits only if a pattern names it, so the
// events about an event stay as long as it does.
//
// An event is deleted when it is older than its age, or not among the newest N events, or not among the newest that fit
// in N bytes, unless it is needed. A needed event counts for the limits, and nothing else is deleted in its place, so a
// log may exceed the limits by what is needed. Nothing else is ever deleted. Times are those of the events' IDs: while
// the clock is behind the log, events are trimmed late, never early. A clock that is ahead must not trim early either:
// see Clock, and Trimmer.Judge.
package retention

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"tidings/store"
)

// Policy is what a log keeps. The zero value keeps everything.
type Policy struct {
	Age    []Limit[time.Duration]
	Events []Limit[uint64]
	Bytes  []Limit[uint64] // of records, as the log's Info counts them
}

// Limit bounds each topic that Pattern matches or, if it is empty, the log as a whole.
type Limit[T time.Duration | uint64] struct {
	Pattern string
	Max     T
}

// Validate returns an error that says which limit is wrong. Its text names no flag.
func (p Policy) Validate() error {
	_, err := compile(p)
	return err
}

// IsZero reports whether everything is kept.
func (p Policy) IsZero() bool { return len(p.Age)+len(p.Events)+len(p.Bytes) == 0 }

// limits apply to one topic, or to the log as a whole; 0 is none.
type limits struct {
	age           time.Duration
	events, bytes uint64
}

// rules are a Policy in the form that is applied.
type rules struct {
	whole  limits
	topics store.Filter // topics with limits of their own
	age    []rule[time.Duration]
	events []rule[uint64]
	bytes  []rule[uint64]
}

// rule is a Limit with a pattern. Rules are kept in order, the most specific first.
type rule[T time.Duration | uint64] struct {
	filter store.Filter
	max    T
}

func compile(p Policy) (r rules, err error) {
	var patterns []string
	if r.whole.age, r.age, err = sorted(p.Age, &patterns); err != nil {
		return rules{}, err
	}
	if r.whole.events, r.events, err = sorted(p.Events, &patterns); err != nil {
		return rules{}, err
	}
	if r.whole.bytes, r.bytes, err = sorted(p.Bytes, &patterns); err != nil {
		return rules{}, err
	}
	if r.whole.age > 0 && len(r.age) > 0 { // then it is the least specific of them
		all := store.All()
		r.age = append(r.age, rule[time.Duration]{all, r.whole.age})
		patterns = append(patterns, all.String())
		r.whole.age = 0
	}
	r.topics, err = store.NewFilter(patterns...)
	if len(r.age) > 0 {
		r.topics = r.topics.WithReserved() // events about a topic have its age
	}
	return r, err
}

// sorted separates the limits of one kind, and adds their patterns to the list.
func sorted[T time.Duration | uint64](all []Limit[T],
	patterns *[]string) (whole T, list []rule[T], err error) {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b Limit[T]) int { return bySpecificity(a.Pattern, b.Pattern) })
	for i, l := range all {
		switch {
		case l.Max <= 0:
			return 0, nil, fmt.Errorf("expected a limit above 0, got %v", l.Max)
		case i > 0 && l.Pattern == all[i-1].Pattern && l.Pattern == "":
			return 0, nil, fmt.Errorf("the whole log has two limits, %v and %v",
				all[i-1].Max, l.Max)
		case i > 0 && l.Pattern == all[i-1].Pattern:
			return 0, nil, fmt.Errorf("%s has two limits, %v and %v", l.Pattern,
				all[i-1].Max, l.Max)
		case l.Pattern == "":
			whole = l.Max
			continue
		}
		f, err := store.NewFilter(l.Pattern)
		if err != nil {
			return 0, nil, err
		}
		*patterns = append(*patterns, l.Pattern)
		list = append(list, rule[T]{f, l.Max})
	}
	return whole, list, nil
}

// bySpecificity orders patterns, the most specific first.
func bySpecificity(a, b string) int {
	return cmp.Or(cmp.Compare(literals(b), literals(a)),
		cmp.Compare(strings.Count(b, "."), strings.Count(a, ".")), strings.Compare(a, b))
}

func literals(pattern string) (n int) {
	for segment := range strings.SplitSeq(pattern, ".") {
		if segment != "*" && segment != ">" {
			n++
		}
	}
	return n
}

// ofTopics reports whether topics have limits.
func (r *rules) ofTopics() bool { return len(r.age)+len(r.events)+len(r.bytes) > 0 }

// ages are the ages of all limits, each once.
func (r *rules) ages() (ages []time.Duration) {
	if r.whole.age > 0 {
		ages = append(ages, r.whole.age)
	}
	for _, l := range r.age {
		if !slices.Contains(ages, l.max) {
			ages = append(ages, l.max)
		}
	}
	return ages
}

// keeping is what the log keeps when events before these IDs are older than these ages. A missing age is no limit.
func (r *rules) keeping(cuts map[time.Duration]store.ID) store.Retention {
	return store.Retention{
		Topics:  r.topics,
		OfTopic: func(topic string) store.Limits { return r.of(topic).keeping(cuts) },
		Whole:   r.whole.keeping(cuts),
	}
}

// of returns the limits of a topic. A reserved topic has the age of the topic that it is about, unless a pattern names
// it.
func (r *rules) of(topic string) limits {
	age := first(r.age, topic)
	if age == 0 {
		age = first(r.age, store.About(topic))
	}
	return limits{age, first(r.events, topic), first(r.bytes, topic)}
}

func (l limits) keeping(cuts map[time.Duration]store.ID) store.Limits {
	return store.Limits{Before: cuts[l.age], Events: l.events, Bytes: l.bytes}
}

func first[T time.Duration | uint64](list []rule[T], topic string) T {
	for _, r := range list {
		if r.filter.Match(topic) {
			return r.max
		}
	}
	return 0
}
