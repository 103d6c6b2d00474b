// Package jetstream is a [store.Sequencer] on one stream of NATS JetStream: for nodes that keep one log.
//
//	seq, err := jetstream.Connect(ctx, jetstream.Options{URLs: urls, Stream: "ORDERS"})
//	log, err := bolt.Open(dir, bolt.Options{Sequencer: seq})
//
// One commit is one message, or an atomic batch of them if it is large. A place is the sequence of its last
// message. docs/adr/0016 has the reasons, and the NATS settings that the guarantees require.
package jetstream

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"tidings/store"
)

// Options say where the stream is, and what is required of it.
type Options struct {
	URLs   []string // of the servers
	Stream string   // its name

	Creds string // file of credentials; "": none
	CA    string // file of the CA certificates that the servers' are checked against; "": the system's

	// Replicas is how many servers keep a stream that is created here.
	Replicas int // default 3

	// Lossy accepts a stream that may lose what it has acknowledged: on one server, or on servers that are
	// not known to sync before they acknowledge.
	Lossy bool

	// Synced checks that all servers of the stream sync before they acknowledge (sync_interval: always);
	// the error says why that is not certain. If it is nil, only SystemCreds can prove it.
	Synced func(ctx context.Context) error

	// SystemCreds is a file of credentials of a user in the system account, to ask the servers that keep the
	// stream whether they sync before they acknowledge; "": none.
	SystemCreds string

	// Settle is for a stream that ends before what it once had. For this long its leader, just elected, is
	// assumed to be still applying the rest; after that, the stream was put back. Default 30 s.
	Settle time.Duration

	Logger *slog.Logger // default: discard
}

// Sequencer is a store.Sequencer on one stream. Close it after the log.
type Sequencer struct {
	o      Options
	nc     *nats.Conn
	js     jetstream.JetStream
	stream jetstream.Stream
	logID  store.ID
	node   [8]byte // drawn at each start

	ctx  context.Context // until Close
	stop context.CancelFunc
	busy sync.WaitGroup

	checks chan struct{} // triggers a check of the stream
	gone   time.Time     // since when there has been no stream; zero while there is one; watch owns it

	seen  atomic.Uint64         // the highest sequence that existed
	ahead atomic.Uint64         // the highest that a server has mentioned, if above seen
	fault atomic.Pointer[error] // what is wrong with the stream; nil: nothing
	heard atomic.Int64          // when a request was last answered, Unix nanoseconds
	mute  atomic.Int64          // since when none has been, Unix nanoseconds; 0: none was made since
	told  atomic.Int64          // when a server of the stream last answered or delivered, Unix nanoseconds
	left  atomic.Int64          // when a server was last left, Unix nanoseconds
	clock atomic.Pointer[reading]
	size  atomic.Pointer[store.Extent] // as the stream's leader last reported it; set since Connect

	passed passed
	turns  turns

	mu          sync.Mutex
	attempt     *attempt  // the last one; it may be repeated
	short       time.Time // since when the stream has ended before seen; zero if it does not
	shortLatest time.Time // when that was last found
}

var _ store.Sequencer = (*Sequencer)(nil)

const (
	answerTime = 500 * time.Millisecond // of one request
	againAfter = 50 * time.Millisecond
	leaveAfter = 2 * time.Second // without an answer; another server may have a leader
	checkEvery = time.Minute
	faultEvery = 2 * time.Second // while something is wrong with the stream
	purgeTime  = time.Minute     // of one purge
	clockEvery = 10 * time.Second
)

