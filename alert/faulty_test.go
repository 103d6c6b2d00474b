package alert_test

import (
	"context"
	"sync"

	"tidings/store"
)

// faulty is a log whose writes fail on demand.
type faulty struct {
	store.Log
	mu  sync.Mutex
	err error
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
	return f.Log.AppendOnce(ctx, groups)
}
