package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"tidings/internal/clock"
	"tidings/internal/loopback"
	"tidings/internal/nodes"
	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/jetstream"
)

// clusterFlags select the NATS JetStream stream that holds the log; the file is then a mirror of it.
type clusterFlags struct {
	Store          string        `default:"bbolt" enum:"bbolt,nats" help:"Where the log lives: bbolt (a local file) or nats (a NATS JetStream stream shared by several servers, mirrored in a local file)."`
	NATSURL        []string      `name:"nats-url" help:"URL of a NATS server. Repeatable." placeholder:"URL"`
	NATSStream     string        `name:"nats-stream" default:"TIDINGS" help:"Stream that holds the log, created if missing."`
	NATSReplicas   int           `name:"nats-replicas" default:"3" help:"Replicas of the stream, if this server creates it."`
	NATSCreds      string        `name:"nats-creds" help:"NATS credentials file." type:"path" placeholder:"FILE"`
	NATSCA         string        `name:"nats-ca" help:"CA certificates to verify NATS servers with (default: the system's)." type:"path" placeholder:"FILE"`
	NATSMonitor    []string      `name:"nats-monitor" help:"Monitoring URL of each NATS server, to verify that it syncs before acknowledging. Repeatable." placeholder:"URL"`
	NATSSystem     string        `name:"nats-system-creds" help:"Credentials file of a user in the NATS system account, to verify without monitoring URLs that servers sync before acknowledging." type:"path" placeholder:"FILE"`
	NATSTimeout    time.Duration `name:"nats-timeout" default:"10s" help:"How long a commit may take to reach the stream before publishes get 503."`
	NATSStale      time.Duration `name:"nats-stale" default:"30s" help:"Close subscribers' streams after this long without contact to NATS, so that clients reconnect to another server."`
	NodeName       string        `help:"Name of this server in lists of nodes (default: host name and port)." placeholder:"NAME"`
	NATSAllowLossy bool          `name:"nats-allow-lossy" help:"Accept a stream that may lose acknowledged events: fewer than three replicas, or servers not known to sync first."`
}

func (c *clusterFlags) validate() error {
	switch named := c.named(); {
	case c.Store == "nats" && len(c.NATSURL) == 0:
		return errors.New("--store nats needs --nats-url")
	case c.Store != "nats" && named != "":
		return fmt.Errorf("%s is for --store nats", named)
	case len(c.NodeName) > nodes.MaxName || strings.ContainsFunc(c.NodeName, isControl):
		return fmt.Errorf("--node-name: expected at most %d bytes without control characters, got %.40q", nodes.MaxName,
			c.NodeName)
	case c.NATSReplicas < 1 || c.NATSReplicas > 5:
		return fmt.Errorf("--nats-replicas: expected 1 to 5, got %d", c.NATSReplicas)
	}
	return cmp.Or(positive("nats-timeout", c.NATSTimeout), positive("nats-stale", c.NATSStale))
}

func isControl(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }

// named returns a flag about NATS that is set, or "".
func (c *clusterFlags) named() string {
	switch {
	case len(c.NATSURL) > 0:
		return "--nats-url"
	case len(c.NATSMonitor) > 0:
		return "--nats-monitor"
	case c.NATSSystem != "":
		return "--nats-system-creds"
	case c.NATSCreds != "":
		return "--nats-creds"
	case c.NATSCA != "":
		return "--nats-ca"
	case c.NodeName != "":
		return "--node-name"
	case c.NATSAllowLossy:
		return "--nats-allow-lossy"
	}
	return ""
}

// open opens the log and, if a cluster keeps it, connects to that; the cluster's clock then bounds clk, which the
// log uses.
func (c *clusterFlags) open(ctx context.Context, dir string, clk *clock.Clock, o bolt.Options) (store.Log, error) {
	o.Now, o.Past = clk.Now, clk.Past
	if c.Store != "nats" {
		log, err := bolt.Open(dir, o)
		if err != nil {
			return nil, fmt.Errorf("--data-dir: %w", err)
		}
		return log, nil
	}
	return c.join(ctx, dir, clk, o)
}

