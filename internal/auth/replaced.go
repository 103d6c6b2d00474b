package auth

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// replacedPause is the minimum interval between two looks for another key.
const replacedPause = time.Second

// replaced holds the keys of the configuration if they may change, in a file. It has no goroutine: it looks when a
// token needs a key.
type replaced struct {
	newKey func() ([]byte, error)
	now    func() time.Time
	logger *slog.Logger

	set    atomic.Pointer[keySet]
	turn   sync.Mutex // of the call that looks
	looked time.Time  // belongs to the call that has the turn
}

func newReplaced(set *keySet, o Options) *replaced {
	r := &replaced{newKey: o.NewKey, now: o.Now, logger: o.Logger, looked: o.Now()}
	r.set.Store(set)
	return r
}

// current looks for another key in one of the calls; the others use the old one meanwhile. An unusable new key leaves
// the old one in force: it may be half written.
func (r *replaced) current(context.Context) *keySet {
	if !r.turn.TryLock() {
		return r.set.Load()
	}
	defer r.turn.Unlock()
	if now := r.now(); now.Sub(r.looked) >= replacedPause {
		r.looked = now
		r.renew()
	}
	return r.set.Load()
}

func (r *replaced) renew() {
	text, err := r.newKey()
	if text == nil && err == nil {
		return
	}
	if err == nil {
		var set *keySet
		if set, err = configured(text); err == nil {
			r.set.Store(set)
			r.logger.Info("token keys reloaded")
			return
		}
	}
	r.logger.Warn("reloading the token key failed, keeping the old one", "error", err)
}

func (r *replaced) renewed(ctx context.Context) *keySet { return r.current(ctx) }
