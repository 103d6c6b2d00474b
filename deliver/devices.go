package deliver

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"tidings/internal/outbound"
	"tidings/internal/seal"
	"tidings/internal/webpush"
	"tidings/store"
)

const (
	// DefaultDevicesPerOwner is how many devices a subject may have.
	DefaultDevicesPerOwner = 20

	// DefaultPushGrace is how long a device is still pushed to after the token it was registered with has ended: its
	// page may not be opened every day.
	DefaultPushGrace = 7 * 24 * time.Hour

	// MaxDevices bounds the devices of a log. Each takes less than a kilobyte of memory with a few topics, and 35 kB
	// with the maximum number of wildcards.
	MaxDevices = 250_000

	maxDeviceTopics   = 64
	maxDeviceSegments = 128 // of its patterns, in all: each costs memory in a pattern with a wildcard
)

// PushOptions configures NewDevices. Guard, Key and Contact are required.
type PushOptions struct {
	Guard    *outbound.Guard
	Key      *seal.File    // for sealing endpoints, keys and the VAPID key
	Contact  string        // where push services reach the operator: mailto: or https: (RFC 8292 §2.1)
	Client   *http.Client  // default: the Guard's
	Grace    time.Duration // default: DefaultPushGrace
	PerOwner int           // default: DefaultDevicesPerOwner
	Version  string        // of the program, for User-Agent

	// Visible reports whether a person has a page in view that shows all of these topics. nil: nobody has.
	Visible func(owner string, topics store.Filter) bool

	// Wants reports whether an event pushed at once is still wanted, just before an attempt. nil: it is.
	Wants func(e *store.Event) bool

	Console string // URL of the console; "": unknown

	// May is as in Options.
	May    func() bool
	Logger *slog.Logger // default: discard
}

// DeviceSource is the part of store.Log that Devices use; its contract is there.
type DeviceSource interface {
	SetDeliveries(ctx context.Context, changes []store.NamedDelivery, ride bool) error
	Deliveries() ([]store.NamedDelivery, error)
	NewReader(f store.Filter, after store.ID) store.Reader
	Newest(f store.Filter, before store.ID, n, maxBytes int) (store.ID, error)
	Count(f store.Filter, after store.ID, max int) (int, error)
	Mark(subject, name string) (store.Mark, error)
	Wait(ctx context.Context, after store.ID) error
	Head() store.ID
	Secret() [32]byte
	Info() (store.Info, error)
}

var (
	// ErrNoDevice: no device has this ID.
	ErrNoDevice = errors.New("device not found")

	// ErrDeviceLimit: the owner, or the log, has its maximum number of devices.
	ErrDeviceLimit = errors.New("device limit reached")
)

// Devices are the browsers that get pushes (docs/adr/0025). A device is a position in the log and a record beside it;
// one reader of the log finds out for all of them which have something due.
//
//  1. A device is notified of what matches and was stored after it was registered: one message for everything due.
//  2. Nobody is notified of what their read mark has passed, nor while they have a page in view. A pushed step of an
//     alert is the exception: it reaches everybody at once, as long as nobody has claimed the alert.
//  3. A kill may repeat the pushes of the last second; it loses none.
//  4. Nothing is pushed from a restored log until an administrator confirms it.
//
// There are two goroutines, and one for each request under way. All methods may be called concurrently.
type Devices struct {
	log    DeviceSource
	o      PushOptions
	logID  store.ID
	secret [32]byte
	client *http.Client
	turns  turns         // of what needs the processor: all but the wait for a push service
	rate   *rate.Limiter // of requests
	ctx    context.Context
	stop   context.CancelFunc
	over   sync.WaitGroup

	making sync.Mutex // held while the VAPID key is made; before mu

	mu      sync.Mutex
	byID    map[deviceID]*device
	byOwner map[string][]*device
	wanted  audiences
	at      store.ID // up to here it is known who wants what; while there are devices, only reading moves it
	rung    store.ID // events after it, up to at, do not ring
	held    bool     // the log was restored
	sealed  []byte   // the VAPID key; nil: none yet
	key     *webpush.Key

	waiting, failing schedule          // devices with something due that may be sent
	shares           map[string]*share // of requests under way, or devices that wait because of them
	flying           map[*device]bool  // being sent something
	retrying         int               // how many of these have failed before
	woken            bool              // run has something to do
	interrupt        context.CancelFunc

	unwritten map[deviceID]bool
	batch     *batch // for those who wait until unwritten is written
	ride      context.CancelFunc
	dirty     bell
	written   writtenDevices

	counts   PushCounts
	told     time.Time // when a failure was last logged
	troubled bool      // rows cannot be written, and this was logged
}

