// Package api is the HTTP face of a log: publishing, streams, pages, read marks, sessions,
// administration, metrics, health, and the console's files. docs/DESIGN.md §4 is its contract.
//
//	tail := replay.NewTail(log, replay.TailOptions{})
//	server := api.New(log, tail, api.Options{})
//	httpServer := server.HTTPServer()
//	...
//	server.Drain()             // not ready, streams end with a bye, publishes are refused
//	httpServer.Shutdown(ctx)   // finish what runs
//	server.Wait(ctx)           // and the streams that it does not know
//	tail.Close(); log.Close()
//
// The path of a request through here: ServeHTTP puts the headers on that every answer has,
// routes.go finds the endpoint, guard.go decides whether it may be called, by whom and with which
// parameters, the endpoint's handler asks the caller's grant about the topics. A handler that
// refuses returns a problem, which guard.go answers with and problem.go words.
//
// The path of an event through here: publish.go takes it in, form.go reads it with the parsers of
// internal/wire, store/bolt/commit.go makes it durable, replay/tail.go wakes who wants it,
// script.go puts it in its place on a stream, stream.go writes it out. Streams are leaves of the
// router: they write below guard's wrapper and time their own pieces (outlet.go); no server-wide write
// time-out ends them.
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
	DefaultBufferBytes = 64 << 20 // of bodies, and as much of answers

	DefaultMaxStreams         = 50_000
	DefaultMaxStreamsPerToken = 1_000

	// The delay before a reconnect is drawn from this range for each response, so that the clients
	// of a server that restarts do not come back at once.
	DefaultRetryMin = 1 * time.Second
	DefaultRetryMax = 4 * time.Second

	// DefaultIdleTimeout is more than what load balancers keep their connections for (Google's:
	// 600 s), so that none sends a request on one that is just being closed.
	DefaultIdleTimeout = 620 * time.Second

	readHeaderTimeout = 5 * time.Second
	maxHTTP2Streams   = 250 // at a time, of one connection; a browser opens one a tab

	hstsYear = "max-age=31536000" // RFC 6797; for this host alone

	// A CloudEvent in binary mode has its attributes in headers.
	maxHeaderBytes = wire.MaxAttributesBytes

	// sendBuffer is how much of an answer the kernel takes before it can be sent. Left to itself it
	// takes megabytes for a client that does not read.
	sendBuffer = 64 << 10
)

// Options configures New. The zero value holds the defaults.
type Options struct {
	MaxEventBytes         int64         // data of one event
	MaxSubscriptionTopics int           // patterns in one subscription
	Heartbeat             time.Duration // silence on a stream before a heartbeat
	StallTimeout          time.Duration // for a client to take one write
	QueueTimeout          time.Duration // of the log, for a commit to take a publish; and for room in memory
	BodyTimeout           time.Duration // for a request's body to arrive
	IdleTimeout           time.Duration // for a connection's next request to come
	MaxLifetime           time.Duration // of a stream; 0 is no limit
	RetryMin              time.Duration
	RetryMax              time.Duration

	Verifier Verifier // of tokens; nil: everybody may do everything
	// names that Host may have, beside localhost's and the listener's address
	AllowHosts     []string
	CORSOrigins    []string       // origins whose pages may call, such as https://app.example.com
	TrustedProxies []netip.Prefix // peers whose X-Forwarded-For and X-Forwarded-Proto are believed

	// without a Verifier, answer also what came through a proxy
	AllowForwarded  bool
	CookieName      string // of a session's cookie; "__Host-" comes before it where the client has TLS
	AllowQueryToken bool   // take a stream's token from its query too
	// Memory that bodies may take while they are read and their events stored, and the same again
	// that answers may take until they are written. It is far above the largest body.
	BufferBytes int64

	// Who writes streams: WriterAuto, which is the default, WriterOrdinary or WriterHeld.
	StreamWriter string
	// Memory of frames that streams without a handler have begun to write and their clients do not
	// take. Beyond it those are cut off that have been stuck for longest.
	StuckBytes int64

	MaxStreams         int // at a time
	MaxStreamsPerToken int // at a time, of one auth.Grant.Owner; counts only with a Verifier

	// Requests a second of each auth.Grant.Owner; of everybody together without a Verifier. 0 is no limit.
	RatePublish, RateRead float64
	RatePerAddress        bool // the same rates again, of each client address

	Deliveries *deliver.Sender  // nil: there are none
	Devices    *deliver.Devices // nil: nothing is pushed
	Alerts     *alert.Board     // nil: there are none

	// Presence has the pages that report; default: one of this Server's own.
	Presence *presence.Registry

	// Lease says whether this server is the one of its Nodes that has the deliveries and alerts, as of now. Then Sit
	// brings them. What is about them is asked of the server that has them. nil: this server has its own.
	Lease Lease

	Retention retention.Policy // that is in force; told by GET /v1/log

	// Outlook is of that policy, to say which deliveries it will overtake; nil: it is not said.
	Outlook *retention.Outlook

	Version string // of the program, for the metrics
	// bytes that the log may still grow by, for the metrics; nil: not known
	DiskFree func() (uint64, error)
	// lines of the log that nobody took, ever, for the metrics; nil: none are lost
	LostLogLines func() uint64

	// Silence is how long the cluster that keeps the log has said nothing to this server; nil when none
	// does. After 10 s the server is not ready. After StaleAfter, which is positive then, streams end, by
	// EndStale, and none begins.
	Silence    func() time.Duration
	StaleAfter time.Duration

	Nodes *nodes.Cluster // the servers that keep the log, this one among them; nil: it is alone

	Now    func() time.Time
	Clock  Clock        // that the log goes by; default: Now, which is always believed
	Logger *slog.Logger // default: discard
}

