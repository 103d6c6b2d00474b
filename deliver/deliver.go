// Package deliver sends events where an administrator wants them: to webhooks, and as texts for people (docs/adr/0021);
// and notifies the browsers that people have registered ([Devices], docs/adr/0025). A delivery is a position in the log
// and a record beside it (docs/adr/0018); its backlog is the log.
//
//	sender, err := deliver.New(log, tail, deliver.Options{Guard: guard, Key: key})
//	status, made, err := sender.Put(ctx, "shop", deliver.Settings{…})
//	...
//	sender.Close() // before the tail's and the log's
//
// What a receiver can rely on:
//
//  1. Each event that matches and is retained when it is due is sent until it is answered 2xx, skipped or set aside,
//     in log order: the next one is not sent before that. The request carries its ID. With order "topic" this holds
//     for each topic, with "parallel" for none (docs/adr/0020).
//  2. A repeat has the same ID and comes before anything that waits for it, so a receiver that drops repeated IDs has
//     each event once, in order.
//  3. What retention deleted before it was sent is reported by a message of type tidings.gap, before the first event
//     after it, while nothing else is under way.
//  4. Nothing is sent from a restored log until an administrator confirms it.
//
// People get one message about all the events present when the message is made.
//
// A Sender has a goroutine for each delivery that has something to send now, one for each request under way that others
// may overtake, and one that writes progress.
package deliver

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"tidings/internal/outbound"
	"tidings/internal/seal"
	"tidings/replay"
	"tidings/store"
)

const (
	// DefaultGiveUpAfter is how long one event is retried.
	DefaultGiveUpAfter = 24 * time.Hour

	// MinGiveUpAfter is its minimum: the first retry comes after about a second.
	MinGiveUpAfter = time.Second

	// DefaultOverlap is how long a replaced secret signs beside the new one.
	DefaultOverlap = 24 * time.Hour

	// MaxDeliveries bounds the deliveries of a log. Each takes a few kilobytes.
	MaxDeliveries = 10_000

	// attemptTimeout bounds a request, including its answer.
	attemptTimeout = 30 * time.Second

	// progressEvery is the minimum interval between writes of progress.
	progressEvery = time.Second

	// ridesWithin is for how long progress is written in parts of rideTogether rows or deliveries, each with another
	// append: if one append wrote a thousand, its publisher would wait ten times as long. The rest follows at once.
	ridesWithin  = progressEvery / 2
	rideTogether = 64

	// lockedEvery is how often a missing secrets key is looked for.
	lockedEvery = time.Minute
)

// Options configures New.
type Options struct {
	Guard   *outbound.Guard // what may be reached
	Key     *seal.File      // for sealing secrets
	Client  *http.Client    // default: the Guard's
	RootCAs *x509.CertPool  // for trusting mail servers; default: the system's
	Console string          // URL of the console, for links to events; "": no links
	Version string          // of the program, for User-Agent

	// Wants reports whether an event is for the delivery of this name, just before an attempt; if not, the event is
	// passed over. nil: every event is.
	Wants func(delivery string, e *store.Event) bool

	// May reports whether this server is the one that sends, just before each request. If not, the request waits for
	// Close, which is about to be called. nil: it is.
	May    func() bool
	Logger *slog.Logger // default: discard
}

// Source is the part of store.Log that a Sender uses; its contract is there.
type Source interface {
	SetDeliveries(ctx context.Context, changes []store.NamedDelivery, ride bool) error
	Deliveries() ([]store.NamedDelivery, error)
	Get(id store.ID) (store.Event, error)
	Floor(id store.ID) (store.ID, error)
	Head() store.ID
	Info() (store.Info, error)
}

var (
	// ErrNotFound: no delivery has this name.
	ErrNotFound = errors.New("delivery not found")

	// ErrLimit: there are MaxDeliveries already.
	ErrLimit = errors.New("delivery limit reached")

	// ErrChanged: the delivery's settings are not the ones that the change was made from.
	ErrChanged = errors.New("delivery changed")

	// ErrKey: the secrets key that other deliveries need is missing, or another one is in its place, so nothing new is
	// sealed.
	ErrKey = errors.New("the secrets key of other deliveries is missing")

	// ErrState: the delivery's state does not allow this; the text says why.
	ErrState = errors.New("not now")
)

