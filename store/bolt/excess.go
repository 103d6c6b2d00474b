package bolt

import (
	"slices"

	"tidings/store"
)

const (
	// excessStep bounds the topics examined at once, while a commit waits.
	excessStep = 1024

	// excessRecord is a guess at the bytes of a record, so that few records are read beyond the excess.
	excessRecord = 256
)

// excess is how much of a topic, or of the whole log, exceeds its limits and has not been found yet.
type excess struct {
	before        store.ID // older events are too old
	events, bytes uint64
	keep          store.ID // of a topic: nothing from here on is excess; zero: no such bound
}

// has reports whether the oldest event that has not been found yet is excess, if it lies at id.
func (e *excess) has(id store.ID) bool {
	return (e.events > 0 || e.bytes > 0 || id.Before(e.before)) && (e.keep.IsZero() || id.Before(e.keep))
}

// found counts an event whose record has this size.
func (e *excess) found(size uint64) {
	e.events, e.bytes = saturatingSub(e.events, 1), saturatingSub(e.bytes, size)
}

// search walks the log in order, for the excess of topics or of the whole log.
type search struct {
	reader *reader
	step   int                // records to examine in one transaction
	topics map[*topic]*excess // each until all of it is found
	whole  *excess            // of the log, until all of it is found; nil in a search of topics

	keep   *store.Retention
	passed *passed // of the whole log
}

// passed are the oldest events of the log, as far as each of them is kept whatever the limits of the whole
// log say: a search need not examine them again. Log.looking guards it.
type passed struct {
	through       store.ID
	events, bytes uint64
	topics        map[*topic]passedTopic
	ended         bool // an event was found that goes, or that is damaged
}

// passedTopic is why events of a topic were passed.
type passedTopic struct{ keep, trimmed store.ID }

// stays reports whether an event beyond the limits is kept all the same, and records that the search has
// passed it.
func (s *search) stays(t *topic, id store.ID, size uint64) bool {
	if s.whole == nil {
		return false // a topic's excess ends before the events that stay
	}
	from, p := s.keep.Keeps(t.name), s.passed
	if from.IsZero() || id.Before(from) {
		p.ended = true
		return false
	}
	if !p.ended {
		p.through, p.events, p.bytes = id, p.events+1, p.bytes+size
		if _, known := p.topics[t]; !known {
			s.reader.l.index.mu.RLock()
			p.topics[t] = passedTopic{from, t.visible.trimmed}
			s.reader.l.index.mu.RUnlock()
		}
	}
	return true
}

// stillPassed discards what was passed if some of it is gone, or need not be kept any more. The caller holds
// looking, and the index's lock.
func (l *Log) stillPassed(keep *store.Retention) *passed {
	l.passed.ended = false
	for t, was := range l.passed.topics {
		if from := keep.Keeps(t.name); from.IsZero() || was.keep.Before(from) || t.visible.trimmed != was.trimmed {
			l.passed = passed{}
			break
		}
	}
	if l.passed.topics == nil {
		l.passed.topics = make(map[*topic]passedTopic)
	}
	return &l.passed
}

func (s *search) goesOn() bool { return s.whole != nil || len(s.topics) > 0 }

// of returns the excess that an event of the topic counts towards, nil if all of it is found.
func (s *search) of(t *topic) *excess {
	if s.whole != nil {
		return s.whole
	}
	return s.topics[t]
}

// end records that the excess an event of the topic counts towards is found.
func (s *search) end(t *topic) {
	s.whole = nil
	delete(s.topics, t)
}

// pass counts a damaged record. It stays: a later event must not be deleted in its place, whatever topic it
// belongs to.
func (s *search) pass(id store.ID, size uint64) {
	if s.whole != nil {
		s.passed.ended = true
		if s.whole.found(size); !s.whole.has(id) {
			s.whole = nil
		}
	}
	for t, e := range s.topics {
		if e.found(size); !e.has(id) {
			delete(s.topics, t)
		}
	}
}

// excessOfTopics searches the topics that may have something to delete. A topic's oldest event is not always
// known, but it is after the trimmed mark, and not before the one that an earlier search has found.
func (l *Log) excessOfTopics(keep store.Retention) *search {
	l.index.mu.RLock()
	topics := l.index.byID
	l.index.mu.RUnlock()
	if keep.Topics.IsZero() {
		topics = nil
	}
	found := make(map[*topic]*excess)
	var states [excessStep]topicState
	for chunk := range slices.Chunk(topics, excessStep) {
		l.index.mu.RLock()
		for i, t := range chunk {
			states[i] = t.visible
		}
		l.index.mu.RUnlock()
		for i, t := range chunk {
			state := &states[i]
			if state.count == 0 || !keep.Topics.Match(t.name) {
				continue
			}
			limit := keep.OfTopic(t.name)
			e := excess{limit.Before, over(state.count, limit.Events), over(state.bytes, limit.Bytes), store.ID{}}
			if e.has(store.ID{}) {
				e.keep = keep.Keeps(t.name)
			}
			if e.has(slices.MaxFunc([]store.ID{state.first, state.trimmed, t.oldest},
				store.ID.Compare)) {
				found[t] = new(e)
			}
		}
	}
	return &search{reader: &reader{l: l, from: selection{only: found}, idsOnly: true,
		stride: stepsPerSeek},
		step: retainStep, topics: found}
}

// excessOfLog searches the log as a whole. It reads few records beyond the excess.
func (l *Log) excessOfLog(keep store.Retention) *search {
	limit := keep.Whole
	l.index.mu.RLock()
	e := excess{before: limit.Before, events: over(l.index.events, limit.Events),
		bytes: over(l.index.bytes, limit.Bytes)}
	p := l.stillPassed(&keep)
	l.index.mu.RUnlock()
	e.events, e.bytes = saturatingSub(e.events, p.events), saturatingSub(e.bytes, p.bytes)
	s := &search{reader: &reader{l: l, from: selection{filter: store.Everything()}, all: true, idsOnly: true,
		pos: p.through, through: p.through}, keep: &keep, passed: p,
		step: int(min(retainStep, trimStep+max(e.events, e.bytes/excessRecord)))}
	if e.has(p.through) {
		s.whole = &e
	}
	return s
}

// over is how much n exceeds the limit, where 0 means no limit.
func over(n, limit uint64) uint64 {
	if limit == 0 {
		return 0
	}
	return saturatingSub(n, limit)
}
