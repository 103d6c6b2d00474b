package bolt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"tidings/store"
)

// checking is the check of the file's pages: at open, and after a clean close the check of the older events,
// which continues in its own goroutine. It needs no transaction and no lock: the pages of the older events
// stay where they are until something is deleted, and deletion waits for the check.
type checking struct {
	pages    *pages
	counted  uint64 // events, by the topics' records
	counters *counters
	logger   *slog.Logger

	over     chan struct{} // closed when all is checked, damage was found, or the log closes
	wanted   chan struct{} // closed when someone waits for that
	wantOnce sync.Once
	closing  <-chan struct{}

	told, rested time.Time
}

func newChecking(f *file, closing <-chan struct{}) *checking {
	c := &checking{pages: &pages{}, counters: f.counters, logger: f.logger,
		over: make(chan struct{}), wanted: make(chan struct{}), closing: closing}
	c.pages.step = c.atOpen
	return c
}

// opened is called after the check at open.
func (c *checking) opened() {
	c.counters.unchecked.Store(0)
	if c.pages.quick {
		c.tell(c.pages.done)
	}
}

// progressTime is how often a long check logs its progress.
const progressTime = 5 * time.Second

// restFor is how long the background check rests, as a multiple of the time it has worked: it uses at most a
// quarter of a processor, and of the disk.
const restFor = 3

var errClosing = errors.New("the log closes")

// checkRest checks what the open has left for later. Damage fails the log: the next open checks
// everything, and refuses it.
func (l *Log) checkRest() {
	c := l.checking
	defer close(c.over)
	if len(c.pages.later) > 0 {
		l.logger.Info("clean shutdown detected, checking older events in the background",
			"bytes", c.counters.unchecked.Load())
	}
	if err := c.rest(); err != nil && !errors.Is(err, errClosing) {
		l.fail(fmt.Errorf("%w; run tidings verify, then restore a backup", damaged(l.path, err)))
	}
}

func (c *checking) rest() (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
		err = errors.Join(err, c.pages.close())
		c.pages = nil // frees what it remembers of each page
	}()
	if !c.pages.quick {
		return nil
	}
	c.rested, c.pages.step = time.Now(), c.inBackground
	some := len(c.pages.later) > 0
	if err := cmp.Or(c.pages.rest(), c.compare()); err != nil {
		return err
	}
	c.counters.unchecked.Store(0)
	if some {
		c.logger.Info("background check finished, all events intact")
	}
	return nil
}

// compare looks for missing events. A damaged page number can hide some: it leads to an older page, which is
// sound in itself.
func (c *checking) compare() error {
	if found := c.pages.events; c.counted > found {
		return fmt.Errorf("%d events are counted, %d found", c.counted, found)
	}
	return nil
}

// tell records how far the check is, and logs it now and then.
func (c *checking) tell(pages int) {
	p := c.pages
	left := saturatingSub(p.used, uint64(pages)+p.listed) * p.size
	c.counters.unchecked.Store(left)
	switch now := time.Now(); {
	case c.told.IsZero():
		c.told = now
	case now.Sub(c.told) >= progressTime:
		c.told = now
		c.logger.Info("checking the log", "bytes_left", left, "bytes", p.used*p.size)
	}
}

// atOpen is the step of pages while the log opens.
func (c *checking) atOpen(pages int) error {
	c.tell(pages)
	return nil
}

// inBackground is the step after that.
func (c *checking) inBackground(pages int) error {
	c.tell(pages)
	rest := time.NewTimer(restFor * time.Since(c.rested))
	defer rest.Stop()
	select {
	case <-c.closing:
		return errClosing
	case <-c.wanted:
	case <-rest.C:
	}
	c.rested = time.Now()
	return nil
}

// hurry makes the check continue without rests.
func (c *checking) hurry() { c.wantOnce.Do(func() { close(c.wanted) }) }

// checked waits until all pages are checked: a page that damage has made part of two trees must not be freed
// or rewritten. Errors: ErrClosed and the cause of ctx's end.
func (l *Log) checked(ctx context.Context) error {
	select {
	case <-l.checking.over:
		return nil
	default:
	}
	select {
	case <-l.checking.over:
		return nil
	case <-l.closing:
		return store.ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
