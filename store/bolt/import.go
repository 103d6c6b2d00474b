package bolt

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"tidings/store"
	"tidings/store/internal/commit"
)

const (
	importEvents = 1000 // in one commit
	importBytes  = 4 << 20
)

// Import appends events under the IDs that they have, which must rise, to a log that never had an
// event: for moving a log, with every cursor that is kept somewhere. Nobody else may append until
// it returns. It returns how many events are durable; after an error those before the one it names.
// What the log knew beside the events, such as what was trimmed, is not among them.
func (l *Log) Import(ctx context.Context,
	events iter.Seq2[store.Event, error]) (stored int, err error) {
	if !l.Head().IsZero() {
		return 0, fmt.Errorf("%w: events keep their IDs only in a log that never had one",
			ErrExists)
	}
	var drafts []store.Draft
	var ids []store.ID
	size := 0
	flush := func() error {
		if len(drafts) == 0 {
			return nil
		}
		if err := l.appendAs(ctx, drafts, ids); err != nil {
			return fmt.Errorf("import events %s to %s: %w", ids[0], ids[len(ids)-1], err)
		}
		stored += len(ids)
		drafts, ids, size = nil, nil, 0
		return nil
	}
	var last store.ID
	for e, err := range events {
		if err == nil && !last.Before(e.ID) {
			err = fmt.Errorf("%w: event %s does not follow %s", store.ErrInvalid, e.ID, last)
		}
		if err != nil {
			err = errors.Join(err, flush())
			return stored, err
		}
		last = e.ID
		alone := e.Type == store.TypeEnd // its commit has to say that the topic ends
		if alone || len(ids) == importEvents || size > importBytes {
			if err := flush(); err != nil {
				return stored, err
			}
		}
		drafts = append(drafts, store.Draft{Topic: e.Topic, Type: e.Type,
			ContentType: e.ContentType, Attributes: e.Attributes, Data: e.Data})
		ids = append(ids, e.ID)
		size += len(e.Data)
		if alone {
			if err := flush(); err != nil {
				return stored, err
			}
		}
	}
	err = flush()
	return stored, err
}

// appendAs is Append under IDs that are given.
func (l *Log) appendAs(ctx context.Context, drafts []store.Draft, ids []store.ID) error {
	r, err := commit.Import(drafts, ids)
	if err != nil {
		return err
	}
	_, err = l.queue.do(ctx, r)
	return err
}
