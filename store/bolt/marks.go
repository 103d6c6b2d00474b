package bolt

import (
	"bytes"
	"context"
	"strings"

	"go.etcd.io/bbolt"

	"tidings/store"
	"tidings/store/internal/commit"
)

// SetMark implements store.Log.
func (l *Log) SetMark(ctx context.Context, subject, name string,
	mark store.Mark) (store.Mark, error) {
	r, err := commit.SetMark(subject, name, mark)
	if err != nil {
		return store.Mark{}, err
	}
	outcome, err := l.queue.do(ctx, r)
	if err != nil {
		return store.Mark{}, err
	}
	return *outcome.Mark, nil
}

// DeleteMark implements store.Log.
func (l *Log) DeleteMark(ctx context.Context, subject, name string) error {
	r, err := commit.DeleteMark(subject, name)
	if err != nil {
		return err
	}
	_, err = l.queue.do(ctx, r)
	return err
}

// Mark implements store.Log.
func (l *Log) Mark(subject, name string) (mark store.Mark, err error) {
	if err := commit.CheckMark(subject, name); err != nil {
		return store.Mark{}, err
	}
	key := markKey(subject, name)
	err = l.view(func(tx *bbolt.Tx) error {
		mark, err = decodeMark(key, tx.Bucket(bucketMarks).Get(key))
		return err
	})
	return mark, err
}

// Marks implements store.Log.
func (l *Log) Marks(subject, after string, max int) (marks []store.NamedMark, err error) {
	prefix := markKey(subject, "")
	err = l.view(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketMarks).Cursor()
		// the lowest name after that one, because no name holds a NUL
		for k, v := c.Seek(markKey(subject, after+"\x00")); len(marks) < max; k, v = c.Next() {
			name, ok := bytes.CutPrefix(k, prefix)
			if !ok {
				return nil
			}
			mark, _ := decodeMark(k, v)
			marks = append(marks, store.NamedMark{Name: string(name), Mark: mark})
		}
		return nil
	})
	return marks, err
}

// loadMarks counts the read marks.
func (c *committer) loadMarks(tx *bbolt.Tx) error {
	return tx.Bucket(bucketMarks).ForEach(func(key, _ []byte) error {
		subject, _, _ := strings.Cut(string(key), "\x00")
		c.marks++
		c.shares.AddMarks(commit.OwnerOf(subject), 1)
		return nil
	})
}

// putMarks sets and deletes the marks of a commit.
func (ch *change) putMarks(tx *bbolt.Tx) error {
	b := tx.Bucket(bucketMarks)
	ch.marks = make(map[commit.Owner]int)
	for i := range ch.Marks {
		m := &ch.Marks[i]
		key, owner := markKey(m.Subject, m.Name), commit.OwnerOf(m.Subject)
		known := b.Get(key) != nil
		if m.Deletes() {
			if known {
				ch.marks[owner]--
			}
			if err := b.Delete(key); err != nil {
				return err
			}
			continue
		}
		if !known {
			ch.marks[owner]++
		}
		if err := b.Put(key, encodeMark(key, m.Mark)); err != nil {
			return err
		}
	}
	return nil
}

// markKey is subject, NUL, name: neither holds a NUL.
func markKey(subject, name string) []byte { return []byte(subject + "\x00" + name) }

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
