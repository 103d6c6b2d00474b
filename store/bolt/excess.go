package bolt

import (
	"slices"

	"tidings/store"
)

const (
	// excessStep bounds the topics that are looked at in one go, for which a commit waits.
	excessStep = 1024

	// excessRecord is a guess at the bytes of a record, so that few more are looked at than are too
	// much.
	excessRecord = 256
)

// excess is how much of a topic, or of the whole log, is too much, as far as it has not been found.
type excess struct {
	before        store.ID // what is older is too old
	events, bytes uint64
	keep          store.ID // of a topic: from here on nothing is too much; zero: something may be
}

// has reports whether the oldest event that has not been found is too much when it lies at id.
func (e *excess) has(id store.ID) bool {
	return (e.events > 0 || e.bytes > 0 || id.Before(e.before)) && (e.keep.IsZero() || id.Before(e.keep))
}

// found counts an event whose record has this size.
func (e *excess) found(size uint64) {
	e.events, e.bytes = saturatingSub(e.events, 1), saturatingSub(e.bytes, size)
}

// search goes through the log in its order, for the excess of topics or for that of the whole log.
type search struct {
	reader *reader
	step   int                // records to look at in one transaction
	topics map[*topic]*excess // each until it has been found
	whole  *excess            // of the log, until it has been found; nil while it is about topics

	keep   *store.Retention
	passed *passed // of the whole log
}

// passed are the oldest events of the log as far as each of them is kept, whatever the limits of the whole log say: a
// search need not look at them again. Log.looking guards it.
type passed struct {
	through       store.ID
	events, bytes uint64
	topics        map[*topic]passedTopic
	ended         bool // something has been found that goes, or is damaged
}

// passedTopic says why events of a topic were passed.
type passedTopic struct{ keep, trimmed store.ID }

// stays reports whether what is too much stays all the same, and notes that the search has come past it.
func (s *search) stays(t *topic, id store.ID, size uint64) bool {
	if s.whole == nil {
		return false // an excess of a topic ends before what stays
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

// stillPassed forgets what was passed when some of that is gone, or need not be kept any more. The caller holds
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

// of returns the excess that an event of the topic counts for, nil if it has been found.
func (s *search) of(t *topic) *excess {
	if s.whole != nil {
		return s.whole
	}
	return s.topics[t]
}

// end notes that the excess that an event of the topic counts for has been found.
func (s *search) end(t *topic) {
	s.whole = nil
	delete(s.topics, t)
}

// pass counts a damaged record. It stays: what follows must not go in its place, whichever topic it
// is of.
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

// excessOfTopics searches the topics that may have something to delete. A topic's oldest event is
// not always known, but it follows what was trimmed, and is not before what an earlier search has
// found.
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

// excessOfLog searches the log as a whole. It looks at few more records than are too much.
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

// over is how much of n is above the limit, 0 being no limit.
func over(n, limit uint64) uint64 {
	if limit == 0 {
		return 0
	}
	return saturatingSub(n, limit)
}