// PushCounts counts from NewDevices on.
type PushCounts struct {
	Sent    uint64 // accepted by a push service
	Failed  uint64 // attempts that were not accepted
	Gone    uint64 // devices removed because their push service reported them gone
	Expired uint64 // devices removed because their grant ended
	Spared  uint64 // pushes not sent because the person has read, or has a page in view
}

// devicesRow is what the log keeps beside the common position of all devices.
type devicesRow struct {
	Version int      `json:"version"`
	Log     store.ID `json:"log"` // the log it pushes from
	Key     []byte   `json:"key"` // VAPID's, sealed
}

const keyPurpose = "push key"

// NewDevices starts pushing. The error is the log's.
func NewDevices(log DeviceSource, o PushOptions) (*Devices, error) {
	info, err := log.Info()
	if err != nil {
		return nil, err
	}
	o.Grace, o.PerOwner = cmp.Or(o.Grace, DefaultPushGrace), cmp.Or(o.PerOwner, DefaultDevicesPerOwner)
	if o.May == nil {
		o.May = func() bool { return true }
	}
	if o.Visible == nil {
		o.Visible = func(string, store.Filter) bool { return false }
	}
	if o.Wants == nil {
		o.Wants = func(*store.Event) bool { return true }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	p := &Devices{log: log, o: o, logID: info.LogID, secret: log.Secret(), client: o.Client, turns: make(turns, 1),
		rate: rate.NewLimiter(pushesPerSecond, maxPushes),
		byID: make(map[deviceID]*device), byOwner: make(map[string][]*device), at: log.Head(), rung: log.Head(),
		wanted: audiences{exact: make(map[string]*audience)}, unwritten: make(map[deviceID]bool),
		flying: make(map[*device]bool), shares: make(map[string]*share), dirty: make(bell, 1)}
	if p.client == nil {
		p.client = o.Guard.Client()
	}
	if err := p.load(); err != nil {
		return nil, err
	}
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.over.Go(p.run)
	p.over.Go(p.writeRows)
	return p, nil
}

// load reads the rows. A damaged one stays where it is: its browser registers again.
func (p *Devices) load() error {
	list, err := p.log.Deliveries()
	if err != nil {
		return err
	}
	restored := false
	for i := range list {
		row := &list[i]
		switch {
		case row.Name == rowOfDevices:
			var r devicesRow
			if err := json.Unmarshal(row.Record, &r); err != nil || r.Version != recordVersion {
				p.o.Logger.Error("push key damaged: generating a new one; browsers must subscribe again",
					"error", err)
				continue
			}
			p.at, p.sealed, restored = row.ID, r.Key, r.Log != p.logID
		case strings.HasPrefix(row.Name, rowsOfDevices):
			d, err := parseDevice(row)
			if err != nil {
				p.o.Logger.Error("device record damaged; it gets no pushes until it is registered again", "error", err)
				continue
			}
			if d.due != nil {
				d.due.newest = p.at // the row of all devices comes first
			}
			p.insert(d)
		}
		row.Record = nil // there are many
	}
	if p.held = restored && len(p.byID) > 0; p.held { // without devices, nobody gets anything twice
		p.o.Logger.Warn("log restored: nothing is pushed from it until you run "+
			`"tidings deliveries resume --all"`, "devices", len(p.byID))
	}
	return nil
}

// insert puts a device into the tables. The caller holds mu, or is load.
func (p *Devices) insert(d *device) {
	if all := p.byOwner[d.owner]; len(all) > 0 {
		d.owner = all[0].owner // all share one string
	}
	d.share()
	p.byID[d.id] = d
	p.byOwner[d.owner] = append(p.byOwner[d.owner], d)
	p.wanted.add(d)
	if d.due != nil {
		p.schedule(d)
	}
}

// take takes a device out of the tables. The caller holds mu.
func (p *Devices) take(d *device) {
	p.clear(d)
	p.wanted.remove(d)
	delete(p.byID, d.id)
	mine := p.byOwner[d.owner]
	if i := slices.Index(mine, d); i >= 0 {
		mine = slices.Delete(mine, i, i+1)
	}
	if p.byOwner[d.owner] = mine; len(mine) == 0 {
		delete(p.byOwner, d.owner)
	}
}

// Close ends all requests, and writes their progress. On nil it does nothing.
func (p *Devices) Close() {
	if p == nil {
		return
	}
	p.stop()
	p.over.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), progressEvery)
	defer cancel()
	if _, err := p.flush(ctx, false); err != nil {
		p.o.Logger.Warn("push progress not written; the last pushes are sent again", "error", err)
	}
	p.client.CloseIdleConnections()
}

