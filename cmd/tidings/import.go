package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"tidings/internal/wire"
	"tidings/store"
	"tidings/store/bolt"
)

type importCmd struct {
	File    string `arg:"" optional:"" default:"-" help:"Lines as export prints them; - is standard input."`
	DataDir string `default:"./tidings-data" help:"Directory of the log, which no server may have open; made if missing. It must be empty when the lines have IDs, which are kept." type:"path"`
}

// Run looks at the first line to know whether the events keep their IDs.
func (c *importCmd) Run(ctx context.Context, app *app) (err error) {
	file, err := app.open(ctx, c.File)
	if err != nil {
		return usageError{fmt.Errorf("FILE: %w", err)}
	}
	defer file.Close()
	stored, head := 0, store.ID{}
	err = bolt.Fill(c.DataDir, bolt.Options{Logger: app.logger}, func(log *bolt.Log) (err error) {
		stored, err = importLines(ctx, log, file)
		head = log.Head()
		return err
	})
	if err != nil {
		return err
	}
	return app.print("imported %d events, head %s", stored, head)
}

// importLines appends the lines' events to the log.
func importLines(ctx context.Context, log *bolt.Log, lines io.Reader) (stored int, err error) {
	next, stop := iter.Pull2(eventLines(ctx, lines))
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

// eventLines reads the file up to the first line that is no event.
func eventLines(ctx context.Context, file io.Reader) iter.Seq2[store.Event, error] {
	return func(yield func(store.Event, error) bool) {
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, 2*maxLineBytes)
		// at an error Scan gives the torn line before it
		for number := 1; lines.Scan() && lines.Err() == nil; number++ {
			if len(bytes.TrimSpace(lines.Bytes())) == 0 {
				continue
			}
			e, err := wire.ParseLine(lines.Bytes())
			if err == nil {
				err = context.Cause(ctx)
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

// importBatch is how many events without IDs share a commit.
const importBatch = 1000

// appendEvents appends events that have no IDs; one that has is refused.
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
		if err == nil && !e.ID.IsZero() {
			err = fmt.Errorf("event %s has an ID, those before it have none", e.ID)
		}
		if err != nil {
			err = errors.Join(err, flush())
			return stored, err
		}
		if e.Type == store.TypeEnd || len(batch) == importBatch {
			if err := flush(); err != nil {
				return stored, err
			}
		}
		batch = append(batch, store.Draft{Topic: e.Topic, Type: e.Type, ContentType: e.ContentType,
			Attributes: e.Attributes, Data: e.Data})
		if e.Type == store.TypeEnd { // comes alone
			if err := flush(); err != nil {
				return stored, err
			}
		}
	}
	err = flush()
	return stored, err
}
