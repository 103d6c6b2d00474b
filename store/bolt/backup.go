package bolt

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"go.etcd.io/bbolt"

	"tidings/store"
)

// Backup writes a copy of the log, as one commit left it, to w while the log keeps running. A read
// transaction is open until it returns, so w should accept bytes as fast as a disk does; for one that may be
// slow there is OpenBackup. Errors: ErrBusy while another backup is being made, ErrClosed, ErrFailed,
// ErrNoSpace, and those of w and ctx.
func (l *Log) Backup(ctx context.Context, w io.Writer) (store.Manifest, error) {
	if !l.copying.TryLock() {
		return store.Manifest{}, store.ErrBusy
	}
	defer l.copying.Unlock()
	return l.copyTo(ctx, w)
}

func (l *Log) copyTo(ctx context.Context, w io.Writer) (m store.Manifest, err error) {
	if err := l.hanging(); err != nil {
		return m, err
	}
	// a damaged copy must not replace an intact backup
	l.checking.hurry()
	if err := l.checked(ctx); err != nil {
		return m, err
	}
	if err := l.failure(); err != nil {
		return m, err
	}
	m = store.Manifest{LogID: l.id, Time: l.now().UTC()}
	sum := sha256.New()
	err = l.read(func(tx *bbolt.Tx) error {
		if err := describe(&m, tx); err != nil {
			return err
		}
		// The transaction may be one that is not on disk yet.
		if !m.Head.IsZero() {
			if err := l.Wait(ctx, m.Head.Prev()); err != nil {
				return err
			}
		}
		out := &endingWriter{ctx: ctx, l: l, w: w}
		m.Size, err = tx.WriteTo(io.MultiWriter(sum, out))
		return cmp.Or(out.err, err) // bbolt does not wrap it
	})
	m.SHA256 = hex.EncodeToString(sum.Sum(nil))
	switch {
	case isFull(err):
		return store.Manifest{}, fmt.Errorf("%w: back up: %w", store.ErrNoSpace, err)
	case err != nil:
		return store.Manifest{}, fmt.Errorf("back up: %w", err)
	}
	return m, nil
}

// describe fills in what the transaction holds.
func describe(m *store.Manifest, tx *bbolt.Tx) error {
	v, err := getMeta(tx, metaFormat)
	if err != nil {
		return err
	}
	m.Format = binary.BigEndian.Uint32(v)
	if m.Head, err = getMetaID(tx, metaHead); err != nil {
		return err
	}
	topics, err := countTopics(tx)
	if err != nil {
		return err
	}
	for _, t := range topics {
		m.Events += t.next.count
	}
	c := tx.Bucket(bucketLog).Cursor()
	if k, _ := c.First(); k != nil {
		m.First, m.Last = store.ID(k), keyAtOrBelow(c, m.Head)
	}
	return nil
}

// countTopics returns the topics, indexed by id and counted up to the head as Open would.
func countTopics(tx *bbolt.Tx) ([]*topic, error) {
	checkpoint, err := getMetaID(tx, metaCheckpoint)
	if err != nil {
		return nil, err
	}
	topics, _, err := loadTopics(tx)
	if err != nil {
		return nil, err
	}
	recount(tx, topics, checkpoint)
	return topics, nil
}

// endingWriter ends a copy when its caller or the log ends.
type endingWriter struct {
	ctx context.Context
	l   *Log
	w   io.Writer
	err error // the first one
}

func (e *endingWriter) Write(p []byte) (n int, err error) {
	if e.err = errors.Join(context.Cause(e.ctx), e.l.closed()); e.err == nil {
		n, e.err = e.w.Write(p)
	}
	return n, e.err
}

// OpenBackup is Backup into a temporary file in the data directory, and returns a reader of that file:
// nothing in the log waits for the reader. The file has no name, so it disappears with the process. While it
// is open, a backup counts as being made. ErrNoSpace states how much room it needs on the disk, beside
// Options.MinFree, and how much there is.
func (l *Log) OpenBackup(ctx context.Context) (*store.Backup, error) {
	if !l.copying.TryLock() {
		return nil, store.ErrBusy
	}
	copied := &spooled{release: l.copying.Unlock}
	m, err := l.spool(ctx, copied)
	if err != nil {
		return nil, errors.Join(err, copied.Close())
	}
	return &store.Backup{Manifest: m, ReadCloser: copied}, nil
}

// spooled is a copy in a file without a name. Closing it lets the next backup begin.
type spooled struct {
	*os.File // nil until it is created
	release  func()
	once     sync.Once
}

// Close implements io.Closer. Only the first call has an effect.
func (s *spooled) Close() (err error) {
	s.once.Do(func() {
		if s.File != nil {
			err = s.File.Close()
		}
		s.release()
	})
	return err
}

func (l *Log) spool(ctx context.Context, s *spooled) (m store.Manifest, err error) {
	if err := l.roomForCopy(); err != nil {
		return m, err
	}
	path := l.dir.file(spoolName)
	if err := remove(path); err != nil {
		return m, fmt.Errorf("back up: %w", err)
	}
	if s.File, err = l.dir.create(spoolName); err != nil {
		return m, fmt.Errorf("back up: %w", err)
	}
	if err := remove(path); err != nil {
		return m, fmt.Errorf("back up: %w", err)
	}
	if m, err = l.copyTo(ctx, s); err != nil {
		return m, err
	}
	if _, err := s.Seek(0, io.SeekStart); err != nil {
		return m, fmt.Errorf("back up: %w", err)
	}
	return m, nil
}

// roomForCopy returns ErrNoSpace when a copy would use space that must stay free: a backup must not stop
// publishing. On a disk that does not report its free space, the copy itself finds out.
func (l *Log) roomForCopy() error {
	var need, floor uint64
	if err := l.view(func(tx *bbolt.Tx) error {
		need = uint64(
			tx.Size())
		return nil
	}); err != nil {
		return err
	}
	s := l.space
	free, total, err := s.disk(s.dir)
	if err != nil {
		return nil
	}
	if s.minFree != nil {
		floor = s.minFree(total)
	}
	if free < need+floor {
		return fmt.Errorf(
			"%w: a backup needs %d bytes beyond the %d kept free, the disk has %d",
			store.ErrNoSpace, need, floor, free)
	}
	return nil
}
