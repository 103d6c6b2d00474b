package store

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
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
)

// Manifest describes a backup, for a restore to compare it with.
type Manifest struct {
	Format uint32    `json:"format"`
	LogID  ID        `json:"log"` // of the log that was copied
	First  ID        `json:"first"`
	Last   ID        `json:"last"`
	Head   ID        `json:"head"` // the last ID that the backup knows of
	Events uint64    `json:"events"`
	Size   int64     `json:"size"`   // of the file, in bytes
	SHA256 string    `json:"sha256"` // of the file, in hexadecimal
	Time   time.Time `json:"time"`   // when the copy began
}

// Backup writes a copy of the log as one commit left it to w, while the log goes on. A read transaction
// is open until it returns, so w should take bytes as a disk does; for one that may be slow there is
// OpenBackup. Errors: ErrBusy while another backup is being made, ErrClosed, ErrFailed, ErrNoSpace,
// and those of w and ctx.
func (l *Bolt) Backup(ctx context.Context, w io.Writer) (Manifest, error) {
	if !l.copying.TryLock() {
		return Manifest{}, ErrBusy
	}
	defer l.copying.Unlock()
	return l.copyTo(ctx, w)
}

func (l *Bolt) copyTo(ctx context.Context, w io.Writer) (m Manifest, err error) {
	m = Manifest{LogID: l.id, Time: l.now().UTC()}
	sum := sha256.New()
	err = l.read(func(tx *bbolt.Tx) error {
		if err := m.describe(tx); err != nil {
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
		return Manifest{}, fmt.Errorf("%w: back up: %w", ErrNoSpace, err)
	case err != nil:
		return Manifest{}, fmt.Errorf("back up: %w", err)
	}
	return m, nil
}

// describe fills in what the transaction says.
func (m *Manifest) describe(tx *bbolt.Tx) error {
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
		m.Events += t.work.count
	}
	c := tx.Bucket(bucketLog).Cursor()
	if k, _ := c.First(); k != nil {
		m.First, m.Last = ID(k), keyAtOrBelow(c, m.Head)
	}
	return nil
}

// countTopics returns the topics at their ids, counted up to the head as Open would.
func countTopics(tx *bbolt.Tx) ([]*topic, error) {
	checkpoint, err := getMetaID(tx, metaCheckpoint)
	if err != nil {
		return nil, err
	}
	topics, _, err := loadTopics(tx)
	if err != nil {
		return nil, err
	}
	l := &Bolt{}
	l.committer = &committer{Bolt: l}
	l.recount(tx, topics, checkpoint)
	return topics, nil
}

// endingWriter ends a copy with its caller and with the log.
type endingWriter struct {
	ctx context.Context
	l   *Bolt
	w   io.Writer
	err error // the first one
}

func (e *endingWriter) Write(p []byte) (n int, err error) {
	if e.err = errors.Join(context.Cause(e.ctx), e.l.closed()); e.err == nil {
		n, e.err = e.w.Write(p)
	}
	return n, e.err
}

// BackupFile is a finished backup, to be read once. Close forgets it and lets the next one begin.
type BackupFile struct {
	Manifest
	file    *os.File
	release func()
}

// OpenBackup is Backup into a temporary file in the data directory, which is read from there: nothing of
// the log waits for the reader. The file has no name, so that it goes with the process. One that
// is open is a backup being made. ErrNoSpace says how much room it needs on the disk, beside
// Options.MinFree, and how much there is.
func (l *Bolt) OpenBackup(ctx context.Context) (*BackupFile, error) {
	if !l.copying.TryLock() {
		return nil, ErrBusy
	}
	b := &BackupFile{release: l.copying.Unlock}
	if err := l.spool(ctx, b); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (l *Bolt) spool(ctx context.Context, b *BackupFile) (err error) {
	if err := l.roomForCopy(); err != nil {
		return err
	}
	if b.file, err = os.CreateTemp(filepath.Dir(l.path), "backup-*"); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	if err := os.Remove(b.file.Name()); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	if b.Manifest, err = l.copyTo(ctx, b.file); err != nil {
		return err
	}
	if _, err := b.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	return nil
}

// roomForCopy returns ErrNoSpace when a copy would take what is to be left free: publishing must not stop for a backup.
// What a disk that does not tell has, the copy finds out.
func (l *Bolt) roomForCopy() error {
	var need, floor uint64
	if err := l.view(func(tx *bbolt.Tx) error { need = uint64(tx.Size()); return nil }); err != nil {
		return err
	}
	s := &l.committer.space
	free, total, err := s.disk(s.dir)
	if err != nil {
		return nil
	}
	if s.minFree != nil {
		floor = s.minFree(total)
	}
	if free < need+floor {
		return fmt.Errorf("%w: a backup needs %d bytes beside the %d that are kept free, the disk has %d", ErrNoSpace, need, floor, free)
	}
	return nil
}

// Read reads the bytes of the copy.
func (b *BackupFile) Read(p []byte) (int, error) { return b.file.Read(p) }

// Close ends the use of the backup. Only the first call does something.
func (b *BackupFile) Close() (err error) {
	if b.release == nil {
		return nil
	}
	if b.file != nil {
		err = b.file.Close()
	}
	b.release()
	b.release = nil
	return err
}
