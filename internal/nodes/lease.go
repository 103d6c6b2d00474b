package nodes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"tidings/internal/clock"
	"tidings/store"
)

// A lease says which node sends deliveries and takes the steps of alerts. It is a row beside the deliveries, so a
// commit takes it, on the condition of what it was before: of many that try, one gets it. docs/adr/0027 has the
// reasons.
//
//	a node               and then
//	takes a free lease   sends at once
//	takes a lost one     waits for TakeAfter, by when the other has stopped, and sends; so it does with the lease of a
//	                     node that reports that it does not send
//	has it               reads each second that it still has it, as of the end of the sequence: valid for LeaseFor
//	has not read that    stops, until it has
//	 for LeaseFor
//	ends, or cannot      stops, and gives it back
//	 begin
//
// A node that was stopped or cut off, and continues, may be in the middle of a request. It finishes at most that one,
// and what it writes about it is refused by the same condition.

const (
	// LeaseFor is how long a node may send after the moment for which a read has confirmed its lease.
	LeaseFor = 5 * time.Second

	// TakeAfter is how long a node that has taken another's lease waits before it sends. If the stream's leader is cut
	// off from its peers together with the holder, it continues to confirm the holder's lease for up to staleFor.
	TakeAfter = staleFor + LeaseFor + time.Second

	// staleFor is how long a leader answers reads from its own state after it last heard from its peers: nats-server
	// steps down once they have been silent for ten seconds, and checks every ten (lostQuorumInterval,
	// lostQuorumCheck).
	staleFor = 20 * time.Second

	leaseEvery = time.Second // how often it is read
	leaseTries = 5 * time.Second
)

// rowOfLease is its name. The names of alert rows begin with a NUL, too.
const rowOfLease = "\x00lease"

// ErrNoLease: this node does not send, or no longer does.
var ErrNoLease = errors.New("another server sends deliveries, or none does at the moment")

// leaseRow is its record.
type leaseRow struct {
	Version int      `json:"version"`
	Log     store.ID `json:"log"`  // in a restored log it is free
	Node    string   `json:"node"` // "": it was given back
	Name    string   `json:"name"`
	Term    uint64   `json:"term"` // increases with each change
}

const leaseVersion = 1

// LeaseLog is the part of store.Log that a Lease uses. store.Log has the contract.
type LeaseLog interface {
	Delivery(name string) (store.Delivery, error)
	SetDeliveries(ctx context.Context, changes []store.NamedDelivery, ride bool) error
	CatchUp(ctx context.Context) error
}

// LeaseOptions configures NewLease.
type LeaseOptions struct {
	Log     store.ID             // the identity of the log
	Elapsed func() time.Duration // time since some moment; default: clock.Elapsed()
	Logger  *slog.Logger         // default: discard
}

// Lease is the lease of a log, as one node sees it. Run is called once; the other methods may be called concurrently.
type Lease struct {
	log     LeaseLog
	cluster *Cluster
	o       LeaseOptions

	mu     sync.Mutex
	until  time.Duration // by Elapsed: until when the node may send; 0: it may not
	holder string        // the ID of the node that had it at the last read

	// Owned by the goroutine of Run.
	row    []byte        // as last read
	looked time.Duration // by Elapsed: when it was last read
	since  time.Duration // by Elapsed: when it was first read with this value, unless reads have paused since
	own    []byte        // the row that this node has written, and under which no other node sends any more
	fresh  bool          // nobody has sent under own yet
	term   uint64        // of own, once this node has sent under it

	unread, untaken trouble
}

// trouble is a failure that repeats.
type trouble struct{ warned time.Duration }

// warn logs a warning at most once a minute, by the lease's clock.
func (t *trouble) warn(l *Lease, message string, err error) {
	if now := l.o.Elapsed(); t.warned == 0 || now-t.warned >= time.Minute {
		t.warned = now
		l.o.Logger.Warn(message, "error", err)
	}
}

func (l *Lease) warnUnread(err error) {
	l.unread.warn(l, "cannot read which server sends deliveries, so this one does not; will retry", err)
}

// NewLease returns the lease of a log.
func NewLease(log LeaseLog, c *Cluster, o LeaseOptions) *Lease {
	if o.Elapsed == nil {
		o.Elapsed = clock.Elapsed()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Lease{log: log, cluster: c, o: o}
}

// Holds reports whether this node may send now.
func (l *Lease) Holds() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.o.Elapsed() < l.until
}

