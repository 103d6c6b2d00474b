package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"tidings/api"
	"tidings/replay"
	"tidings/store"
	"tidings/store/bolt"
)

// serveCmd runs the server:
//
//	publishers ──> api ──> store (one committer, one fsync for all that gathered)
//	                         │ head moves
//	subscribers <── api <── replay (cursors; the tail wakes those whom an event matches)
type serveCmd struct {
	Listen   string `default:"127.0.0.1:8080" help:"Address to listen on; port 0 takes any free one."`
	tlsFlags `embed:""`
	keyFlags `embed:""`

	DataDir           string        `default:"./tidings-data" help:"Directory of the log; made if missing." type:"path"`
	TailBytes         byteSize      `default:"64MiB" help:"Recent events kept in memory over all subscribers; 0 for none."`
	MaxEventBytes     byteSize      `default:"1MiB" help:"Data of one event."`
	MaxTopics         int           `default:"1000000" help:"Topics ever published to."`
	IdempotencyWindow time.Duration `default:"24h" help:"How long idempotency keys are remembered."`
	IdempotencyMax    int           `default:"1000000" help:"How many idempotency keys are remembered; the oldest are forgotten first."`
	Heartbeat         time.Duration `default:"15s" help:"Silence on a stream before a heartbeat."`
	StallTimeout      time.Duration `default:"60s" help:"Time for a client to take 64 KiB of a stream or of any other answer; then it is cut off."`
	MaxLifetime       time.Duration `help:"Time after which a stream is ended, for its client to come again; 0 for never." default:"0s"`
	QueueTimeout      time.Duration `default:"5s" help:"Time a publish waits for a place in the commit queue."`
	ShutdownTimeout   time.Duration `default:"10s" help:"Time for streams and publishes to end on SIGTERM."`

	retainFlags  `embed:""`
	networkFlags `embed:""`
	observeFlags `embed:""`
}

// Validate is called by kong.
func (c *serveCmd) Validate() error {
	for _, f := range []struct {
		flag  string
		value time.Duration
	}{{"heartbeat", c.Heartbeat}, {"stall-timeout", c.StallTimeout},
		{"queue-timeout", c.QueueTimeout}, {"shutdown-timeout", c.ShutdownTimeout},
		{"idempotency-window", c.IdempotencyWindow}} {
		if f.value <= 0 {
			return fmt.Errorf("--%s: expected a duration above 0, got %v", f.flag, f.value)
		}
	}
	if c.MaxEventBytes < 1 || c.MaxEventBytes > 64<<20 {
		return fmt.Errorf("--max-event-bytes: expected 1 to 64MiB, got %d", c.MaxEventBytes)
	}
	if c.MaxTopics < 1 {
		return fmt.Errorf("--max-topics: expected 1 or more, got %d", c.MaxTopics)
	}
	if c.IdempotencyMax < 1 {
		return fmt.Errorf("--idempotency-max: expected 1 or more, got %d", c.IdempotencyMax)
	}
	if c.MaxLifetime < 0 {
		return fmt.Errorf("--max-lifetime: expected a duration, or 0s for none, got %v",
			c.MaxLifetime)
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("--listen: expected HOST:PORT, got %q", c.Listen)
	}
	return cmp.Or(c.tlsFlags.validate(), c.keyFlags.validate(c.Listen), c.retainFlags.validate(),
		c.networkFlags.validate(), c.observeFlags.validate())
}

func (c *serveCmd) Run(ctx context.Context, app *app) error {
	verifier, err := c.verifier(ctx, app.logger)
	if err != nil {
		return err
	}
	listener, err := c.listen(app.logger)
	if err != nil {
		return err
	}
	log, err := bolt.Open(c.DataDir, bolt.Options{
		MaxTopics: c.MaxTopics, KeyWindow: c.IdempotencyWindow, MaxKeys: c.IdempotencyMax,
		MinFree: c.MinFree.of, Logger: app.logger,
	})
	if err != nil {
		return errors.Join(fmt.Errorf("--data-dir: %w", err), listener.Close())
	}
	return c.serve(ctx, app, log, listener, c.options(verifier, app.logger))
}

