package storetest

import (
	"context"
	"slices"

	"tidings/store"
)

// modelReader is the store.Reader of a Model.
type modelReader struct {
	model    *Model
	filter   store.Filter
	position store.ID
	last     []store.Event // of the page to be released
}

// NewReader implements store.Log.
func (m *Model) NewReader(f store.Filter, after store.ID) store.Reader {
	return &modelReader{model: m, filter: f, position: after}
}

// Next implements store.Reader.
func (r *modelReader) Next(limit int) (store.Page, error) {
	m := r.model
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return store.Page{}, store.ErrClosed
	}
	page := store.Page{Through: store.Later(r.position, m.head)}
	for topic, trimmed := range m.trimmed {
		if r.filter.Match(topic) && r.position.Before(trimmed) {
			page.Trimmed = store.Later(page.Trimmed, trimmed)
		}
	}
	size := 0
	for _, e := range m.events {
		if !r.position.Before(e.ID) || !r.filter.Match(e.Topic) {
			continue
		}
		size += len(e.Data)
		if n := len(page.Events); n == limit || n > 0 && size > store.MaxPageBytes {
			page.Through = page.Events[n-1].ID
			break
		}
		page.Events = append(page.Events, e)
	}
	r.position = page.Through
	r.last = page.Events
	return page, nil
}

// Release implements store.Reader: it overwrites the page, so that later use shows.
func (r *modelReader) Release() {
	for i := range r.last {
		r.last[i] = store.Event{Topic: "released", Data: []byte("released")}
	}
	r.last = nil
}

// Get implements store.Log.
func (m *Model) Get(id store.ID) (store.Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return store.Event{}, store.ErrClosed
	}
	for _, e := range m.events {
		if e.ID == id {
			return e, nil
		}
	}
	return store.Event{}, store.ErrNotFound
}

// Newest implements store.Log. If no event matches, the position is the last one before the given ID that
// is not ahead of the log, so that reading from it reports no loss.
func (m *Model) Newest(f store.Filter, before store.ID, n, maxBytes int) (store.ID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return store.ID{}, store.ErrClosed
	}
	older := preceding(matching(m.events, f, store.ID{}), before)
	for i, size := 1, 0; i <= min(n, len(older)); i++ {
		if size += older[len(older)-i].Size(); size > maxBytes {
			n = i
		}
	}
	switch {
	case len(older) == 0:
		return earlier(before.Prev(), m.head), nil
	case n >= len(older):
		return older[0].ID.Prev(), nil
	default:
		return older[len(older)-n-1].ID, nil
	}
}

// Retain implements store.Log.
func (m *Model) Retain(ctx context.Context, keep store.Retention) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return 0, store.ErrClosed
	}
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	was := m.events
	for topic := range m.trimmed {
		if keep.Topics.Match(topic) {
			m.retain(func(e store.Event) bool { return e.Topic == topic }, keep.OfTopic(topic), &keep)
		}
	}
	m.retain(func(store.Event) bool { return true }, keep.Whole, &keep)
	for _, e := range was {
		if keep.Deleted != nil && !m.retained(e.ID) {
			keep.Deleted(e.ID, e.ID)
		}
	}
	return len(was) - len(m.events), nil
}

// retain deletes, of the events that count, those beyond the limits that keep.Keep does not name. The caller holds mu.
func (m *Model) retain(counts func(store.Event) bool, limits store.Limits, keep *store.Retention) {
	var count, size uint64
	goes := false // this event and all older ones
	var kept []store.Event
	for _, e := range slices.Backward(m.events) {
		if !counts(e) {
			kept = append(kept, e)
			continue
		}
		count, size = count+1, size+uint64(len(e.Data))
		goes = goes || e.ID.Before(limits.Before) || limits.Events > 0 && count > limits.Events ||
			limits.Bytes > 0 && size > limits.Bytes
		if from := keep.Keeps(e.Topic); goes && (from.IsZero() || e.ID.Before(from)) {
			m.trimmed[e.Topic] = store.Later(m.trimmed[e.Topic], e.ID)
		} else {
			kept = append(kept, e)
		}
	}
	slices.Reverse(kept)
	m.events = kept
}

// Resolve implements store.Log.
func (m *Model) Resolve(id store.ID) (nearest store.ID, known bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return store.ID{}, false, store.ErrClosed
	}
	for _, e := range m.ever {
		if !id.Before(e) {
			nearest = e
		}
	}
	return nearest, nearest == id, nil
}

// Floor implements store.Log.
func (m *Model) Floor(id store.ID) (store.ID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return store.ID{}, store.ErrClosed
	}
	var floor store.ID
	for _, e := range m.events {
		if !id.Before(e.ID) {
			floor = e.ID
		}
	}
	return floor, nil
}

// Head implements store.Log.
func (m *Model) Head() store.ID {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.head
}

// Trimmed implements store.Log.
func (m *Model) Trimmed() store.ID {
	m.mu.Lock()
	defer m.mu.Unlock()
	var highest store.ID
	for _, id := range m.trimmed {
		highest = store.Later(highest, id)
	}
	return highest
}

// Info implements store.Log.
func (m *Model) Info() (store.Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return store.Info{}, store.ErrClosed
	}
	info := store.Info{LogID: m.id, Engine: "model", Events: uint64(len(m.events)),
		Topics: len(m.trimmed), Keys: len(m.keys), Marks: len(m.marks)}
	if len(m.keys) > 0 {
		info.OldestKey = m.keys[0].ids[0]
	}
	full := make(map[string]bool)
	for _, e := range m.events {
		full[e.Topic] = true
	}
	info.Bare = info.Topics - len(full)
	for i, e := range m.events {
		if i == 0 {
			info.First = e.ID
		}
		info.Last = e.ID
		info.Bytes += uint64(len(e.Data))
	}
	return info, nil
}
