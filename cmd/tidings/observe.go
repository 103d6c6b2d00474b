package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"

	"tidings/internal/loopback"
)

// observeFlags are listeners beside the one for clients.
type observeFlags struct {
	MetricsListen string `help:"Address of a listener with /metrics alone, for everybody who reaches it." placeholder:"ADDRESS"`
	DebugListen   string `help:"Address of a listener with Go's profiles at /debug/pprof/; loopback only." placeholder:"ADDRESS"`
}

func (o *observeFlags) validate() error {
	if _, _, err := net.SplitHostPort(o.MetricsListen); o.MetricsListen != "" && err != nil {
		return fmt.Errorf("--metrics-listen: expected HOST:PORT, got %q", o.MetricsListen)
	}
	if o.DebugListen != "" && !loopback.IsAddress(o.DebugListen) {
		return fmt.Errorf(
			"--debug-listen: expected a loopback address such as 127.0.0.1:6060, for profiles "+
				"are open to who reaches them, got %q",
			o.DebugListen)
	}
	return nil
}

const (
	sideReadTimeout = 5 * time.Second // for a request to a side listener to arrive
	sideIdleTimeout = time.Minute     // between two requests on a connection
)

// sideListeners are the servers of observeFlags.
type sideListeners struct {
	logger  *slog.Logger
	servers []*http.Server
	running sync.WaitGroup
}

// startSideListeners starts those that were asked for; close ends them.
func (o *observeFlags) startSideListeners(logger *slog.Logger,
	metrics http.Handler) (*sideListeners, error) {
	s := &sideListeners{logger: logger}
	metricsOnly := http.NewServeMux()
	metricsOnly.Handle("GET /metrics", metrics)
	for _, side := range []struct {
		flag, address string
		handler       http.Handler
	}{{"metrics-listen", o.MetricsListen, metricsOnly},
		{"debug-listen", o.DebugListen, profiles()}} {
		if side.address == "" {
			continue
		}
		listener, err := net.Listen("tcp", side.address)
		if err != nil {
			return nil, errors.Join(usageError{fmt.Errorf("--%s: %w", side.flag, err)}, s.close())
		}
		logger.Info("listening beside", "flag", side.flag, "url",
			"http://"+listener.Addr().String())
		s.serve(listener, side.handler)
	}
	return s, nil
}

func (s *sideListeners) serve(listener net.Listener, handler http.Handler) {
	server := &http.Server{Handler: handler, ReadTimeout: sideReadTimeout,
		IdleTimeout: sideIdleTimeout, ErrorLog: slog.NewLogLogger(s.logger.Handler(),
			slog.LevelDebug)}
	s.servers = append(s.servers, server)
	s.running.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.logger.Error("a side listener ended", "error", err)
		}
	})
}

// close cuts off who is still there: nobody's data is on these connections.
func (s *sideListeners) close() (err error) {
	for _, server := range s.servers {
		err = errors.Join(err, server.Close())
	}
	s.running.Wait()
	return err
}

// profiles serves Go's profiles, but not the command line, which may hold a key. A page that has
// its own name resolve to this machine is refused.
func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopback.IsAddress(r.Host) {
			http.Error(w, "expected a loopback name in Host", http.StatusMisdirectedRequest)
			return
		}
		mux.ServeHTTP(w, r)
	})
}
