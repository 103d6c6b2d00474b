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
	"time"

	"tidings/api"
	"tidings/internal/clock"
	"tidings/internal/presence"
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
	networkFlags `embed:"" group:"Network:"`
	tlsFlags     `embed:"" group:"TLS:"`
	keyFlags     `embed:"" group:"Access:"`
	storageFlags `embed:"" group:"Storage:"`
	clusterFlags `embed:"" group:"Cluster:"`
	retainFlags  `embed:"" group:"Retention:"`
	streamFlags  `embed:"" group:"Streams:"`
	limitFlags   `embed:"" group:"Limits:"`
	deliverFlags `embed:"" group:"Deliveries:"`
	observeFlags `embed:"" group:"Observability:"`
}

// Help is called by kong for --help.
func (*serveCmd) Help() string {
	return "Every flag of serve can be given as an environment variable: --data-dir is " +
		"TIDINGS_DATA_DIR. A flag beats a variable, and a variable beats a default."
}

// Validate is called by kong.
func (c *serveCmd) Validate() error {
	return cmp.Or(c.networkFlags.validate(), c.tlsFlags.validate(),
		c.keyFlags.validate(c.Listen, len(c.TrustedProxy) > 0),
		c.storageFlags.validate(), c.clusterFlags.validate(), c.retainFlags.validate(),
		c.streamFlags.validate(), c.limitFlags.validate(), c.deliverFlags.validate(),
		c.observeFlags.validate())
}

func (c *serveCmd) Run(ctx context.Context, app *app) error {
	app.level.Set(slog.Level(c.LogLevel))
	defer outlive(app.logger)()
	verifier, err := c.verifier(ctx, app.logger)
	if err != nil {
		return err
	}
	listener, err := c.listen(app.logger)
	if err != nil {
		return err
	}
	clk := clock.New(clock.Options{Hold: c.TrimHold, Logger: app.logger})
	log, err := c.clusterFlags.open(ctx, c.DataDir, clk, bolt.Options{
		MustExist: c.RequireLog,
		MaxTopics: c.MaxTopics, KeyWindow: c.IdempotencyWindow, MaxKeys: c.IdempotencyMax,
		QueueTimeout: c.QueueTimeout, MinFree: c.MinFree.of, Logger: app.logger,
	})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	o := c.options(verifier, app)
	o.Clock, o.Silence, o.StaleAfter, o.StreamSize = clk, silenceOf(log), c.NATSStale, sizeOf(log)
	return c.serve(ctx, app, log, listener, clk, o)
}

func (c *serveCmd) listen(logger *slog.Logger) (net.Listener, error) {
	config, err := c.tlsFlags.config(logger)
	if err != nil {
		return nil, err
	}
	listener, err := listenOn("listen", c.Listen)
	if err != nil {
		return nil, err
	}
	if config != nil {
		listener = tls.NewListener(listener, config)
	}
	return listener, nil
}

func (c *serveCmd) options(verifier api.Verifier, app *app) api.Options {
	return api.Options{
		MaxEventBytes: int64(c.MaxEventBytes), MaxSubscriptionTopics: c.MaxSubscriptionTopics,
		Heartbeat:    c.Heartbeat,
		StallTimeout: c.StallTimeout, QueueTimeout: c.QueueTimeout, MaxLifetime: c.MaxLifetime,
		IdleTimeout: c.IdleTimeout, AllowForwarded: c.Insecure, CookieName: c.CookieName,
		AllowQueryToken: c.AllowQueryToken,
		Verifier:        verifier, AllowHosts: c.hosts(), CORSOrigins: c.origins(),
		TrustedProxies: c.proxies(),
		BufferBytes:    int64(c.BufferBytes),
		StreamWriter:   c.StreamWriter, StuckBytes: max(1, int64(c.StuckBytes)),
		MaxStreams: c.MaxStreams, MaxStreamsPerToken: c.MaxStreamsPerToken,
		RatePublish: float64(c.RatePublish), RateRead: float64(c.RateRead),
		RatePerAddress: c.RatePerAddress,
		Presence:       presence.New(c.Heartbeat),
		Retention:      c.policy(), Version: version(), DiskFree: c.diskFree,
		Logger: app.logger, LostLogLines: app.lostLines,
	}
}