// Connect connects to the stream, creates it if there is none, and checks it. Errors: what would break the
// guarantees, ErrUnavailable, and store.ErrDiverged if the stream does not belong to this program.
func Connect(ctx context.Context, o Options) (*Sequencer, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Replicas = cmp.Or(o.Replicas, 3)
	o.Settle = cmp.Or(o.Settle, 30*time.Second)
	s := &Sequencer{o: o, checks: make(chan struct{}, 1), passed: passed{came: make(chan struct{})}}
	_, _ = rand.Read(s.node[:]) // never fails
	var err error
	if s.nc, err = s.dial(ctx, s.connection()); err != nil {
		return nil, fmt.Errorf("%w: connect to NATS: %w", store.ErrUnavailable, err)
	}
	s.ctx, s.stop = context.WithCancel(context.Background()) // from here on Close ends it
	if s.js, err = jetstream.New(s.nc); err == nil {
		err = s.establish(ctx)
	}
	if err == nil {
		err = s.hearWaiting()
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	s.saw(0)
	s.busy.Go(s.watch)
	return s, nil
}

// dial returns a connection to one of the servers. nats.Connect knows no context, and waits for seconds for each server
// that does not answer.
func (s *Sequencer) dial(ctx context.Context, options []nats.Option) (*nats.Conn, error) {
	type result struct {
		nc  *nats.Conn
		err error
	}
	done := make(chan result, 1)
	go func() {
		nc, err := nats.Connect(strings.Join(s.o.URLs, ","), options...)
		done <- result{nc, err}
	}()
	select {
	case r := <-done:
		return r.nc, r.err
	case <-ctx.Done():
		go func() {
			if r := <-done; r.err == nil {
				r.nc.Close()
			}
		}()
		return nil, context.Cause(ctx)
	}
}

// connection returns the options of the connection: it never gives up, and notices in seconds that it is
// dead.
func (s *Sequencer) connection() []nats.Option {
	return append(s.access(s.o.Creds), nats.MaxReconnects(-1), nats.ReconnectWait(250*time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, 250*time.Millisecond),
		nats.PingInterval(2*time.Second), nats.MaxPingsOutstanding(2), nats.IgnoreAuthErrorAbort(),
		nats.ErrorHandler(s.complain()),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			s.o.Logger.Warn("lost the connection to NATS", "error", err)
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			s.o.Logger.Info("reconnected to NATS", "server", nc.ConnectedServerName())
			s.checkSoon()
		}))
}

// complain returns a handler that logs an error once a minute: each attempt of a node that is not let in fails with the
// same. It is called for one error at a time.
func (s *Sequencer) complain() nats.ErrHandler {
	var last string
	var at time.Time
	return func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if err.Error() == last && time.Since(at) < time.Minute {
			return
		}
		last, at = err.Error(), time.Now()
		s.o.Logger.Warn("NATS reports an error", "error", err)
	}
}

// access returns the options that every connection needs.
func (s *Sequencer) access(creds string) []nats.Option {
	options := []nats.Option{nats.Name("tidings"), nats.Timeout(2 * time.Second), nats.NoCallbacksAfterClientClose()}
	if creds != "" {
		options = append(options, nats.UserCredentials(creds))
	}
	if s.o.CA != "" {
		options = append(options, nats.RootCAs(s.o.CA))
	}
	return options
}

// Server returns the address of the server that this node is connected to, "" if none, and whether it uses TLS.
func (s *Sequencer) Server() (address string, secure bool) {
	_, err := s.nc.TLSConnectionState()
	return s.nc.ConnectedAddr(), err == nil
}

// Close ends the connection. Calls under way end with an error.
func (s *Sequencer) Close() {
	s.stop()
	s.nc.Close()
	s.busy.Wait()
}

// LogID implements store.Sequencer.
func (s *Sequencer) LogID(context.Context) (store.ID, error) { return s.logID, nil }

// The last tokens of subjects. All messages are in one order and one chain; the one that closes a state has its own
// subject, so that it can be found.
const (
	ofCommit = "commit"
	ofState  = "state"
	ofAny    = ">"
)

func (s *Sequencer) subject(of string) string { return subjectOf(s.o.Stream, s.logID) + "." + of }

// last returns the last message of the stream, or of one of its subjects; nil if it has none.
func (s *Sequencer) last(ctx context.Context, of string) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*answerTime)
	defer cancel()
	m, err := s.stream.GetLastMsgForSubject(ctx, s.subject(of))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	return m, err
}