// PublicKey is the key that a browser subscribes with, as base64url. The first call creates it. Errors: those of seal
// and of the log.
func (p *Devices) PublicKey(ctx context.Context) (string, error) {
	key, err := p.vapid(ctx)
	if err != nil {
		return "", err
	}
	return key.Public(), nil
}

// vapid returns the key that signs requests.
func (p *Devices) vapid(ctx context.Context) (*webpush.Key, error) {
	p.making.Lock()
	defer p.making.Unlock()
	p.mu.Lock()
	key, sealed, none := p.key, p.sealed, len(p.byID) == 0
	p.mu.Unlock()
	if key != nil {
		return key, nil
	}
	if sealed == nil {
		return p.makeKey(ctx, nil)
	}
	secret, err := p.o.Key.Open(sealed, keyPurpose)
	if errors.Is(err, seal.ErrOtherKey) && none { // the secrets key was lost permanently, and nobody is subscribed
		return p.makeKey(ctx, sealed)
	}
	if err != nil {
		return nil, err
	}
	if key, err = webpush.ParseKey(secret, p.o.Contact); err != nil {
		return nil, seal.ErrDamaged
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.key = key
	return key, nil
}

// makeKey makes a new key in place of a sealed one; nil: there was none.
func (p *Devices) makeKey(ctx context.Context, last []byte) (*webpush.Key, error) {
	key, err := webpush.NewKey(p.o.Contact)
	if err != nil {
		return nil, err
	}
	secret, err := key.Bytes()
	if err != nil {
		return nil, err
	}
	sealed, err := p.o.Key.Seal(secret, keyPurpose)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.sealed = sealed
	written := p.await()
	p.mu.Unlock()
	if err := written.wait(ctx); err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.sealed = last
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.key = key
	return key, nil
}

// PushStats holds values for metrics.
type PushStats struct {
	PushCounts
	States  map[DeviceState]int
	Due     int       // devices with something due
	Failing time.Time // since when the longest-failing one has failed; zero: none fails
}

// Stats returns them as of about now.
func (p *Devices) Stats() PushStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	stats := PushStats{PushCounts: p.counts, States: make(map[DeviceState]int)}
	now := time.Now()
	for _, d := range p.byID {
		stats.States[d.state(now, p.held)]++
		if d.due != nil {
			stats.Due++
		}
		if d.due != nil && d.due.attempts > 0 && (stats.Failing.IsZero() || d.due.first.Before(stats.Failing)) {
			stats.Failing = d.due.first
		}
	}
	return stats
}