// Holder returns the ID of the node that has the lease according to the last row read, or "" if none has. That node may
// not send yet, or no longer.
func (l *Lease) Holder() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.holder
}

// begin permits sending, as of a moment at which this node had the lease.
func (l *Lease) begin(asOf time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = asOf + LeaseFor
}

// extend is begin, unless the lease has expired: sending has stopped then, or is about to.
func (l *Lease) extend(asOf time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.o.Elapsed() < l.until {
		l.until = max(l.until, asOf+LeaseFor)
	}
}

func (l *Lease) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = 0
}

// Run calls send whenever this node becomes the one that sends, and cancels its context when it no longer is, or when
// ctx ends. If send returns earlier, other nodes may take the lease at once, and this one again after LostAfter. fence
// is the lease as it stands in the log, for Fenced. Run returns when ctx has ended and send has returned.
func (l *Lease) Run(ctx context.Context, send func(ctx context.Context, fence Fence)) {
	for l.acquire(ctx) {
		sending, stop := context.WithCancel(ctx)
		done := make(chan struct{})
		fence := Fence{l, l.own}
		l.cluster.Changed()
		go func() {
			defer close(done)
			send(sending, fence)
		}()
		l.keep(sending, done)
		held := l.Holds()
		l.end()
		l.cluster.Changed()
		stop()
		<-done
		if held {
			l.giveBack(context.WithoutCancel(ctx))
			sleep(ctx, LostAfter) // send returned by itself: let others go first
		}
	}
}

// acquire waits until this node may send. It returns false if ctx has ended.
func (l *Lease) acquire(ctx context.Context) bool {
	for {
		asOf := l.o.Elapsed()
		row, err := l.read(ctx)
		switch {
		case ctx.Err() != nil:
			return false
		case err != nil:
			l.warnUnread(err)
		case row.Node == l.cluster.Self() && !bytes.Equal(l.row, l.own): // taken from another, which stops by itself
			if sleep(ctx, TakeAfter) {
				l.own, l.fresh = l.row, true
			}
			continue
		case row.Node == l.cluster.Self() && l.fresh:
			l.fresh, l.term = false, row.Term
			l.begin(asOf)
			l.o.Logger.Info("this node now sends deliveries and escalates alerts", "term", row.Term)
			return true
		case row.Node == l.cluster.Self(), l.free(&row): // under a new term: writes of the last one are refused
			l.take(ctx, &row)
			continue
		}
		if !sleep(ctx, leaseEvery) {
			return false
		}
	}
}

// read returns the lease as of the end of the sequence, and records its holder.
func (l *Lease) read(ctx context.Context) (row leaseRow, err error) {
	row, err = l.readRow(ctx)
	if err == nil {
		l.mu.Lock()
		l.holder = row.Node
		l.mu.Unlock()
	}
	return row, err
}

func (l *Lease) readRow(ctx context.Context) (row leaseRow, err error) {
	if err := ctx.Err(); err != nil {
		return row, err
	}
	began := l.o.Elapsed()
	if err := l.log.CatchUp(ctx); err != nil {
		return row, err
	}
	stored, err := l.log.Delivery(rowOfLease)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return row, err
	}
	now := l.o.Elapsed()
	if text := stored.Record; !bytes.Equal(text, l.row) || began-l.looked > 3*leaseEvery {
		l.row, l.since = text, now
	}
	l.looked = now
	if len(l.row) == 0 { // missing or damaged: nobody has it
		return row, nil
	}
	if err := json.Unmarshal(l.row, &row); err != nil {
		return row, fmt.Errorf("read the lease: %w", err)
	}
	if row.Version != leaseVersion {
		return row, fmt.Errorf("the lease has version %d, this release reads %d", row.Version, leaseVersion)
	}
	if row.Log != l.o.Log {
		row.Node = "" // from the log that this one was restored from
	}
	return row, nil
}

// free reports whether the lease may be taken: nobody has it, or its holder has been silent for long, or has not
// reported for long that it sends: its disk may be full. Either is safe, because a node that takes it waits.
func (l *Lease) free(row *leaseRow) bool {
	if row.Node == "" {
		return true
	}
	if l.cluster.Deaf() { // the holder may be alive and take it back, and so on
		return false
	}
	// This node may have been deaf until now, or too new to have heard anything.
	waited := l.o.Elapsed() - l.since
	holder, ok := l.cluster.Other(row.Node)
	if !ok {
		return waited >= LostAfter
	}
	// A node that has taken it does not send before TakeAfter.
	return waited >= TakeAfter+LostAfter && time.Since(holder.Sent) >= LostAfter
}

