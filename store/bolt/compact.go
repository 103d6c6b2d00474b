package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"go.etcd.io/bbolt"
)

// compactBytes is how much one transaction of a compaction writes; it is held in memory.
const compactBytes = 4 << 20

// Compact rewrites the closed log in the directory path without its free pages, which bbolt reuses but never
// gives back, and returns the size of the file before and after. It needs room for the second file. The log
// keeps its identity, the file its owner and mode, and events with damaged records stay as they are. A crash
// leaves the old file or the new one. Errors: ErrNoLog, ErrDamaged when anything but a record is damaged,
// ErrNewerFormat, ErrLocked, and the cause of ctx's end, which leaves the old file.
func Compact(ctx context.Context, path string,
	progress func(done, total uint64)) (before, after int64, err error) {
	if _, err := (&dir{path: path}).mustFind(); err != nil {
		return 0, 0, err
	}
	d, err := hold(path)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.clean(); err != nil {
		return 0, 0, err
	}
	path = d.file(fileName)
	old, err := verifyFile(ctx, path, progress)
	if err == nil {
		err = old.refusal(path, true)
	}
	if err == nil {
		err = d.createLike(newName)
	}
	if err == nil {
		after, err = rewrite(ctx, path, d.file(newName), &old)
	}
	if err != nil {
		return 0, 0, errors.Join(err, d.clean())
	}
	return old.Bytes, after, d.install(newName)
}

// rewrite copies the log at path to temp, durably, and returns the size of temp. The copy must verify like
// the original.
func rewrite(ctx context.Context, path, temp string, old *Report) (size int64, err error) {
	from, err := bbolt.Open(path, fileMode, &bbolt.Options{ReadOnly: true, Timeout: lockWait, OpenFile: openFile})
	if err != nil {
		return 0, fmt.Errorf("compact: %w", err)
	}
	to, err := bbolt.Open(temp, fileMode,
		&bbolt.Options{NoSync: true, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
			OpenFile: openFile})
	if err != nil {
		return 0, fmt.Errorf("compact: %w", errors.Join(err, from.Close()))
	}
	err = interruptible(ctx, func() error { return bbolt.Compact(to, from, compactBytes) })
	if ctx.Err() != nil {
		return 0, fmt.Errorf("compact: %w", context.Cause(ctx)) // both files may still be in use
	}
	sized := to.View(func(tx *bbolt.Tx) error { size = tx.Size(); return nil })
	if err := errors.Join(err, sized, to.Close(), from.Close(), finish(temp, size)); err != nil {
		return 0, fmt.Errorf("compact: %w", err)
	}
	report, err := verifyFile(ctx, temp, nil)
	if err != nil {
		return 0, fmt.Errorf("compact: %w", err)
	}
	if len(report.Problems) > 0 || report.Events != old.Events || report.Head != old.Head ||
		report.LogID != old.LogID ||
		report.Topics != old.Topics || report.Keys != old.Keys || report.Marks != old.Marks ||
		report.Deliveries != old.Deliveries || report.Slots != old.Slots ||
		!slices.Equal(report.Damaged, old.Damaged) {
		return 0,
			fmt.Errorf(
				"compact: the new file is not the same log, keeping the old one: %+v; it was %+v",
				report, *old)
	}
	return report.Bytes, nil
}

// finish cuts off the room for growth that bbolt has left in the file, and syncs the file. One fsync is
// enough: nobody opens the file before it has the log's name.
func finish(path string, size int64) error {
	f, err := openFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Sync(), f.Close())
}
