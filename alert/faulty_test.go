package alert_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"tidings/store"
)

// faulty is a log whose writes fail on demand.
type faulty struct {
	store.Log
	hide   store.ID     // an event that readers skip like a damaged one
	damage string       // rows with this in their name cannot be read
	read   atomic.Int64 // events that readers returned
	mu     sync.Mutex
	err    error
	before func() // called before events are stored, if it is set
}

func (f *faulty) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *faulty) failing() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *faulty) SetDeliveries(ctx context.Context, changes []store.NamedDelivery, ride bool) error {
	if err := f.failing(); err != nil {
		return err
	}
	return f.Log.SetDeliveries(ctx, changes, false)
}

func (f *faulty) AppendOnce(ctx context.Context, groups []store.Group) ([]store.Result, error) {
	if err := f.failing(); err != nil {
		return nil, err
	}
	if f.before != nil {
		f.before()
	}
	return f.Log.AppendOnce(ctx, groups)
}

func (f *faulty) Deliveries() ([]store.NamedDelivery, error) {
	rows, err := f.Log.Deliveries()
	for i := range rows {
		if f.damage != "" && strings.Contains(rows[i].Name, f.damage) {
			rows[i].Record = nil
		}
	}
	return rows, err
}

func (f *faulty) NewReader(filter store.Filter, after store.ID) store.Reader {
	return &countingReader{f.Log.NewReader(filter, after), f}
}

type countingReader struct {
	store.Reader
	f *faulty
}

func (r *countingReader) Next(max int) (store.Page, error) {
	page, err := r.Reader.Next(max)
	page.Events = slices.DeleteFunc(page.Events, func(e store.Event) bool { return e.ID == r.f.hide })
	r.f.read.Add(int64(len(page.Events)))
	return page, err
}

// rows and put take the rows that a board keeps, and put them back.
func (f *faulty) rows(t *testing.T) []store.NamedDelivery {
	t.Helper()
	rows, err := f.Log.Deliveries()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func (f *faulty) put(t *testing.T, rows []store.NamedDelivery) {
	t.Helper()
	if err := f.Log.SetDeliveries(t.Context(), rows, false); err != nil {
		t.Fatal(err)
	}
}
