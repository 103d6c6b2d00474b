package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/bbolt"
)

// Mark is a named read mark: how far somebody has read in some topics.
type Mark struct {
	ID     ID
	Topics Filter
}

// MaxMarkName bounds the subject and the name of a mark, in bytes.
const MaxMarkName = 255

// DefaultMaxMarks bounds the marks of a log; each costs about 100 bytes on disk.
const DefaultMaxMarks = 1_000_000

// SetMark implements Log.
func (l *Bolt) SetMark(ctx context.Context, subject, name string, mark Mark) (current Mark, err error) {
	key, err := markKey(subject, name)
	if err != nil {
		return Mark{}, err
	}
	if len(mark.Topics.patterns) == 0 {
		return Mark{}, fmt.Errorf("%w mark: at least one topic", ErrInvalid)
	}
	current = mark
	fresh := false
	err = l.queue.do(ctx, &request{weight: draftBytes, op: func() error {
		err := l.committer.update(func(tx *bbolt.Tx) error {
			b := tx.Bucket(bucketMarks)
			if old, err := decodeMark(key, b.Get(key)); err == nil && mark.ID.Before(old.ID) {
				current = old
				return errNothing
			} else if fresh = errors.Is(err, ErrNotFound); fresh && l.committer.marks >= l.maxMarks {
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
		return Mark{}, fmt.Errorf("%w: at most %d", ErrMarkLimit, l.maxMarks)
	case errors.Is(err, errNothing):
		return current, nil
	default:
		return current, err
	}
}

// errMarksFull ends the transaction of a mark that would be one too many.
var errMarksFull = fmt.Errorf("%w: too many marks", errNothing)

// DeleteMark implements Log.
func (l *Bolt) DeleteMark(ctx context.Context, subject, name string) error {
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
		return ErrNotFound
	}
	return err
}

// Mark implements Log.
func (l *Bolt) Mark(subject, name string) (mark Mark, err error) {
	key, err := markKey(subject, name)
	if err != nil {
		return Mark{}, err
	}
	err = l.view(func(tx *bbolt.Tx) error {
		mark, err = decodeMark(key, tx.Bucket(bucketMarks).Get(key))
		return err
	})
	return mark, err
}

// markKey is subject, NUL, name: neither holds a NUL.
func markKey(subject, name string) ([]byte, error) {
	if name == "" || len(name) > MaxMarkName || len(subject) > MaxMarkName || strings.Contains(subject+name, "\x00") {
		return nil, fmt.Errorf("%w mark name: 1 to %d bytes without NUL", ErrInvalid, MaxMarkName)
	}
	return []byte(subject + "\x00" + name), nil
}

func encodeMark(key []byte, m Mark) []byte {
	v := append(make([]byte, sumSize, sumSize+len(m.ID)+64), m.ID[:]...)
	v = append(v, m.Topics.String()...)
	seal(key, v)
	return v
}

func decodeMark(key, value []byte) (Mark, error) {
	if value == nil {
		return Mark{}, ErrNotFound
	}
	rest, ok := unseal(key, value)
	if !ok || len(rest) < len(ID{}) {
		return Mark{}, ErrCorrupt
	}
	topics, err := NewFilter(strings.Fields(string(rest[16:]))...)
	if err != nil {
		return Mark{}, ErrCorrupt
	}
	return Mark{ID: ID(rest), Topics: topics}, nil
}

// Count implements Log.
func (l *Bolt) Count(f Filter, after ID, max int) (n int, err error) {
	r := l.NewReader(f, after).(*reader)
	r.bare = true
	for n < max {
		page, err := r.Next(max - n)
		if err != nil {
			return 0, err
		}
		n += len(page.Events)
		if !page.Through.Before(l.Head()) {
			break
		}
	}
	return n, nil
}
