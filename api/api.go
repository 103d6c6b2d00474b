// Package api serves a log over HTTP: publishing, streams, pages, read marks, sessions, administration, metrics,
// health, and the console's files. docs/DESIGN.md §4 is its contract.
//
//	tail := replay.NewTail(log, replay.TailOptions{})
//	server := api.New(log, tail, api.Options{})
//	httpServer := server.HTTPServer()
//	...
//	server.Drain()             // fail readiness, end streams with a bye, refuse publishes
//	httpServer.Shutdown(ctx)   // finish the requests under way
//	server.Wait(ctx)           // and the streams that Shutdown does not know
//	tail.Close(); log.Close()
//
// The path of a request: ServeHTTP sets the headers that every response has, routes.go finds the endpoint, guard.go
// decides whether it may be called, by whom and with which parameters, and the endpoint's handler checks the topics
// against the caller's grant. A handler that refuses returns a problem, which guard.go answers with and problem.go
// words.
//
// The path of an event: publish.go receives it, form.go reads it with the parsers of internal/wire,
// store/bolt/commit.go makes it durable, replay/tail.go wakes the subscribers that match, script.go puts it in its
// place on a stream, stream.go writes it out. Streams are leaves of the router: they write below guard's wrapper and
// time their own pieces (outlet.go); no server-wide write timeout ends them.
package api

import (
	"context"
	"hash/maphash"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/cors"

	"tidings/alert"
	"tidings/deliver"
	"tidings/internal/auth"
	"tidings/internal/held"
	"tidings/internal/nodes"
	"tidings/internal/presence"
	"tidings/internal/retention"
	"tidings/internal/wire"
	"tidings/replay"
	"tidings/store"
)

const (
	DefaultMaxEventBytes = 1 << 20
	DefaultMaxTopics     = 64 // in one subscription
	DefaultHeartbeat     = 15 * time.Second
	DefaultStallTimeout  = 60 * time.Second
	DefaultQueueTimeout  = 5 * time.Second
	DefaultBodyTimeout   = 30 * time.Second

	DefaultStuckBytes  = 64 << 20
	DefaultCookieName  = "tidings_token"
	DefaultBufferBytes = 64 << 20 // of bodies, and as much again of responses

	DefaultMaxStreams         = 50_000
	DefaultMaxStreamsPerToken = 1_000

	// The delay before a reconnect is drawn from this range for each response, so that the clients of a restarted
	// server do not all come back at once.
	DefaultRetryMin = 1 * time.Second
	DefaultRetryMax = 4 * time.Second

	// DefaultIdleTimeout is longer than load balancers keep their connections (Google's: 600 s), so that none sends a
	// request on a connection that is just being closed.
	DefaultIdleTimeout = 620 * time.Second

	readHeaderTimeout = 5 * time.Second
	maxHTTP2Streams   = 250 // at a time, per connection; a browser opens one per tab

	hstsYear = "max-age=31536000" // RFC 6797; for this host only

	// A CloudEvent in binary mode carries its attributes in headers.
	maxHeaderBytes = wire.MaxAttributesBytes

	// sendBuffer is how much of a response the kernel buffers until it can be sent. By default it buffers megabytes
	// for a client that does not read.
	sendBuffer = 64 << 10
)

