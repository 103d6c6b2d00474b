package api

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// seldomEvery is how often a line of a kind is logged that clients, or a fault, can cause in large numbers.
const seldomEvery = time.Minute

// seldom logs one line of each kind per minute, with the number of lines since the last one. The others are logged at
// debug level; lines whose own level is debug are left out. Its zero value is ready, and its methods may be called
// concurrently.
type seldom struct {
	mu    sync.Mutex
	kinds map[string]*said // the kinds are constants, so it does not grow
}

type said struct {
	last time.Time
	more int // since then
}

// take reports whether this is the one line of its kind in this minute, and how many lines there were since the last
// such line.
func (s *seldom) take(kind string, now time.Time) (more int, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kinds == nil {
		s.kinds = make(map[string]*said)
	}
	k := s.kinds[kind]
	if k == nil {
		k = new(said)
		s.kinds[kind] = k
	}
	if since := now.Sub(k.last); since >= 0 && since < seldomEvery {
		k.more++
		return 0, false
	}
	more = k.more
	*k = said{last: now}
	return more, true
}

// logSeldom logs a line of this kind, which is a constant.
func (s *Server) logSeldom(kind string, level slog.Level, message string, args ...any) {
	more, first := s.seldom.take(kind, s.o.Now())
	switch {
	case first && more > 0:
		args = append(args, "more_since_last", more)
	case !first && level == slog.LevelDebug:
		return
	case !first:
		level = slog.LevelDebug
	}
	s.o.Logger.Log(context.Background(), level, message, args...)
}

// ErrorLog returns the ErrorLog for an http.Server: panics of handlers, connections that cannot be accepted, TLS
// handshakes that fail.
func (s *Server) ErrorLog() *log.Logger { return log.New(errorLog{s}, "", 0) }

type errorLog struct{ *Server }

// The kinds of what net/http logs, by the label of its counter.
const (
	faultAccept = "accept"
	faultTLS    = "tls"
	faultPanic  = "panic"
	faultOther  = "other"
)

// Write logs one line. net/http reveals its kind only by its wording, so only a test can guard that.
func (e errorLog) Write(text []byte) (int, error) {
	line := strings.TrimSuffix(string(text), "\n")
	kind, level, message := faultOther, slog.LevelWarn, "HTTP server"
	switch {
	case strings.HasPrefix(line, "http: Accept error: "):
		kind, message = faultAccept, "cannot accept a connection"
	case strings.HasPrefix(line, "http: TLS handshake error "):
		kind, level, message = faultTLS, slog.LevelInfo, "a TLS handshake failed"
	case strings.Contains(line, ": panic serving "):
		kind, level, message = faultPanic, slog.LevelError, "a handler panicked"
	}
	e.metrics.faults.WithLabelValues(kind).Inc()
	e.logSeldom("http "+kind, level, message, "error", line)
	return len(text), nil
}

// scrapeLog is promhttp.Logger. A client that goes away causes a line for each metric that is left.
type scrapeLog struct{ *Server }

func (l scrapeLog) Println(words ...any) {
	text := strings.TrimSuffix(fmt.Sprintln(words...), "\n")
	if strings.HasPrefix(text, "error encoding and sending") {
		l.logSeldom("scrape cut", slog.LevelDebug, "scrape cut off", "error", text)
		return
	}
	l.logSeldom("scrape", slog.LevelWarn, "metrics incomplete", "error", text)
}