// End implements store.Sequencer.
func (s *Sequencer) End(ctx context.Context, had uint64) (store.Place, error) {
	raise(&s.seen, had)
	for seen := s.seen.Load(); ; {
		var end store.Place
		var m *jetstream.RawStreamMsg
		info, err := s.report(ctx)
		if err == nil {
			m, err = s.last(ctx, ofAny)
		}
		if err == nil && m != nil {
			end, err = s.placeOf(m)
		}
		if err == nil && end.Number < info.State.LastSeq && (m != nil || info.State.Msgs > 0) { // else it was emptied
			err = fmt.Errorf("one server has %d messages, and another ends at %d", info.State.LastSeq, end.Number)
		}
		if err == nil && (end.Number >= seen || s.putBack(end.Number)) {
			s.saw(end.Number)
			return end, nil
		}
		if errors.Is(err, store.ErrDiverged) {
			return end, err
		}
		if !s.pause(ctx, againAfter) {
			if err == nil {
				err = fmt.Errorf("it ends at place %d, and had %d", end.Number, seen)
			}
			return end, fmt.Errorf("%w: the end of the stream: %w", store.ErrUnavailable, err)
		}
	}
}

// putBack reports whether the stream, which ends here, has ended before what it once had for so long that
// no leader can still be applying the rest.
func (s *Sequencer) putBack(end uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if end >= s.seen.Load() {
		s.short = time.Time{}
		return false
	}
	if s.short.IsZero() || now.Sub(s.shortLatest) > s.o.Settle {
		s.short = now
	}
	s.shortLatest = now
	return now.Sub(s.short) >= s.o.Settle
}

// placeOf returns the place of the commit whose last message this is.
func (s *Sequencer) placeOf(m *jetstream.RawStreamMsg) (store.Place, error) {
	e, err := decode(m.Data)
	if err != nil {
		return store.Place{}, fmt.Errorf("%w: message %d: %w", store.ErrDiverged, m.Sequence, err)
	}
	return store.Place{Number: m.Sequence, Chain: e.chain}, nil
}

// message returns the message with the sequence, nil if there is none.
func (s *Sequencer) message(ctx context.Context, sequence uint64) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*answerTime)
	defer cancel()
	m, err := s.stream.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	return m, err
}

// Seen implements store.Sequencer.
func (s *Sequencer) Seen() uint64 { return max(s.seen.Load(), s.ahead.Load()) }

// saw notes an answer: the stream has had this sequence.
func (s *Sequencer) saw(sequence uint64) {
	s.heard.Store(time.Now().UnixNano())
	s.mute.Store(0)
	s.came(sequence)
}

// came notes a delivered message. The stream's leader may be out of reach, if it is not the server that delivers.
func (s *Sequencer) came(sequence uint64) {
	s.told.Store(time.Now().UnixNano())
	raise(&s.seen, sequence)
}

func raise(highest *atomic.Uint64, to uint64) {
	for {
		old := highest.Load()
		if old >= to || highest.CompareAndSwap(old, to) {
			return
		}
	}
}

// Silence returns how long ago the stream's leader last answered this node, which asks it at least every
// two seconds, also when nothing is published, as long as it follows the stream.
func (s *Sequencer) Silence() time.Duration { return max(0, time.Since(time.Unix(0, s.told.Load()))) }

// pause waits before a retry; false: do not retry.
func (s *Sequencer) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
	case <-s.ctx.Done():
	}
	return false
}

// leave is called for a request without an answer that began then. If there has been no answer for leaveAfter it
// connects to another server: the current one may be cut off from its peers, and would stay connected.
func (s *Sequencer) leave(began time.Time) {
	s.mute.CompareAndSwap(0, max(began.UnixNano(), s.heard.Load()))
	now, mute := time.Now(), s.mute.Load()
	if mute != 0 && now.Sub(time.Unix(0, mute)) >= leaveAfter && s.mute.CompareAndSwap(mute, 0) {
		s.left.Store(now.UnixNano())
		s.o.Logger.Warn("the stream does not answer, trying another server", "server", s.nc.ConnectedServerName())
		_ = s.nc.ForceReconnect() // fails while it is connecting
	}
}