// Options configures New. The zero value holds the defaults.
type Options struct {
	MaxEventBytes         int64         // maximum size of an event's data
	MaxSubscriptionTopics int           // patterns in one subscription
	Heartbeat             time.Duration // silence on a stream before a heartbeat is sent
	StallTimeout          time.Duration // for a client to accept one write
	QueueTimeout          time.Duration // the log's, for a publish to enter a commit; also for memory to become free
	BodyTimeout           time.Duration // for a request's body to arrive
	IdleTimeout           time.Duration // for the next request on a connection
	MaxLifetime           time.Duration // of a stream; 0: no limit
	RetryMin              time.Duration
	RetryMax              time.Duration

	Verifier Verifier // of tokens; nil: everyone may do everything
	// Host names to accept, besides localhost and the listener's address
	AllowHosts     []string
	CORSOrigins    []string       // origins whose pages may call, such as https://app.example.com
	TrustedProxies []netip.Prefix // peers whose X-Forwarded-For and X-Forwarded-Proto are trusted

	// without a Verifier, also answer requests that came through a proxy
	AllowForwarded  bool
	CookieName      string // of the session cookie; prefixed with "__Host-" where the client uses TLS
	AllowQueryToken bool   // accept a stream's token in the query, too
	// Memory for bodies while they are read and their events stored, and as much again for responses until they are
	// written. It is far above the largest body.
	BufferBytes int64

	// Who writes streams: WriterAuto (the default), WriterOrdinary or WriterHeld.
	StreamWriter string
	// Memory for frames that streams without a handler have begun to write and their clients do not accept. Beyond
	// it, the streams that have been stuck the longest are disconnected.
	StuckBytes int64

	MaxStreams         int // at a time
	MaxStreamsPerToken int // at a time, per auth.Grant.Owner; applies only with a Verifier

	// Requests per second per auth.Grant.Owner; of all callers together without a Verifier. 0: no limit.
	RatePublish, RateRead float64
	RatePerAddress        bool // the same rates again, per client address

	Deliveries *deliver.Sender  // nil: none
	Devices    *deliver.Devices // nil: no pushes
	Alerts     *alert.Board     // nil: none

	// Presence knows the pages that report; default: a registry for this Server only.
	Presence *presence.Registry

	// Lease reports whether this server is currently the one of its Nodes that has the deliveries and alerts. If it
	// is, Sit supplies them. Requests about them are answered by the server that has them. nil: this server has its
	// own.
	Lease Lease

	Retention retention.Policy // the policy in force; shown by GET /v1/log

	// Outlook predicts, for that policy, which deliveries retention will overtake; nil: not reported.
	Outlook *retention.Outlook

	Version string // of the program, for the metrics
	// bytes by which the log may still grow, for the metrics; nil: not known
	DiskFree func() (uint64, error)
	// log lines dropped so far because nothing read them, for the metrics; nil: none are lost
	LostLogLines func() uint64

	// Silence returns how long the cluster that keeps the log has been silent; nil without a cluster.
	// After 10 s the server is not ready. After StaleAfter, which is then positive, EndStale ends the streams and
	// none start.
	Silence    func() time.Duration
	StaleAfter time.Duration

	// StreamSize returns the bytes that the cluster keeps of the log, and their limit, 0 if there is none, for the
	// metrics. It returns at once. nil: there is no cluster.
	StreamSize func() (bytes, limit uint64)

	Nodes *nodes.Cluster // the servers that keep the log, including this one; nil: a single server

	Now    func() time.Time
	Clock  Clock        // that the log follows; default: Now, always trusted
	Logger *slog.Logger // default: discard
}

// Verifier decides what the holder of a token may do. It is called concurrently, and refuses an overlong token
// without reading it. An error is an auth.ErrToken, an auth.ErrClaims if the token is genuine but claims what it must
// not, or an auth.ErrKeys while there are no keys to check it with. Its text is shown to the sender of the token, and
// contains no part of it.
type Verifier interface {
	Verify(ctx context.Context, token string) (auth.Grant, error)

	// Keys returns when the keys were fetched, the zero time if they never are, and an auth.ErrKeys while there are
	// none.
	Keys(ctx context.Context) (fetched time.Time, err error)
}

func (o Options) withDefaults() Options {
	setDefault(&o.MaxEventBytes, DefaultMaxEventBytes)
	setDefault(&o.MaxSubscriptionTopics, DefaultMaxTopics)
	setDefault(&o.Heartbeat, DefaultHeartbeat)
	setDefault(&o.StallTimeout, DefaultStallTimeout)
	setDefault(&o.QueueTimeout, DefaultQueueTimeout)
	setDefault(&o.BodyTimeout, DefaultBodyTimeout)
	setDefault(&o.IdleTimeout, DefaultIdleTimeout)
	setDefault(&o.BufferBytes, DefaultBufferBytes)
	setDefault(&o.MaxStreams, DefaultMaxStreams)
	setDefault(&o.MaxStreamsPerToken, DefaultMaxStreamsPerToken)
	setDefault(&o.RetryMin, DefaultRetryMin)
	setDefault(&o.RetryMax, DefaultRetryMax)
	setDefault(&o.StreamWriter, WriterAuto)
	setDefault(&o.StuckBytes, DefaultStuckBytes)
	setDefault(&o.CookieName, DefaultCookieName)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Clock == nil {
		o.Clock = believed(o.Now)
	}
	setDefault(&o.Logger, slog.New(slog.DiscardHandler))
	if o.Presence == nil {
		o.Presence = presence.New(o.Heartbeat)
	}
	return o
}

func setDefault[T comparable](option *T, value T) {
	var zero T
	if *option == zero {
		*option = value
	}
}

// Server serves a log. All methods may be called concurrently.
type Server struct {
	log     store.Log
	tail    *replay.Tail
	o       Options
	hosts   []string // Options.AllowHosts as hostname returns them
	cors    *cors.Cors
	handler http.Handler          // for all but preflights
	rates   map[access]*rateLimit // no entry: no limit
	seats   *seats                // of streams
	bodies  *budget               // for request bodies
	answers *budget               // for responses held until they are written
	held    *held.Pool            // of streams without a handler
	beats   beats                 // of streams
	seed    maphash.Seed          // of ownerHash
	metrics *metrics
	seldom  seldom // of o.Logger
	// queryToken fires when the first token comes in a query.
	queryToken sync.Once
	// everybody is the caller of every request when there is no Verifier.
	everybody *caller
	drain     chan struct{} // closed by Drain

	desk        atomic.Pointer[Desk] // never nil
	subscribers subscribers
	outlets     outlets
	once        sync.Once
}

