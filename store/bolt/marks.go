package bolt

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/bbolt"

	"tidings/store"
)

// SetMark implements store.Log.
func (l *Log) SetMark(ctx context.Context, subject, name string,
	mark store.Mark) (current store.Mark, err error) {
	key, err := markKey(subject, name)
	if err != nil {
		return store.Mark{}, err
	}
	if mark.Topics.IsZero() {
		return store.Mark{}, fmt.Errorf("%w mark: at least one topic", store.ErrInvalid)
	}
	current = mark
	fresh := false
	err = l.queue.do(ctx, &request{weight: draftBytes, op: func() error {
		err := l.committer.update(func(tx *bbolt.Tx) error {
			b := tx.Bucket(bucketMarks)
			if old, err := decodeMark(key, b.Get(key)); err == nil && mark.ID.Before(old.ID) {
				current = old
				return errNothing
			} else if fresh = errors.Is(err, store.ErrNotFound); fresh &&
				l.committer.marks >= l.maxMarks {
				return errMarksFull
			}
			return b.Put(key, encodeMark(key, mark))
		})
		if err == nil && fresh {
			l.committer.marks++
		}
		return err
	}})
	switch {
	case errors.Is(err, errMarksFull):
		return store.Mark{}, fmt.Errorf("%w: at most %d", store.ErrMarkLimit, l.maxMarks)
	case errors.Is(err, errNothing):
		return current, nil
	default:
		return current, err
	}
}

// errMarksFull ends the transaction of a mark that would be one too many.
var errMarksFull = fmt.Errorf("%w: too many marks", errNothing)

// DeleteMark implements store.Log.
func (l *Log) DeleteMark(ctx context.Context, subject, name string) error {
	key, err := markKey(subject, name)
	if err != nil {
		return err
	}
	err = l.queue.do(ctx, &request{weight: draftBytes, op: func() error {
		err := l.committer.update(func(tx *bbolt.Tx) error {
			b := tx.Bucket(bucketMarks)
			if b.Get(key) == nil {
				return errNothing
			}
			return b.Delete(key)
		})
		if err == nil {
			l.committer.marks--
		}
		return err
	}})
	if errors.Is(err, errNothing) {
		return store.ErrNotFound
	}
	return err
}

// Mark implements store.Log.
func (l *Log) Mark(subject, name string) (mark store.Mark, err error) {
	key, err := markKey(subject, name)
	if err != nil {
		return store.Mark{}, err
	}
	err = l.view(func(tx *bbolt.Tx) error {
		mark, err = decodeMark(key, tx.Bucket(bucketMarks).Get(key))
		return err
	})
	return mark, err
}

// markKey is subject, NUL, name: neither holds a NUL.
func markKey(subject, name string) ([]byte, error) {
	if name == "" || len(name) > store.MaxMarkName || len(subject) > store.MaxMarkName ||
		strings.Contains(subject+name, "\x00") {
		return nil, fmt.Errorf("%w mark name: 1 to %d bytes without NUL", store.ErrInvalid,
			store.MaxMarkName)
	}
	return []byte(subject + "\x00" + name), nil
}

func encodeMark(key []byte, m store.Mark) []byte {
	v := append(make([]byte, sumSize, sumSize+len(m.ID)+64), m.ID[:]...)
	v = append(v, m.Topics.String()...)
	seal(key, v)
	return v
}

func decodeMark(key, value []byte) (store.Mark, error) {
	if value == nil {
		return store.Mark{}, store.ErrNotFound
	}
	rest, ok := unseal(key, value)
	if !ok || len(rest) < len(store.ID{}) {
		return store.Mark{}, store.ErrCorrupt
	}
	topics, err := store.NewFilter(strings.Fields(string(rest[16:]))...)
	if err != nil {
		return store.Mark{}, store.ErrCorrupt
	}
	return store.Mark{ID: store.ID(rest), Topics: topics}, nil
}