// take tries to take the lease. The next read shows whether it did.
func (l *Lease) take(ctx context.Context, was *leaseRow) {
	ctx, cancel := context.WithTimeout(ctx, leaseTries)
	defer cancel()
	text, err := l.set(ctx, leaseRow{leaseVersion, l.o.Log, l.cluster.Self(), l.cluster.Name(), was.Term + 1})
	switch {
	case err == nil:
		if was.Node == "" || was.Node == l.cluster.Self() {
			l.own, l.fresh = text, true // nobody has to stop
			return
		}
		l.o.Logger.Warn("the server that sent deliveries is silent or cannot; taking over",
			"from", was.Name, "term", was.Term+1)
	case errors.Is(err, store.ErrWas): // another node was first
	default:
		l.untaken.warn(l, "cannot store that this server sends deliveries, will retry", err)
		sleep(ctx, leaseEvery)
	}
}

// set replaces the last row read.
func (l *Lease) set(ctx context.Context, row leaseRow) ([]byte, error) {
	text, err := json.Marshal(row)
	if err != nil {
		return nil, err
	}
	return text, l.log.SetDeliveries(ctx, []store.NamedDelivery{{Name: rowOfLease,
		Delivery: store.Delivery{Record: text}, Was: append([]byte{}, l.row...)}}, false)
}

// keep returns when this node may no longer send, ctx has ended, or send has returned.
func (l *Lease) keep(ctx context.Context, done <-chan struct{}) {
	for l.Holds() && sleep(ctx, leaseEvery) {
		select {
		case <-done:
			return
		default:
		}
		asOf := l.o.Elapsed()
		tries, cancel := context.WithTimeout(ctx, leaseTries)
		row, err := l.read(tries)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			l.warnUnread(err)
		case !bytes.Equal(l.row, l.own):
			l.o.Logger.Warn("another node now sends deliveries, stopping", "by", row.Name, "term", row.Term)
			l.end()
			return
		default:
			l.extend(asOf)
		}
	}
	if ctx.Err() == nil {
		l.o.Logger.Warn("cannot confirm that this server still sends deliveries, stopping until it can")
	}
}

// giveBack lets another node send at once. If it fails, the others notice the silence.
func (l *Lease) giveBack(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	l.row = l.own
	if _, err := l.set(ctx, leaseRow{leaseVersion, l.o.Log, "", l.cluster.Name(), l.term + 1}); err != nil &&
		!errors.Is(err, store.ErrWas) {
		l.o.Logger.Info("lease not released; another server takes it in a few seconds", "error", err)
	}
}

// sleep waits for d, and reports whether it was not interrupted.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// Fence is a lease as one node has it, from when it begins to send until it stops.
type Fence struct {
	lease *Lease
	row   []byte
}

// Fenced returns the log for the node that sends: a write is stored only while the node has the lease, as decided in
// the order of the log. Its own error: ErrNoLease.
func (f Fence) Fenced(log store.Log) store.Log { return fenced{log, f} }

type fenced struct {
	store.Log
	Fence
}

// SetDeliveries implements store.Log. A write that is stored proves that this node had the lease.
func (f fenced) SetDeliveries(ctx context.Context, changes []store.NamedDelivery, ride bool) error {
	if len(changes) == 0 {
		return nil
	}
	asOf := f.lease.o.Elapsed()
	all := make([]store.NamedDelivery, 0, len(changes)+1)
	all = append(all, store.NamedDelivery{Name: rowOfLease, Delivery: store.Delivery{Record: f.row}, Was: f.row})
	err := f.Log.SetDeliveries(ctx, append(all, changes...), ride)
	switch {
	case errors.Is(err, store.ErrWas):
		return fmt.Errorf("%w: nothing was stored", ErrNoLease)
	case err == nil:
		f.lease.extend(asOf)
	}
	return err
}

// AppendOnce implements store.Log. An append by a node that has just lost the lease does no harm: answers and steps of
// alerts have a condition of their own.
func (f fenced) AppendOnce(ctx context.Context, groups []store.Group) ([]store.Result, error) {
	if !f.lease.Holds() {
		return nil, fmt.Errorf("%w: nothing was stored", ErrNoLease)
	}
	return f.Log.AppendOnce(ctx, groups)
}
