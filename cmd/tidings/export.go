package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"

	"tidings/internal/wire"
	"tidings/store"
	"tidings/store/bolt"
)

type exportCmd struct {
	DataDir string `default:"./tidings-data" help:"Data directory; the server must be stopped." type:"path"`
	After   string `help:"Print only events after this ID." placeholder:"ID"`
}

// exportBuffer is the number of bytes written at a time.
const exportBuffer = 64 << 10

// Validate is called by kong.
func (c *exportCmd) Validate() error {
	if c.After == "" {
		return nil
	}
	if _, err := store.ParseID(c.After); err != nil {
		return fmt.Errorf("--after: %w", err)
	}
	return nil
}

// Run prints every retained event as a line. It reports damaged events on standard error, and counts there what an
// export leaves out; everything else is printed all the same.
func (c *exportCmd) Run(ctx context.Context, app *app) (err error) {
	log, err := openLog(c.DataDir, app)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	after, _ := store.ParseID(c.After) // "" is before the first
	out := bufio.NewWriterSize(app.stdout, exportBuffer)
	damaged := 0
	var line []byte
	for r := log.NewReader(store.Everything(), after); ; {
		page, err := r.Next(1000)
		if err != nil {
			return err
		}
		for i := range page.Events {
			if line, err = wire.AppendLine(line[:0], &page.Events[i]); err != nil {
				return err
			}
			if _, err := out.Write(line); err != nil {
				return err
			}
		}
		if !page.Corrupt.IsZero() {
			damaged++
			app.say("event %s is damaged and left out", page.Corrupt)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !page.Through.Before(log.Head()) {
			break
		}
	}
	if err := errors.Join(out.Flush(), c.sayLeft(app, log)); err != nil || damaged == 0 {
		return err
	}
	return fmt.Errorf("%w: %d events are left out", bolt.ErrDamaged, damaged)
}

// sayLeft reports how much of the log no export contains.
func (c *exportCmd) sayLeft(app *app, log store.Log) error {
	info, err := log.Info()
	if err != nil {
		return err
	}
	if info.Keys+info.Marks+info.Bare > 0 {
		app.say("an export holds events; left out: idempotency keys: %d, read marks: %d, "+
			"topics without events: %d. A backup holds all", info.Keys, info.Marks, info.Bare)
	}
	return nil
}
