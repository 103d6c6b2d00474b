package nodes_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidings/internal/nodes"
	"tidings/internal/nodes/nodestest"
	"tidings/store"
)

// rows are the deliveries of a log that several nodes keep.
type rows struct {
	mu  sync.Mutex
	all map[string][]byte
}

// link is the log as one node has it.
type link struct {
	store.Log // nil
	*rows
	mu   sync.Mutex
	down bool          // it gets no answer
	old  []byte        // if not nil, the lease that is returned, whatever is stored
	slow time.Duration // how long CatchUp takes
	late time.Duration // the outcome is reported as unknown, and the write happens this much later
}

func (l *link) set(down bool, late time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down, l.late = down, late
}

// stale freezes the lease that is returned, as of now.
func (l *link) stale() {
	d, _ := l.Delivery("\x00lease")
	l.mu.Lock()
	defer l.mu.Unlock()
	l.old = d.Record
}

func (l *link) state() (down bool, late time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.down, l.late
}

func (l *link) CatchUp(context.Context) error {
	if down, _ := l.state(); down {
		return store.ErrUnavailable
	}
	l.mu.Lock()
	slow := l.slow
	l.mu.Unlock()
	time.Sleep(slow)
	return nil
}

func (l *link) Delivery(name string) (store.Delivery, error) {
	l.rows.mu.Lock()
	defer l.rows.mu.Unlock()
	record, ok := l.all[name]
	if !ok {
		return store.Delivery{}, store.ErrNotFound
	}
	if l.mu.Lock(); l.old != nil {
		record = l.old
	}
	l.mu.Unlock()
	return store.Delivery{Record: record}, nil
}

func (l *link) SetDeliveries(_ context.Context, changes []store.NamedDelivery, _ bool) error {
	down, late := l.state()
	switch {
	case down:
		time.Sleep(10 * time.Second) // a commit that cannot be placed is retried
		return store.ErrUnavailable
	case late > 0:
		time.AfterFunc(late, func() { _ = l.rows.set(changes) })
		return store.ErrOutcomeUnknown
	}
	return l.rows.set(changes)
}

func (r *rows) set(changes []store.NamedDelivery) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range changes {
		if c.Was != nil && !bytes.Equal(c.Was, r.all[c.Name]) {
			return store.ErrWas
		}
	}
	for _, c := range changes {
		r.all[c.Name] = c.Record
	}
	return nil
}

// lines are the lines of a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// peer is a node that wants to send.
type peer struct {
	*nodes.Lease
	node *nodes.Cluster
	link *link
	stop context.CancelFunc
	done chan struct{}

	mu      sync.Mutex
	fence   nodes.Fence // the last one
	sending bool
	fails   bool // it cannot begin to send
}

// crew are nodes of one log.
type crew struct {
	t     *testing.T
	lines lines // warnings
	bus   nodestest.Bus
	rows  rows
	peers []*peer
}

func newCrew(t *testing.T, n int) *crew {
	c := &crew{t: t, rows: rows{all: make(map[string][]byte)}}
	for i := range n {
		c.add(fmt.Sprint(i))
	}
	t.Cleanup(func() {
		for _, p := range c.peers {
			p.stop()
			<-p.done
		}
	})
	return c
}

// logger logs warnings.
func (c *crew) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(&c.lines, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func (c *crew) add(name string) *peer {
	began := time.Now()
	p := &peer{link: &link{rows: &c.rows}, done: make(chan struct{})}
	var lease atomic.Pointer[nodes.Lease]
	p.node = joinAs(c.t, &c.bus, name, c.logger(), func() nodes.State {
		l := lease.Load()
		return nodes.State{Sends: l != nil && l.Holds()}
	})
	p.Lease = nodes.NewLease(p.link, p.node, nodes.LeaseOptions{Log: store.ID{1}, Logger: c.logger(),
		Elapsed: func() time.Duration { return time.Hour + time.Since(began) }})
	lease.Store(p.Lease)
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	go func() {
		defer close(p.done)
		p.Run(ctx, func(ctx context.Context, fence nodes.Fence) {
			if p.note(fence, true) {
				<-ctx.Done()
			}
			p.note(fence, false)
		})
	}()
	c.peers = append(c.peers, p)
	return p
}

// note records whether the node sends, and returns it.
func (p *peer) note(fence nodes.Fence, sends bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fence, p.sending = fence, sends && !p.fails
	return p.sending
}

// sends reports whether the node sends, and may send.
func (p *peer) sends() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sending && p.Holds()
}

// set writes as the node that sends, or has sent.
func (p *peer) set(name, record string) error {
	p.mu.Lock()
	fence := p.fence
	p.mu.Unlock()
	return fence.Fenced(p.link).SetDeliveries(context.Background(),
		[]store.NamedDelivery{{Name: name, Delivery: store.Delivery{Record: []byte(record)}}}, true)
}

// watch lets time pass, and returns the peer that sent last. It fails if two send at once.
func (c *crew) watch(d time.Duration) (last *peer) {
	c.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		synctest.Wait()
		var now *peer
		for _, p := range c.peers {
			if !p.Holds() {
				continue
			}
			if now != nil {
				c.t.Fatalf("%s and %s send at once", now.node.Name(), p.node.Name())
			}
			if now = p; p.sends() {
				last = p
			}
		}
	}
	return last
}

// cut cuts a node off from the log and from what it hears, or reconnects it. Once cut off, it is not heard either.
func (c *crew) cut(p *peer, is bool) {
	c.bus.Hang(p.node.Self(), is)
	c.bus.Mute(p.node.Self(), is)
	p.link.set(is, 0)
}