// Sender sends for deliveries. All methods may be called concurrently.
type Sender struct {
	log    Source
	tail   *replay.Tail
	o      Options
	logID  store.ID
	client *http.Client
	turns  turns
	ctx    context.Context // of all workers
	stop   context.CancelFunc
	over   sync.WaitGroup

	operations sync.Mutex // held by administrators' operations; before writing and mu
	writing    sync.Mutex // held from collecting what to write until it is written; before mu

	mu         sync.Mutex
	deliveries map[string]*delivery
	ride       context.CancelFunc // ends the wait of the progress write under way; nil if there is none
	dirty      bell               // there is progress to write
	troubled   bool               // progress cannot be written, and this was logged
	counts     Counts
}

// Counts counts all attempts since New.
type Counts struct {
	Sent   uint64 // answered 2xx
	Failed uint64 // all others
}

// New starts sending. The error is the log's.
func New(log Source, tail *replay.Tail, o Options) (*Sender, error) {
	info, err := log.Info()
	if err != nil {
		return nil, err
	}
	list, err := log.Deliveries()
	if err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Wants == nil {
		o.Wants = func(string, *store.Event) bool { return true }
	}
	if o.May == nil {
		o.May = func() bool { return true }
	}
	s := &Sender{log: log, tail: tail, o: o, logID: info.LogID, client: o.Client, turns: newTurns(),
		deliveries: make(map[string]*delivery), dirty: make(bell, 1)}
	if s.client == nil {
		s.client = o.Guard.Client()
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	held := 0
	for i := range list {
		if !strings.HasPrefix(list[i].Name, "\x00") && !s.loadRow(&list[i]) { // rows of devices and others
			s.deliveries[list[i].Name] = s.load(list[i])
		}
	}
	for _, d := range s.deliveries {
		if d.state(s.logID) == Held {
			held++
		}
		s.start(d)
	}
	if held > 0 {
		o.Logger.Warn("log restored: nothing is sent from it until you run "+
			`"tidings deliveries resume --all"`, "deliveries", held)
	}
	s.over.Go(s.writeProgress)
	return s, nil
}

// Close ends all requests, and writes their progress. On nil it does nothing.
func (s *Sender) Close() {
	if s == nil {
		return
	}
	s.stop()
	s.operations.Lock()
	for _, d := range s.deliveries {
		if d.worker != nil {
			d.worker()
		}
	}
	s.operations.Unlock()
	s.over.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), progressEvery)
	defer cancel()
	if err := s.flush(ctx, false); err != nil {
		s.o.Logger.Warn("delivery progress not written; the last messages are sent again", "error", err)
	}
	s.client.CloseIdleConnections()
}

// delivery is a delivery's state. The Sender's mu guards it.
type delivery struct {
	name    string
	at      store.ID // everything that matches up to here is done, or in a lane
	record  record
	damaged bool   // its record is unreadable
	locked  string // why its secrets cannot be opened; "" while they can
	next    time.Time
	sent    time.Time // the last 2xx since New
	stands  [2]stand  // where it was a minute or more ago, and since then

	changes, written uint64 // how often at and record have changed

	lanes     map[string]*lane // what is not done of everything up to at
	dead      []letter         // sorted by ID
	unwritten map[string]row   // rows of lanes and dead with unwritten changes, by name
	run       *run             // the last one; nil: none yet

	worker func()        // ends the worker; nil while there is none
	done   chan struct{} // closed when the worker has ended
}

func (s *Sender) load(stored store.NamedDelivery) *delivery {
	d := &delivery{name: stored.Name, at: stored.ID}
	if err := d.record.parse(stored.Record); err != nil {
		d.damaged = true
		s.o.Logger.Error("delivery record damaged; it sends nothing until it is set again or deleted",
			"delivery", stored.Name, "error", err)
	}
	return d
}

// start starts the worker of a delivery that may send. The caller holds operations, or is New.
func (s *Sender) start(d *delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.state(s.logID) != Running {
		return
	}
	ctx, cancel := context.WithCancel(s.ctx)
	d.done, d.next = make(chan struct{}), time.Time{}
	if d.record.Due != nil {
		d.next = d.record.Due.NotBefore
	}
	for _, l := range d.lanes {
		if l.next = time.Now(); l.Due != nil && l.Due.NotBefore.After(d.next) {
			d.next = l.Due.NotBefore
		}
	}
	d.lookAnew(time.Now())
	done := d.done
	w := &worker{s: s, d: d, ctx: ctx, over: func() {
		close(done)
		s.over.Done()
	}}
	if d.record.order() != Strict {
		w.wake = make(chan struct{}, 1)
	}
	d.worker = func() {
		cancel()
		w.rouse()
	}
	s.over.Add(1)
	w.rouse()
}

