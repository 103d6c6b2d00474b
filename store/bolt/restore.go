package bolt

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"go.etcd.io/bbolt"

	"tidings/store"
)

// RestoreOptions configures Restore.
type RestoreOptions struct {
	Manifest *store.Manifest // what the backup must be; nil: it is only verified
	// restore even if records are damaged; they stay as they were in the log
	AllowDamaged bool
	Progress     func(done, total uint64) // see Verify
}

// Restore creates a log in the directory path, which must have none, from a backup, which is only read. The
// log keeps every ID and gets a new identity, because what follows the backup is not what followed it before:
// from the identity clients learn that their cursors may be invalid. A crash leaves no log or all of it. The
// report is on the backup, with the new LogID. Errors: ErrExists, ErrDamaged, ErrNewerFormat, ErrLocked, and
// the cause of ctx's end, which leaves no log either.
func Restore(ctx context.Context, file, path string, o RestoreOptions) (report Report, err error) {
	d, err := hold(path)
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.refuseAny(); err != nil {
		return Report{}, err
	}
	if report, err = restoreIn(ctx, d, file, o); err != nil {
		return report, errors.Join(err, d.clean())
	}
	return report, d.install(unfinishedName)
}

// restoreIn creates the log under the name that Open refuses.
func restoreIn(ctx context.Context, d *dir, file string,
	o RestoreOptions) (report Report, err error) {
	out, err := d.create(unfinishedName)
	if err != nil {
		return Report{}, fmt.Errorf("restore: %w", err)
	}
	if err := errors.Join(copyBackup(ctx, file, out, o.Manifest), out.Close()); err != nil {
		return Report{}, err
	}
	if report, err = verifyFile(ctx, out.Name(), o.Progress); err == nil {
		err = report.refusal(file, o.AllowDamaged)
	}
	if err == nil {
		report.LogID, err = identify(out.Name(), func(*bbolt.Tx) error { return nil })
	}
	return report, err
}

// refuseAny returns an error if the directory has a log, and removes what a crash left of one.
func (d *dir) refuseAny() error {
	if _, err := os.Lstat(d.file(fileName)); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("%w: %s; restore into another directory, or move it away", ErrExists,
			d.file(fileName)), err)
	}
	return d.clean()
}

// copyBackup copies file to out, and compares it with the manifest.
func copyBackup(ctx context.Context, file string, out io.Writer, m *store.Manifest) (err error) {
	sum := sha256.New()
	var size int64
	if err := interruptible(ctx, func() error {
		in, err := os.Open(file)
		if err == nil {
			size, err = io.Copy(io.MultiWriter(out, sum), in)
			err = errors.Join(err, in.Close())
		}
		return err
	}); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	switch {
	case m == nil:
		return nil
	case size != m.Size:
		return damaged(file, fmt.Errorf("it has %d bytes, its manifest says %d", size, m.Size))
	case hex.EncodeToString(sum.Sum(nil)) != m.SHA256:
		return damaged(file, errors.New("its SHA-256 is not the one in its manifest"))
	}
	return nil
}

// refusal returns the error about a file that is not fit to be a log.
func (r *Report) refusal(file string, allowDamaged bool) error {
	switch {
	case len(r.Problems) > 0:
		return damaged(file, fmt.Errorf("%s (and %d more problems)", r.Problems[0],
			len(r.Problems)-1+r.More))
	case len(r.Damaged) > 0 && !allowDamaged:
		return damaged(file, fmt.Errorf("%d of %d events are damaged, the first is %s",
			len(r.Damaged), r.Events, r.Damaged[0]))
	}
	return nil
}
