package storetest

import (
	"context"
	"slices"
	"strings"

	"tidings/store"
)

// markOwner is the subject that keeps a read mark, and its name.
type markOwner struct{ subject, name string }

// SetMark implements store.Log.
func (m *Model) SetMark(_ context.Context, subject, name string,
	mark store.Mark) (store.Mark, error) {
	if name == "" || len(name) > store.MaxMarkName || len(subject) > store.MaxMarkSubject ||
		len(mark.Topics.Patterns()) == 0 {
		return store.Mark{}, store.ErrInvalid
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return store.Mark{}, store.ErrClosed
	}
	at := markOwner{subject, name}
	old, ok := m.marks[at]
	switch {
	case ok && mark.ID.Before(old.ID):
		return old, nil
	case !ok && len(m.marks) >= m.opts.MaxMarks,
		!ok && subject != "" && m.marksOf(subject)+1 > m.opts.MaxMarks-len(m.marks)-1:
		return store.Mark{}, store.ErrMarkLimit
	}
	m.marks[at] = mark
	return mark, nil
}

func (m *Model) marksOf(subject string) (n int) {
	for at := range m.marks {
		if at.subject == subject {
			n++
		}
	}
	return n
}

// Mark implements store.Log.
func (m *Model) Mark(subject, name string) (store.Mark, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	mark, ok := m.marks[markOwner{subject, name}]
	if !ok {
		return store.Mark{}, store.ErrNotFound
	}
	return mark, nil
}

// Marks implements store.Log.
func (m *Model) Marks(subject, after string, max int) (marks []store.NamedMark, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for at, mark := range m.marks {
		if at.subject == subject && at.name > after {
			marks = append(marks, store.NamedMark{Name: at.name, Mark: mark})
		}
	}
	slices.SortFunc(marks, func(a, b store.NamedMark) int { return strings.Compare(a.Name, b.Name) })
	return marks[:min(max, len(marks))], nil
}

// DeleteMark implements store.Log.
func (m *Model) DeleteMark(_ context.Context, subject, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := markOwner{subject, name}
	if _, ok := m.marks[at]; !ok {
		return store.ErrNotFound
	}
	delete(m.marks, at)
	return nil
}

// Count implements store.Log.
func (m *Model) Count(f store.Filter, after store.ID, max int) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return min(max, len(matching(m.events, f, after))), nil
}