// halt ends the worker, cutting off a request under way. The caller holds operations.
func (d *delivery) halt() {
	if d.worker != nil {
		d.worker()
		<-d.done
		d.worker = nil
	}
}

// bell wakes its receiver: once, however often it was rung meanwhile.
type bell chan struct{}

func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}

// change records a change of a delivery, to be written in time. The caller holds mu.
func (s *Sender) change(d *delivery) {
	d.changes++
	s.dirty.ring()
}

// stored is the delivery as the log keeps it. The caller holds mu.
func (d *delivery) stored() store.NamedDelivery {
	return store.NamedDelivery{Name: d.name, Delivery: store.Delivery{ID: d.at, Record: d.record.bytes()}}
}

// write writes deliveries at once: for what must not be lost.
func (s *Sender) write(ctx context.Context, deliveries ...*delivery) error {
	return s.alone(func() error { return s.put(ctx, deliveries, false) })
}

// alone calls f while nothing else is written. It interrupts progress that waits to ride on an append.
func (s *Sender) alone(f func() error) error {
	s.mu.Lock()
	if s.ride != nil {
		s.ride()
	}
	s.mu.Unlock()
	s.writing.Lock()
	defer s.writing.Unlock()
	return f()
}

// put writes deliveries. The caller holds writing.
func (s *Sender) put(ctx context.Context, deliveries []*delivery, ride bool) error {
	changes, states := make([]store.NamedDelivery, 0, len(deliveries)), make([]uint64, len(deliveries))
	s.mu.Lock()
	for i, d := range deliveries {
		changes, states[i] = append(append(changes, d.stored()), d.rows()...), d.changes
	}
	s.mu.Unlock()
	err := s.log.SetDeliveries(ctx, changes, ride)
	if err == nil {
		s.mu.Lock()
		for i, d := range deliveries {
			d.written = states[i]
			maps.DeleteFunc(d.unwritten, func(_ string, r row) bool { return r.since <= states[i] })
		}
		s.mu.Unlock()
	}
	return err
}

// flush writes everything that has changed.
func (s *Sender) flush(ctx context.Context, ride bool) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	var changed []*delivery
	s.mu.Lock()
	for _, d := range s.deliveries {
		if d.changes != d.written && !d.damaged {
			changed = append(changed, d)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(changed, func(a, b *delivery) int { return strings.Compare(a.name, b.name) }) // they lie together
	for began := time.Now(); ride && len(changed) > rideTogether; ride = time.Since(began) < ridesWithin {
		if err := s.put(ctx, changed[:rideTogether], true); err != nil {
			return err
		}
		changed = changed[rideTogether:]
	}
	return s.put(ctx, changed, ride)
}

// writeProgress writes what has changed, once a second at most.
func (s *Sender) writeProgress() {
	for {
		select {
		case <-s.dirty:
		case <-s.ctx.Done():
			return
		}
		began := time.Now()
		ctx, cancel := context.WithTimeout(s.ctx, attemptTimeout)
		s.mu.Lock()
		s.ride = cancel
		s.mu.Unlock()
		err := s.flush(ctx, true)
		interrupted := errors.Is(ctx.Err(), context.Canceled)
		cancel()
		s.mu.Lock()
		s.ride = nil
		s.noteProgress(err, interrupted)
		s.mu.Unlock()
		select {
		case <-time.After(time.Until(began.Add(progressEvery))):
		case <-s.ctx.Done():
			return
		}
	}
}

// noteProgress logs once that progress cannot be written, and has it tried again. The caller holds mu.
func (s *Sender) noteProgress(err error, interrupted bool) {
	if err == nil {
		s.troubled = false
		return
	}
	s.dirty.ring()
	if !interrupted && !s.troubled {
		s.troubled = true
		s.o.Logger.Warn("cannot write delivery progress; sending continues, and a restart repeats it",
			"error", err)
	}
}

// find returns a delivery by name. The caller holds mu.
func (s *Sender) find(name string) (*delivery, error) {
	d := s.deliveries[name]
	if d == nil {
		return nil, fmt.Errorf("%w: %q", ErrNotFound, name)
	}
	return d, nil
}

// sorted returns all deliveries by name. The caller holds mu.
func (s *Sender) sorted() []*delivery {
	var all []*delivery
	for _, name := range slices.Sorted(maps.Keys(s.deliveries)) {
		all = append(all, s.deliveries[name])
	}
	return all
}