// Verifier says what the holder of a token may do. It is called concurrently, and refuses a token
// that is too long unread. An error is an auth.ErrToken, an auth.ErrClaims when the token is genuine
// but says what it must not, or an auth.ErrKeys while there is nothing to check it with; its text is
// shown to the sender of the token, and has no part of it.
type Verifier interface {
	Verify(ctx context.Context, token string) (auth.Grant, error)

	// Keys returns when the keys were fetched, the zero time if they never are, and an auth.ErrKeys
	// while there are none.
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
	handler http.Handler          // of what is no preflight
	rates   map[access]*rateLimit // no entry: no limit
	seats   *seats                // of streams
	bodies  *budget               // of what requests bring
	answers *budget               // of what is held to be written
	held    *held.Pool            // of streams without a handler
	seed    maphash.Seed          // of ownerHash
	metrics *metrics
	seldom  seldom // of o.Logger
	// queryToken is done once a token has come in a query.
	queryToken sync.Once
	// everybody is the caller of each request while there is no Verifier.
	everybody *caller
	drain     chan struct{} // closed by Drain

	desk        atomic.Pointer[Desk] // never nil
	subscribers subscribers
	outlets     outlets
	once        sync.Once
}

// New returns a Server of log, whose Tail is tail. It owns neither, nor anything in the Options.
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

// varies is what an answer depends on in a request, beside its address and, where others may ask, its
// origin. An answer of the log depends on the moment too. "*" says so (RFC 9110 §12.5.5) to those who keep
// what is not to be stored: a service worker's cache heeds Vary, and takes nothing with "*".
const varies = "Authorization, Cookie, Accept"

// everyAnswer are headers that all answers begin with. They share the values, which nobody changes: an
// http.Header replaces or appends, and there is no room to append in place.
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
		if preflight || r.Header.Get("Expect") != "" { // answers that no outlet times
			// a failure shows in writing
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.o.StallTimeout))
		}
		if len(r.TransferEncoding) > 0 {
			// RFC 9112 §6.1 forbids to go on after chunks with a Content-Length, which net/http
			// hides: what a proxy took for the next request might be of this one
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

// HTTPServer returns an http.Server with the limits that the handlers rely on. It speaks HTTP/1.1
// and HTTP/2, with TLS and without.
//
// ReadTimeout is for bodies that no handler reads: net/http reads what is left of one before it
// answers. It does not end streams, because net/http lifts it once the request was read to its end.
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
		DisableGeneralOptionsHandler: true, // "OPTIONS *" is answered as every other path is
		ErrorLog:                     s.ErrorLog(),
		ConnContext:                  connContext,
	}
}

// Drain begins the end: readiness fails, new publishes are refused, every stream gets a bye and
// ends; an answer that its client has taken nothing of for a second is cut off. Publishes under
// way are finished. It is idempotent and does not wait.
func (s *Server) Drain() {
	s.once.Do(func() {
		close(s.drain) // first: an outlet that comes now hurries by itself
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
