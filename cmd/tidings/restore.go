package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"tidings/store"
	"tidings/store/bolt"
)

type restoreCmd struct {
	File            string `arg:"" type:"existingfile" help:"Backup to restore; its manifest is FILE.json."`
	DataDir         string `default:"./tidings-data" help:"Data directory, created if missing; must not contain a log." type:"path"`
	WithoutManifest bool   `help:"Restore without the manifest. Records are still checked."`
	AllowDamaged    bool   `help:"Restore even if single events are damaged; these stay withheld. Not with --store nats."`

	clusterFlags `embed:"" group:"Cluster:"`
}

// Validate is called by kong.
func (c *restoreCmd) Validate() error {
	if c.AllowDamaged && c.Store == "nats" {
		return errors.New("--allow-damaged is not for --store nats: a stream takes no damaged events")
	}
	return c.clusterFlags.validate()
}

func (c *restoreCmd) Run(ctx context.Context, app *app) error {
	o := bolt.RestoreOptions{AllowDamaged: c.AllowDamaged}
	if !c.WithoutManifest {
		m, err := readManifest(c.File)
		if err != nil {
			return err
		}
		o.Manifest = m
	}
	bar := newRecordBar(app.stderr, "verifying")
	o.Progress = bar.set
	report, err := c.restore(ctx, app, o)
	bar.done()
	if err != nil {
		return err
	}
	reach := "it has never had an event"
	if !report.Head.IsZero() {
		reach = fmt.Sprintf("its newest event is from %s: anything published later is not in it",
			report.Head.Time().Format(time.RFC3339))
	}
	return app.print("%s: %d events up to %s, %d damaged; %s; the new log is %s", c.DataDir,
		report.Events, report.Head, len(report.Damaged), reach, report.LogID)
}

// restore restores the backup to a log in the directory, or to the stream, which the directory then mirrors.
func (c *restoreCmd) restore(ctx context.Context, app *app, o bolt.RestoreOptions) (bolt.Report, error) {
	if c.Store != "nats" {
		return bolt.Restore(ctx, c.File, c.DataDir, o)
	}
	seq, err := c.connect(ctx, app.logger)
	if err != nil {
		return bolt.Report{}, fmt.Errorf("--nats-url: %w", err)
	}
	defer seq.Close()
	return bolt.RestoreMirror(ctx, c.File, c.DataDir, o,
		bolt.Options{Logger: app.logger, Sequencer: seq, SequencerTimeout: c.NATSTimeout})
}

func readManifest(file string) (*store.Manifest, error) {
	text, err := os.ReadFile(manifestOf(file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil,
			fmt.Errorf(
				"%w: %s has no manifest %s, so it may be unfinished; --without-manifest "+
					"restores it if its records are sound",
				bolt.ErrDamaged, file, manifestOf(file))
	}
	if err != nil {
		return nil, fmt.Errorf("read the manifest: %w", err)
	}
	m := new(store.Manifest)
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", bolt.ErrDamaged, manifestOf(file), err)
	}
	return m, nil
}
