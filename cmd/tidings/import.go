package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"tidings/internal/wire"
	"tidings/store"
	"tidings/store/bolt"
)

type importCmd struct {
	File    string `arg:"" optional:"" default:"-" help:"File of lines as printed by export; - is standard input."`
	DataDir string `default:"./tidings-data" help:"Data directory, created if missing; the server must be stopped. Must be empty if the lines have IDs, which are kept." type:"path"`
	Redate  bool   `help:"Give events with IDs in the future new IDs instead of refusing them."`

	clusterFlags `embed:"" group:"Cluster:"`
}

// Validate is called by kong.
func (c *importCmd) Validate() error { return c.clusterFlags.validate() }

// Run decides by the first line whether the events keep their IDs.
func (c *importCmd) Run(ctx context.Context, app *app) (err error) {
	file, err := app.open(ctx, c.File)
	if err != nil {
		return usageError{fmt.Errorf("FILE: %w", err)}
	}
	defer file.Close()
	stored, head := 0, store.ID{}
	err = c.fill(ctx, bolt.Options{Logger: app.logger}, func(log *bolt.Log) (err error) {
		stored, err = importLines(ctx, log, file, &importCheck{redate: c.Redate})
		head = log.Head()
		return err
	})
	if err != nil {
		return err
	}
	return app.print("imported %d events, head %s", stored, head)
}

// fill calls fill to write to the log: the one in the directory, or that in the stream, which the directory then
// mirrors.
func (c *importCmd) fill(ctx context.Context, o bolt.Options, fill func(*bolt.Log) error) error {
	if c.Store != "nats" {
		return bolt.Fill(c.DataDir, o, fill)
	}
	log, err := c.join(ctx, c.DataDir, nil, o)
	if err != nil {
		return err
	}
	return errors.Join(fill(log.Log), log.Close())
}

// importLines appends the lines' events to the log.
func importLines(ctx context.Context, log *bolt.Log, lines io.Reader,
	check *importCheck) (stored int, err error) {
	next, stop := iter.Pull2(eventLines(ctx, lines, check))
	defer stop()
	first, err, any := next()
	events := func(yield func(store.Event, error) bool) {
		for e, err, ok := first, err, any; ok && yield(e, err); e, err, ok = next() {
		}
	}
	if first.ID.IsZero() {
		stored, err = appendEvents(ctx, log, events)
	} else {
		stored, err = log.Import(ctx, events)
	}
	if err != nil {
		return stored, fmt.Errorf("%w; imported %d events before it", err, stored)
	}
	return stored, nil
}

// importAhead is how far an ID may be ahead of this machine's clock: two clocks may differ.
const importAhead = time.Hour

// importCheck refuses, line by line, events that cannot be imported.
type importCheck struct {
	redate bool

	begun, ids bool // the first event has an ID
	last       store.ID
	ended      map[string]bool // topics
}

// event checks the next event, and may change its ID.
func (c *importCheck) event(e *store.Event) error {
	if !c.begun {
		c.begun, c.ids, c.ended = true, !e.ID.IsZero(), make(map[string]bool)
	}
	d := draftOf(e)
	if err := d.Validate(); err != nil {
		return err
	}
	if !c.ids {
		if !e.ID.IsZero() {
			return fmt.Errorf("event %s has an ID, but those before it have none", e.ID)
		}
		return nil
	}
	if err := c.id(e); err != nil {
		return err
	}
	if c.ended[e.Topic] {
		return fmt.Errorf("%w: %s, by an event before this one", store.ErrEnded, e.Topic)
	}
	if e.Type == store.TypeEnd {
		c.ended[e.Topic] = true
	}
	return nil
}

// id checks the next ID. With redate, an ID in the future becomes one of now; IDs increase, so all that follow
// change, too.
func (c *importCheck) id(e *store.Event) error {
	now := time.Now()
	switch {
	case e.ID.IsZero():
		return errors.New("the event has no ID, but those before it have one")
	case c.redate && e.ID.Time().After(now):
		fresh, err := store.NewID(now)
		if err != nil {
			return err
		}
		if !c.last.Before(fresh) {
			fresh, _ = c.last.Next()
		}
		e.ID = fresh
	case !c.last.Before(e.ID):
		return fmt.Errorf("event %s does not follow %s", e.ID, c.last)
	case e.ID.Time().After(now.Add(importAhead)):
		return fmt.Errorf("event %s is from the future (%s): the time of new events would not "+
			"advance until then. Check this machine's clock; --redate gives such events new IDs",
			e.ID, e.ID.Time().Format(time.RFC3339))
	}
	c.last = e.ID
	return nil
}

// eventLines yields events up to the first line that is not an event, or not one to import.
func eventLines(ctx context.Context, file io.Reader,
	check *importCheck) iter.Seq2[store.Event, error] {
	return func(yield func(store.Event, error) bool) {
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, 2*maxLineBytes)
		// on an error, Scan returns the torn line before it
		for number := 1; lines.Scan() && lines.Err() == nil; number++ {
			if len(bytes.TrimSpace(lines.Bytes())) == 0 {
				continue
			}
			e, err := wire.ParseLine(lines.Bytes())
			if err == nil {
				err = cmp.Or(context.Cause(ctx), check.event(&e))
			}
			if err != nil {
				yield(store.Event{}, fmt.Errorf("line %d: %w", number, err))
				return
			}
			if !yield(e, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(store.Event{}, err)
		}
	}
}

func draftOf(e *store.Event) store.Draft {
	return store.Draft{Topic: e.Topic, Type: e.Type, ContentType: e.ContentType,
		Attributes: e.Attributes, Data: e.Data}
}

// importBatch is how many events without IDs share a commit.
const importBatch = 1000

// appendEvents appends events that have no IDs.
func appendEvents(ctx context.Context, log store.Log,
	events iter.Seq2[store.Event, error]) (stored int, err error) {
	var batch []store.Draft
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		_, err := store.Append(ctx, log, batch)
		if err == nil {
			stored, batch = stored+len(batch), nil
		}
		return err
	}
	for e, err := range events {
		if err != nil {
			err = errors.Join(err, flush())
			return stored, err
		}
		if e.Type == store.TypeEnd || len(batch) == importBatch {
			if err := flush(); err != nil {
				return stored, err
			}
		}
		batch = append(batch, draftOf(&e))
		if e.Type == store.TypeEnd { // must be alone in its commit
			if err := flush(); err != nil {
				return stored, err
			}
		}
	}
	err = flush()
	return stored, err
}