// join opens the mirror in a directory, or a new one, and catches up with the stream. clk may be nil.
func (c *clusterFlags) join(ctx context.Context, dir string, clk *clock.Clock, o bolt.Options) (*clustered, error) {
	seq, err := c.connect(ctx, o.Logger)
	if err != nil {
		return nil, fmt.Errorf("--nats-url: %w", err)
	}
	if clk != nil {
		clk.Bound(seq.LeaderTime)
	}
	o.Sequencer, o.SequencerTimeout, o.Context = seq, c.NATSTimeout, ctx
	log, err := bolt.Open(dir, o)
	if err != nil {
		seq.Close()
		return nil, fmt.Errorf("--data-dir: %w", explainLoss(err, dir))
	}
	return &clustered{Log: log, seq: seq, clk: clk}, nil
}

// lossError reports a mirror that has events which its cluster does not have.
type lossError struct{ error }

func (e lossError) Unwrap() error { return e.error }

// explainLoss adds, for a mirror that has diverged from its cluster, what to do.
func explainLoss(err error, dir string) error {
	if !errors.Is(err, store.ErrDiverged) || errors.Is(err, bolt.ErrOtherLog) {
		return err
	}
	return lossError{fmt.Errorf("%w; NATS may have lost them, so keep %s: tidings put-back restores them to the "+
		"stream, "+
		"tidings export --after prints them, and tidings detach turns the file into a standalone log", err,
		filepath.Join(dir, "log.db"))}
}

func (c *clusterFlags) connect(ctx context.Context, logger *slog.Logger) (*jetstream.Sequencer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.NATSTimeout)
	defer cancel()
	o := jetstream.Options{URLs: c.NATSURL, Stream: c.NATSStream, Creds: c.NATSCreds, CA: c.NATSCA,
		Replicas: c.NATSReplicas, Lossy: c.NATSAllowLossy, Synced: jetstream.SyncedBy(c.NATSMonitor),
		SystemCreds: c.NATSSystem, Logger: logger}
	return jetstream.Connect(ctx, o)
}

// clustered is a log that closes its sequencer when it closes.
type clustered struct {
	*bolt.Log
	seq *jetstream.Sequencer
	clk *clock.Clock // may be nil

	lease atomic.Pointer[nodes.Lease] // under which it sends; nil until assembled
}

// silenceOf returns a function for how long the log's cluster has been silent; nil if the log has no cluster.
func silenceOf(log store.Log) func() time.Duration {
	if c, ok := log.(*clustered); ok {
		return c.seq.Silence
	}
	return nil
}

// sizeOf returns a function for the size of the stream in the log's cluster; nil if the log has no cluster.
func sizeOf(log store.Log) func() (bytes, limit uint64) {
	if c, ok := log.(*clustered); ok {
		return c.seq.Size
	}
	return nil
}

// warnIfReadable warns if traffic between the nodes can be read in transit.
func warnIfReadable(logger *slog.Logger, to interface{ Server() (string, bool) }) {
	if address, secure := to.Server(); address != "" && !secure && !loopback.IsAddress(address) {
		logger.Warn("the connection to NATS has no TLS: anyone on the network path can read events, and tokens, "+
			"URLs and secrets in "+
			"requests about deliveries and alerts, which servers of the log pass on to each other", "server", address)
	}
}

// nodes joins the servers that share the log. at is the address that this server listens on.
func (c *clusterFlags) nodes(own *clustered, at net.Addr, pages nodes.Pages,
	logger *slog.Logger) (*nodes.Cluster, error) {
	warnIfReadable(logger, own.seq)
	name := c.NodeName
	if name == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("--node-name: cannot get this host's name: %w", err)
		}
		_, port, _ := net.SplitHostPort(at.String())
		name = net.JoinHostPort(host, port)
	}
	return nodes.New(own.seq, nodes.Options{Name: name, Version: version(), State: own.state, Pages: pages,
		Logger: logger})
}

// state returns this server's state for the other nodes.
func (c *clustered) state() nodes.State {
	stats := c.Log.Stats().Sequence
	lease := c.lease.Load()
	return nodes.State{Lag: stats.Lag, Behind: stats.Behind, Silence: c.seq.Silence(), Clock: c.clk.Off(),
		Sends: lease != nil && lease.Holds()}
}

// Close implements store.Log.
func (c *clustered) Close() error {
	defer c.seq.Close()
	return c.Log.Close()
}
