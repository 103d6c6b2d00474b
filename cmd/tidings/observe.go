package main

import (
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"sync"
	"time"

	"tidings/api"
	"tidings/internal/loopback"
)

// observeFlags set the log level, and listeners beside the one for clients.
type observeFlags struct {
	LogLevel      logLevel `default:"info" help:"Minimum severity to log: debug, info, warn or error." placeholder:"LEVEL"`
	MetricsListen string   `help:"Serve /metrics, without authentication, on this address as well." placeholder:"ADDRESS"`
	DebugListen   string   `help:"Serve Go profiles at /debug/pprof/ on this address; loopback only." placeholder:"ADDRESS"`
}

func (o *observeFlags) validate() error {
	for flag, address := range map[string]string{"metrics-listen": o.MetricsListen,
		"debug-listen": o.DebugListen} {
		if err := checkAddress(flag, address); address != "" && err != nil {
			return err
		}
	}
	if o.DebugListen != "" && !loopback.IsAddress(o.DebugListen) {
		return fmt.Errorf(
			"--debug-listen: expected a loopback address such as 127.0.0.1:6060, because profiles "+
				"are open to anyone who reaches them, got %q",
			o.DebugListen)
	}
	return nil
}

// logLevel is the minimum level to log.
type logLevel slog.Level

// UnmarshalText is called by kong.
func (l *logLevel) UnmarshalText(text []byte) error {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo,
		"warn": slog.LevelWarn, "error": slog.LevelError}
	level, ok := levels[string(text)]
	if !ok {
		return fmt.Errorf("expected debug, info, warn or error, got %q", text)
	}
	*l = logLevel(level)
	return nil
}

const (
	sideReadTimeout = 5 * time.Second // for a request to a side listener to arrive
	sideIdleTimeout = time.Minute     // between two requests on a connection

	// for a side listener's response to be produced and read; longer profiles are refused
	sideWriteTimeout = time.Minute
)

// sideListeners are the servers that observeFlags ask for.
type sideListeners struct {
	logger  *slog.Logger
	errors  *log.Logger // of net/http
	servers []*http.Server
	running sync.WaitGroup
}

// startSideListeners starts the listeners that were asked for; close stops them.
func (o *observeFlags) startSideListeners(logger *slog.Logger,
	server *api.Server) (*sideListeners, error) {
	s := &sideListeners{logger: logger, errors: server.ErrorLog()}
	metricsOnly := http.NewServeMux()
	metricsOnly.Handle("GET /metrics", server.MetricsHandler())
	for _, side := range []struct {
		flag, address string
		handler       http.Handler
	}{{"metrics-listen", o.MetricsListen, metricsOnly},
		{"debug-listen", o.DebugListen, profiles()}} {
		if side.address == "" {
			continue
		}
		listener, err := listenOn(side.flag, side.address)
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		logger.Info(strings.TrimSuffix(side.flag, "-listen")+" listening", "flag", side.flag, "url",
			"http://"+listener.Addr().String())
		s.serve(listener, side.handler)
	}
	return s, nil
}

func (s *sideListeners) serve(listener net.Listener, handler http.Handler) {
	server := &http.Server{Handler: handler, ReadTimeout: sideReadTimeout,
		WriteTimeout: sideWriteTimeout, IdleTimeout: sideIdleTimeout, ErrorLog: s.errors}
	s.servers = append(s.servers, server)
	s.running.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.logger.Error("metrics or pprof listener failed", "error", err)
		}
	})
}

// close cuts off the remaining connections: nobody's data is on them.
func (s *sideListeners) close() (err error) {
	if s == nil {
		return nil
	}
	for _, server := range s.servers {
		err = errors.Join(err, server.Close())
	}
	s.running.Wait()
	return err
}

// profiles serves Go's profiles, but not the command line, which may hold a key. It refuses pages whose own name
// resolves to this machine.
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
