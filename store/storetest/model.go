package storetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"tidings/store"
)

// Model is a store.Log in memory: a slice and a mutex, every answer a loop over the slice. It never
// fails and is never full. Bytes counts the data only.
type Model struct {
	opts   Options
	id     store.ID
	secret [32]byte
	failed chan struct{} // never closed

	mu         sync.Mutex
	events     []store.Event // retained, oldest first
	ever       []store.ID    // of every event, retained or not
	keys       []modelKey    // every group stored under a key, oldest first
	marks      map[markOwner]store.Mark
	deliveries map[string]store.Delivery
	ended      map[string]store.ID    // every topic that has ended -> its last event
	slots      map[[2]string]store.ID // topic and subject -> the event in the slot
	trimmed    map[string]store.ID    // every topic ever appended to -> its newest trimmed event
	head       store.ID
	changed    chan struct{} // closed and replaced when the head moves or the log closes
	closed     bool
}

var _ store.Log = (*Model)(nil)

// CatchUp implements store.Log. A Model is not a mirror.
func (m *Model) CatchUp(context.Context) error { return nil }

// Stats implements store.Log. A Model counts nothing.
func (m *Model) Stats() store.Stats { return store.Stats{} }

// Secret implements store.Log.
func (m *Model) Secret() [32]byte { return m.secret }

// NewModel returns an empty log.
func NewModel(opts Options) *Model {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.KeyWindow == 0 {
		opts.KeyWindow = store.DefaultKeyWindow
	}
	if opts.MaxMarks == 0 {
		opts.MaxMarks = store.DefaultMaxMarks
	}
	if opts.MaxKeys == 0 {
		opts.MaxKeys = store.DefaultMaxKeys
	}
	m := &Model{opts: opts, marks: make(map[markOwner]store.Mark),
		deliveries: make(map[string]store.Delivery), failed: make(chan struct{}),
		ended: make(map[string]store.ID), trimmed: make(map[string]store.ID),
		slots: make(map[[2]string]store.ID), changed: make(chan struct{})}
	m.id = m.mint()
	_, _ = rand.Read(m.secret[:]) // never fails
	return m
}

// Models returns a Factory of Models that remembers, for each dir, the contents of a closed one.
func Models() Factory {
	var mu sync.Mutex
	logs := make(map[string]*Model)
	return func(t testing.TB, dir string, opts Options) store.Log {
		mu.Lock()
		defer mu.Unlock()
		m := NewModel(opts)
		if last, ok := logs[dir]; ok {
			last.mu.Lock()
			defer last.mu.Unlock()
			if !last.closed {
				t.Fatalf("the log in %s is open already", dir)
			}
			m.secret = last.secret
			m.id, m.events, m.trimmed, m.head = last.id, last.events, last.trimmed, last.head
			m.keys, m.ended, m.marks, m.deliveries = last.keys, last.ended, last.marks, last.deliveries
			m.ever, m.slots = last.ever, last.slots
		}
		logs[dir] = m
		return m
	}
}

// mint returns a new ULID of the current time.
func (m *Model) mint() store.ID {
	id := store.FirstIDAt(m.opts.Now())
	rand.Read(id[6:])
	return id
}

// Adopt adds events that another log has committed, so that the Model remains its oracle. Their IDs must
// be above the head.
func (m *Model) Adopt(events ...store.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range events {
		if !m.head.Before(e.ID) {
			panic(fmt.Sprintf("adopted event %s is not above the head %s", e.ID, m.head))
		}
		m.add(e)
	}
}

func (m *Model) add(e store.Event) {
	m.events = append(m.events, e)
	m.ever = append(m.ever, e.ID)
	if _, known := m.trimmed[e.Topic]; !known {
		m.trimmed[e.Topic] = store.ID{}
	}
	if e.Type == store.TypeEnd {
		m.ended[e.Topic] = e.ID
	}
	m.head = e.ID
	m.change()
}

func (m *Model) change() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// committed returns the event that a log makes of a draft.
func committed(id store.ID, d store.Draft) store.Event {
	e := store.Event{ID: id, Topic: d.Topic, Type: d.Type, ContentType: d.ContentType,
		Attributes: slices.Clone(d.Attributes), Data: slices.Clone(d.Data)}
	if e.Type == "" {
		e.Type = store.DefaultType
	}
	return e
}

// validate restates the rules of a Draft, independently of the engines.
func validate(drafts []store.Draft) error {
	if len(drafts) == 0 {
		return fmt.Errorf("%w batch: no drafts", store.ErrInvalid)
	}
	for _, d := range drafts {
		if err := store.ValidateTopic(d.Topic); err != nil {
			return err
		}
		if len(d.Type) > store.MaxNameBytes || len(d.ContentType) > store.MaxNameBytes {
			return fmt.Errorf("%w type or content type: too long", store.ErrInvalid)
		}
		for _, a := range d.Attributes {
			if a.Name == "" || len(a.Name) > store.MaxNameBytes {
				return fmt.Errorf("%w attribute name: empty or too long", store.ErrInvalid)
			}
		}
	}
	return nil
}

// Trim implements store.Log.
func (m *Model) Trim(ctx context.Context, f store.Filter, before store.ID) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return 0, store.ErrClosed
	}
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	var kept []store.Event
	for _, e := range m.events {
		if f.Match(e.Topic) && e.ID.Before(before) {
			m.trimmed[e.Topic] = e.ID
		} else {
			kept = append(kept, e)
		}
	}
	n := len(m.events) - len(kept)
	m.events = kept
	return n, nil
}

// Wait implements store.Log.
func (m *Model) Wait(ctx context.Context, after store.ID) error {
	for {
		m.mu.Lock()
		head, closed, changed := m.head, m.closed, m.changed
		m.mu.Unlock()
		switch {
		case closed:
			return store.ErrClosed
		case after.Before(head):
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Topics implements store.Log.
func (m *Model) Topics(f store.Filter) iter.Seq[store.TopicInfo] {
	m.mu.Lock()
	defer m.mu.Unlock()
	topics := make(map[string]store.TopicInfo)
	for topic, trimmed := range m.trimmed {
		if f.Match(topic) {
			topics[topic] = store.TopicInfo{Topic: topic, Trimmed: trimmed, Ended: m.ended[topic]}
		}
	}
	for _, e := range m.events {
		if t, ok := topics[e.Topic]; ok {
			if t.Count == 0 {
				t.First = e.ID
			}
			t.Count++
			t.Bytes += uint64(len(e.Data))
			t.Last = e.ID
			topics[e.Topic] = t
		}
	}
	return func(yield func(store.TopicInfo) bool) {
		for _, t := range topics {
			if !yield(t) {
				return
			}
		}
	}
}

// Failed implements store.Log: a Model never fails.
func (m *Model) Failed() <-chan struct{} { return m.failed }

// Ready implements store.Log.
func (m *Model) Ready() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return store.ErrClosed
	}
	return nil
}

// Close implements store.Log.
func (m *Model) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.change()
	return nil
}
