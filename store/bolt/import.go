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

// Import appends events under the IDs they have, which must increase, to a log that never had an event: for
// moving a log so that stored cursors stay valid. Nobody else may append until it returns. It returns how
// many events are durable; after an error, those before the one it names. It does not carry over what the log
// knew besides the events, such as what was trimmed.
func (l *Log) Import(ctx context.Context,
	events iter.Seq2[store.Event, error]) (stored int, err error) {
	if !l.Head().IsZero() {
		return 0, fmt.Errorf("%w: events keep their IDs only in a log that never had one",
			ErrExists)
	}
	b := importing{l: l}
	var last store.ID
	for e, err := range events {
		if err == nil && !last.Before(e.ID) {
			err = fmt.Errorf("%w: event %s does not follow %s", store.ErrInvalid, e.ID, last)
		}
		if err != nil {
			err = errors.Join(err, b.flush(ctx))
			return b.stored, err
		}
		last = e.ID
		if err := b.add(ctx, &e); err != nil {
			return b.stored, err
		}
	}
	err = b.flush(ctx)
	return b.stored, err
}

// importing gathers events for the next commit of an import.
type importing struct {
	l      *Log
	drafts []store.Draft
	ids    []store.ID
	size   int // of the data, in bytes
	stored int // events
}

// add takes an event, and commits the gathered events when there are many, or when the event ends its topic:
// that one is committed alone.
func (b *importing) add(ctx context.Context, e *store.Event) error {
	alone := e.Type == store.TypeEnd
	if alone || len(b.ids) == importEvents || b.size > importBytes {
		if err := b.flush(ctx); err != nil {
			return err
		}
	}
	b.drafts = append(b.drafts, store.Draft{Topic: e.Topic, Type: e.Type,
		ContentType: e.ContentType, Attributes: e.Attributes, Data: e.Data})
	b.ids = append(b.ids, e.ID)
	b.size += len(e.Data)
	if alone {
		return b.flush(ctx)
	}
	return nil
}

func (b *importing) flush(ctx context.Context) error {
	if len(b.ids) == 0 {
		return nil
	}
	if err := b.l.appendAs(ctx, b.drafts, b.ids); err != nil {
		return fmt.Errorf("import events %s to %s: %w", b.ids[0], b.ids[len(b.ids)-1], err)
	}
	b.stored += len(b.ids)
	b.drafts, b.ids, b.size = nil, nil, 0
	return nil
}

// appendAs appends drafts under given IDs.
func (l *Log) appendAs(ctx context.Context, drafts []store.Draft, ids []store.ID) error {
	r, err := commit.Import(drafts, ids)
	if err != nil {
		return err
	}
	_, err = l.queue.do(ctx, r)
	return err
}
