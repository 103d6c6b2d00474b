package main

import (
	"context"
	"errors"
	"fmt"

	"tidings/store/bolt"
)

type putBackCmd struct {
	DataDir string `default:"./tidings-data" help:"Data directory of the mirror that still has the lost events. Stop all nodes first." type:"path"`

	clusterFlags `embed:"" group:"Cluster:"`
}

// Validate is called by kong.
func (c *putBackCmd) Validate() error {
	if c.Store != "nats" {
		return errors.New("put-back is for --store nats: it appends to a stream")
	}
	return c.clusterFlags.validate()
}

// Run reports what it restored to the stream, and what is left to do.
func (c *putBackCmd) Run(ctx context.Context, app *app) error {
	seq, err := c.connect(ctx, app.logger)
	if err != nil {
		return fmt.Errorf("--nats-url: %w", err)
	}
	defer seq.Close()
	r, err := bolt.PutBack(ctx, c.DataDir, bolt.Options{Logger: app.logger, Sequencer: seq,
		SequencerTimeout: c.NATSTimeout})
	if errors.Is(err, bolt.ErrNotPrefix) {
		return fmt.Errorf("nothing was put back: %w; tidings export --after prints the events after an ID, to "+
			"publish them again", err)
	}
	if err != nil {
		return err
	}
	return app.print("%s: the stream has %d events again, after %s up to %s; the old mirror is %s; move away log.db of "+
		"each other node that has stopped, and start all", c.DataDir, r.Events, r.After, r.Through, r.Aside)
}