func (c *serveCmd) listen(logger *slog.Logger) (net.Listener, error) {
	config, err := c.tlsFlags.config(logger)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, usageError{fmt.Errorf("--listen: %w", err)}
	}
	if config != nil {
		listener = tls.NewListener(listener, config)
	}
	return listener, nil
}

func (c *serveCmd) options(verifier api.Verifier, logger *slog.Logger) api.Options {
	return api.Options{
		MaxEventBytes: int64(c.MaxEventBytes), MaxSubscriptionTopics: c.MaxSubscriptionTopics,
		Heartbeat:    c.Heartbeat,
		StallTimeout: c.StallTimeout, QueueTimeout: c.QueueTimeout, MaxLifetime: c.MaxLifetime,
		Verifier: verifier, AllowHosts: c.hosts(), CORSOrigins: c.origins(),
		TrustedProxies: c.proxies(),
		MaxStreams:     c.MaxStreams, MaxStreamsPerToken: c.MaxStreamsPerToken,
		RatePublish: float64(c.RatePublish), RateRead: float64(c.RateRead),
		RatePerAddress: c.RatePerAddress,
		Retention:      c.policy(), Version: version(), DiskFree: c.diskFree,
		Logger: logger,
	}
}

// diskFree is api.Options.DiskFree.
func (c *serveCmd) diskFree() (uint64, error) {
	free, _, err := bolt.DiskSpace(c.DataDir)
	return free, err
}

// hosts returns the names that clients may call the server by: those of --allow-host, and the one
// in --listen.
func (c *serveCmd) hosts() []string {
	host, _, _ := net.SplitHostPort(c.Listen) // Validate has checked it
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return c.AllowHost // the address of a connection is allowed by itself
	}
	return append([]string{host}, c.AllowHost...)
}

// serve wires the parts and runs until ctx ends or the log fails, then takes them down from the
// outside inwards: not ready, streams end, publishes finish, trimming and the tail stop, the log
// closes.
func (c *serveCmd) serve(ctx context.Context, app *app, log store.Log, listener net.Listener,
	o api.Options) error {
	tail := replay.NewTail(log, replay.TailOptions{Bytes: c.tailLimit()})
	server := api.New(log, tail, o)
	beside, err := c.startSideListeners(app.logger, server.MetricsHandler())
	if err != nil {
		tail.Close()
		return errors.Join(err, listener.Close(), log.Close())
	}
	stopTrimming, err := c.startTrimming(ctx, log, app.logger)
	if err != nil { // cannot be: Validate has checked the policy
		tail.Close()
		return errors.Join(err, beside.close(), listener.Close(), log.Close())
	}
	httpServer := server.HTTPServer()
	ended := make(chan error, 1)
	go func() { ended <- httpServer.Serve(listener) }()
	url := c.scheme() + "://" + listener.Addr().String()
	app.logger.Info("listening", "url", url, "data_dir", c.DataDir, "head", log.Head(),
		"open_to_everybody", o.Verifier == nil)
	c.preflight(app.logger)
	fmt.Fprintf(app.stdout, "listening on %s\n", url)

	var failure error
	select {
	case <-ctx.Done():
		app.logger.Info("shutting down")
	case <-log.Failed():
		failure = log.Ready() // which says why
	case failure = <-ended:
		failure = fmt.Errorf("serve: %w", failure)
	}
	server.Drain()
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.ShutdownTimeout)
	defer cancel()
	if err := httpServer.Shutdown(deadline); err != nil {
		app.logger.Warn("connections cut off at the end of the shutdown time-out", "error", err)
		err = httpServer.Close()
		if err != nil && !errors.Is(err, http.ErrServerClosed) {
			failure = errors.Join(failure, err)
		}
	}
	stopTrimming()
	tail.Close()
	failure = errors.Join(failure, log.Close(), beside.close())
	app.logger.Info("stopped", "head", log.Head())
	return failure
}

// tailLimit is --tail-bytes in TailOptions' terms, where 0 means the default and -1 none.
func (c *serveCmd) tailLimit() int64 {
	if c.TailBytes == 0 {
		return -1
	}
	return int64(c.TailBytes)
}