// New returns a Server for log and its tail. It owns neither, nor anything in the Options.
func New(log store.Log, tail *replay.Tail, o Options) *Server {
	s := &Server{log: log, tail: tail, o: o.withDefaults(), drain: make(chan struct{}),
		seed: maphash.MakeSeed(), outlets: outlets{all: make(map[*outlet]struct{})}}
	s.Sit(Desk{s.o.Deliveries, s.o.Devices, s.o.Alerts})
	s.everybody = &caller{grant: auth.Everything()}
	for _, h := range s.o.AllowHosts {
		s.hosts = append(s.hosts, hostname(h))
	}
	s.cors = newCORS(s.o.CORSOrigins)
	s.rates = newRateLimits(s.o)
	s.seats = &seats{max: s.o.MaxStreams, maxPerOwner: s.o.MaxStreamsPerToken,
		perOwner: make(map[ownerHash]int)}
	s.bodies, s.answers = newBudget(s.o.BufferBytes), newBudget(s.o.BufferBytes)
	s.metrics, s.held = newMetrics(s.o.Version), s.newPool()
	s.metrics.registry.MustRegister(scrape{s})
	s.handler = s.routes()
	if s.o.Nodes != nil {
		s.o.Nodes.Answer(s.answerNode)
	}
	return s
}

// varies is what a response depends on in the request, besides its address and, where other origins may call, its
// Origin. A response from the log also depends on the moment. "*" says so (RFC 9110 §12.5.5) to caches that keep even
// what must not be stored: a service worker's cache honors Vary, and stores nothing with "*".
const varies = "Authorization, Cookie, Accept"

// everyAnswer holds the headers that every response starts with. All responses share the values, which nobody
// changes: an http.Header replaces or appends, and there is no capacity to append in place.
var everyAnswer = http.Header{
	"Cache-Control":          {"no-store"},
	"X-Content-Type-Options": {"nosniff"},
	"Referrer-Policy":        {"no-referrer"}, // of a stream whose URL carries a token
	"Vary":                   {"*, " + varies, "Origin"},
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	preflight := isPreflight(r)
	if r.ProtoMajor == 1 {
		if preflight || r.Header.Get("Expect") != "" { // responses that no outlet times
			// a failure shows when writing
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.o.StallTimeout))
		}
		if len(r.TransferEncoding) > 0 {
			// RFC 9112 §6.1 forbids continuing after chunks with a Content-Length, which net/http hides: what a proxy
			// took for the next request might belong to this one
			h.Set("Connection", "close")
		}
	}
	if r.TLS != nil {
		h.Set("Strict-Transport-Security", hstsYear)
	}
	maps.Copy(h, everyAnswer)
	if preflight || r.Header.Get("Origin") != "" {
		h["Vary"] = h["Vary"][:1:1] // it adds Origin itself
		s.cors.HandlerFunc(w, r)    // adds headers; wraps nothing
		if preflight {
			return
		}
	}
	s.handler.ServeHTTP(w, r)
}

// HTTPServer returns an http.Server with the limits that the handlers rely on. It speaks HTTP/1.1 and HTTP/2, with
// and without TLS.
//
// ReadTimeout is for bodies that no handler reads: net/http reads the rest of one before it answers. It does not end
// streams, because net/http lifts it once the request has been read to its end.
func (s *Server) HTTPServer() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:   s,
		Protocols: protocols,
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: maxHTTP2Streams,
			WriteByteTimeout: s.o.StallTimeout},
		ReadHeaderTimeout:            readHeaderTimeout,
		ReadTimeout:                  readHeaderTimeout + s.o.BodyTimeout,
		IdleTimeout:                  s.o.IdleTimeout,
		MaxHeaderBytes:               maxHeaderBytes,
		DisableGeneralOptionsHandler: true, // "OPTIONS *" is answered like every other path
		ErrorLog:                     s.ErrorLog(),
		ConnContext:                  connContext,
	}
}

// Drain starts the shutdown: readiness fails, new publishes are refused, every stream gets a bye and ends; a response
// of which the client has accepted nothing for a second is cut off. Publishes under way are finished. It is
// idempotent and does not wait.
func (s *Server) Drain() {
	s.once.Do(func() {
		close(s.drain) // first: an outlet opened from now on hurries by itself
		for _, o := range s.outlets.now() {
			o.drain()
		}
		s.held.Drain(byeShutdown)
	})
}

func (s *Server) draining() bool {
	select {
	case <-s.drain:
		return true
	default:
		return false
	}
}

// retry draws the reconnect delay of one response, in milliseconds.
func (s *Server) retry() int {
	low, high := s.o.RetryMin.Milliseconds(), s.o.RetryMax.Milliseconds()
	return int(low + rand.Int64N(max(0, high-low)+1))
}