// diskFree is api.Options.DiskFree.
func (c *serveCmd) diskFree() (uint64, error) {
	free, _, err := bolt.DiskSpace(c.DataDir)
	return free, err
}

// serve wires the parts and runs until ctx ends or the log fails, then shuts down from the outside in: not ready,
// streams end, publishes finish, trimming and the tail stop, the log closes.
func (c *serveCmd) serve(ctx context.Context, app *app, log store.Log, listener net.Listener,
	clk *clock.Clock, o api.Options) error {
	tail := replay.NewTail(log, replay.TailOptions{Bytes: c.tailLimit()})
	var up parts
	up.add(tail.Close)
	var beside *sideListeners
	server, err := c.assemble(log, tail, listener.Addr(), &up, o)
	if err == nil {
		beside, err = c.startSideListeners(app.logger, server)
	}
	if err == nil {
		var stopTrimming func()
		if stopTrimming, err = c.startTrimming(ctx, log, server.Kept, clk, app.logger); err == nil {
			up.add(stopTrimming)
		}
	}
	if err != nil {
		up.stop()
		return errors.Join(err, beside.close(), listener.Close(), log.Close())
	}
	c.preflight(app.logger) // after everything that can refuse to start, before the first request
	httpServer := server.HTTPServer()
	ended := make(chan error, 1)
	go func() { ended <- httpServer.Serve(listener) }()
	go server.EndStale(ctx)
	go giveBackMemory(ctx)
	auth := "token"
	if o.Verifier == nil {
		auth = "none"
	}
	c.announce(app, listener.Addr(), "head", log.Head(), "auth", auth)

	var failure error
	select {
	case <-ctx.Done():
		app.logger.Info("shutting down")
	case <-log.Failed():
		failure = log.Ready() // which says why
		if l, ok := log.(*clustered); ok && errors.Is(failure, store.ErrDiverged) {
			failure = fmt.Errorf("%w; this log has %s", failure, l.Lost(ctx))
		}
		failure = explainLoss(failure, c.DataDir)
	case failure = <-ended:
		failure = fmt.Errorf("serve: %w", failure)
	}
	server.Drain()
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.ShutdownTimeout)
	defer cancel()
	if err := httpServer.Shutdown(deadline); err != nil {
		app.logger.Warn("shutdown timed out, closing remaining connections", "error", err)
		err = httpServer.Close()
		if err != nil && !errors.Is(err, http.ErrServerClosed) {
			failure = errors.Join(failure, err)
		}
	}
	if err := server.Wait(deadline); err != nil {
		app.logger.Warn("shutdown timed out, closing remaining streams", "error", err)
	}
	closed := make(chan error, 1)
	go func() {
		up.stop()
		closed <- errors.Join(log.Close(), beside.close())
	}()
	err = awaitClose(deadline, closed)
	if errors.Is(err, errNotClosed) {
		app.logger.Error("exiting without closing the log", "head", log.Head(), "error", err)
	} else {
		app.logger.Info("stopped", "head", log.Head())
	}
	return errors.Join(failure, err)
}

// closeGrace is how long the log may take to close once the shutdown time-out is over.
const closeGrace = time.Second

// errNotClosed ends the process while the log is still closing.
var errNotClosed = errors.New("the log did not close within --shutdown-timeout because the disk hangs " +
	"or is slow; acknowledged events are stored, and the next start decides about the rest")

// awaitClose waits for the log to close, for as long as a shutdown may take: a disk that hangs must not keep the
// process alive.
func awaitClose(deadline context.Context, closed <-chan error) error {
	select {
	case err := <-closed:
		return err
	case <-deadline.Done():
	}
	late := time.NewTimer(closeGrace)
	defer late.Stop()
	select {
	case err := <-closed:
		return err
	case <-late.C:
		return errNotClosed
	}
}

// announce reports where the server is reached: in the log, and in the only line of standard output, for programs
// that wait for it. On a terminal the log line is enough.
func (c *serveCmd) announce(app *app, at net.Addr, state ...any) {
	url := c.scheme() + "://" + reachable(at.String())
	app.logger.Info("listening", append([]any{"url", url, "address", at.String(), "data_dir",
		c.DataDir}, state...)...)
	if !isTerminal(app.stdout) || !isTerminal(app.stderr) {
		fmt.Fprintf(linesOf(app.stdout), "listening on %s\n", url)
	}
}
