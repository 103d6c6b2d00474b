package main

import (
	"context"
	"log/slog"
	"net"
	"time"

	"tidings/api"
	"tidings/internal/nodes"
	"tidings/replay"
	"tidings/store"
)

// parts are what runs on top of a log.
type parts struct{ stops []func() }

// add records how to stop a part that was just started.
func (p *parts) add(stop func()) { p.stops = append(p.stops, stop) }

// stop stops all parts, the last one first. It may be called again.
func (p *parts) stop() {
	for len(p.stops) > 0 {
		last := len(p.stops) - 1
		p.stops[last]()
		p.stops = p.stops[:last]
	}
}

// assemble starts the server's parts over the log, except its HTTP server. On failure, up holds the parts that have
// started.
func (c *serveCmd) assemble(log store.Log, tail *replay.Tail, at net.Addr, up *parts,
	o api.Options) (*api.Server, error) {
	var err error
	if o.Outlook, err = c.outlook(log); err != nil {
		return nil, err
	}
	begin := func(log store.Log, may func() bool) (api.Desk, error) {
		return c.deliverFlags.begin(log, tail, &o, may, c.DataDir, at.String(), c.MetricsListen, c.DebugListen)
	}
	own, clustered := log.(*clustered)
	if !clustered {
		d, err := begin(log, nil)
		if err != nil {
			return nil, err
		}
		up.add(d.Close)
		o.Deliveries, o.Devices, o.Alerts = d.Deliveries, d.Devices, d.Alerts
		return api.New(log, tail, o), nil
	}
	if o.Nodes, err = c.nodes(own, at, o.Presence, o.Logger); err != nil {
		return nil, err
	}
	up.add(o.Nodes.Close)
	info, err := log.Info()
	if err != nil {
		return nil, err
	}
	lease := nodes.NewLease(log, o.Nodes, nodes.LeaseOptions{Log: info.LogID, Logger: o.Logger})
	own.lease.Store(lease)
	o.Lease = lease
	server := api.New(log, tail, o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		lease.Run(ctx, func(ctx context.Context, fence nodes.Fence) {
			sit(ctx, server, o.Logger, func() (api.Desk, error) { return begin(fence.Fenced(log), lease.Holds) })
		})
	}()
	up.add(func() {
		cancel()
		<-ended
	})
	return server, nil
}

const (
	// deskTrouble is the wait after a server that is to send failed to read from the log what to send.
	deskTrouble = 5 * time.Second

	// deskTries is the number of attempts before it leaves that to another server.
	deskTries = 3
)

// sit makes a server of a cluster send and take steps, until ctx ends or it has failed to begin.
func sit(ctx context.Context, server *api.Server, logger *slog.Logger, begin func() (api.Desk, error)) {
	for try := 1; ctx.Err() == nil; try++ {
		d, err := begin()
		if err == nil {
			server.Sit(d)
			<-ctx.Done()
			server.Sit(api.Desk{})
			d.Close()
			return
		}
		logger.Error("this server is to send deliveries but cannot; it retries, and leaves them to another after "+
			"three attempts",
			"error", err)
		if try == deskTries {
			return
		}
		_ = sleep(ctx, deskTrouble) // the loop checks whether ctx has ended
	}
}
