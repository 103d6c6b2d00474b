// Package api is the HTTP face of a log: publishing, streams, single events, health. docs/DESIGN.md §4
// is its contract.
//
//	tail := replay.NewTail(log, replay.TailOptions{})
//	server := api.New(log, tail, api.Options{})
//	httpServer := server.HTTPServer()
//	...
//	server.Drain()             // not ready, streams end with a bye, publishes are refused
//	httpServer.Shutdown(ctx)   // finish what runs
//	tail.Close(); log.Close()
//
// The path of an event through here: publish.go takes it in, store/commit.go makes it durable,
// replay/tail.go wakes who wants it, stream.go writes it out. Streams are leaves of the router:
// nothing wraps their ResponseWriter, and no server-wide write time-out ends them.
package api

import (
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

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

	// The delay before a reconnect is drawn from this range for each response, so that the clients
	// of a server that restarts do not come back at once.
	DefaultRetryMin = 1 * time.Second
	DefaultRetryMax = 4 * time.Second

	readHeaderTimeout = 5 * time.Second
	idleTimeout       = 60 * time.Second // keep-alive connections without a request
	maxHeaderBytes    = 16 << 10

	// sendBuffer is the kernel's send buffer of a connection. Left to itself it grows to megabytes
	// for a client that does not read.
	sendBuffer = 64 << 10
)

// Options configures New. The zero value holds the defaults.
type Options struct {
	MaxEventBytes int64         // data of one event
	MaxTopics     int           // patterns in one subscription
	Heartbeat     time.Duration // silence on a stream before a heartbeat
	StallTimeout  time.Duration // for a client to take one write
	QueueTimeout  time.Duration // for a publish to find a place in the commit queue
	BodyTimeout   time.Duration // for a request's body to arrive
	RetryMin      time.Duration
	RetryMax      time.Duration
	Now           func() time.Time
	Logger        *slog.Logger // default: discard
}

func (o Options) withDefaults() Options {
	setDefault(&o.MaxEventBytes, DefaultMaxEventBytes)
	setDefault(&o.MaxTopics, DefaultMaxTopics)
	setDefault(&o.Heartbeat, DefaultHeartbeat)
	setDefault(&o.StallTimeout, DefaultStallTimeout)
	setDefault(&o.QueueTimeout, DefaultQueueTimeout)
	setDefault(&o.BodyTimeout, DefaultBodyTimeout)
	setDefault(&o.RetryMin, DefaultRetryMin)
	setDefault(&o.RetryMax, DefaultRetryMax)
	if o.Now == nil {
		o.Now = time.Now
	}
	setDefault(&o.Logger, slog.New(slog.DiscardHandler))
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
	log   store.Log
	tail  *replay.Tail
	o     Options
	mux   http.Handler
	drain chan struct{} // closed by Drain
	once  sync.Once
}

// New returns a Server of log, whose Tail is tail. It owns neither.
func New(log store.Log, tail *replay.Tail, o Options) *Server {
	s := &Server{log: log, tail: tail, o: o.withDefaults(), drain: make(chan struct{})}
	s.mux = s.routes()
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// HTTPServer returns an http.Server with the limits that the handlers rely on.
func (s *Server) HTTPServer() *http.Server {
	return &http.Server{
		Handler:           s,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.o.Logger.Handler(), slog.LevelDebug),
		ConnState: func(c net.Conn, state http.ConnState) {
			if tcp, ok := c.(*net.TCPConn); ok && state == http.StateNew {
				_ = tcp.SetWriteBuffer(sendBuffer) // only a bound on memory
			}
		},
	}
}

// Drain begins the end: readiness fails, new publishes are refused, every stream gets a bye and
// ends. Publishes under way are finished. It is idempotent and does not wait.
func (s *Server) Drain() { s.once.Do(func() { close(s.drain) }) }

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
