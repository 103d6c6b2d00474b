package bolt_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"tidings/store/bolt"
)

// TestInterrupt interrupts each long operation while it reads, in a call of progress that does not return
// before the test does: work that cannot be stopped is left behind, and nothing unfinished stays.
func TestInterrupt(t *testing.T) {
	why := errors.New("a signal")
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "backup")
	log := openAt(t, dir, bolt.Options{})
	for range 5 {
		appendN(t, log, 1000, "a", "b") // progress is reported every 4096
	}
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	m, err := log.Backup(t.Context(), out)
	if err := errors.Join(err, out.Close()); err != nil {
		t.Fatal(err)
	}
	closeLog(t, log)
	into := t.TempDir()
	for name, work := range map[string]func(context.Context, func(_, _ uint64)) error{
		"verify": func(ctx context.Context, progress func(_, _ uint64)) error {
			_, err := bolt.Verify(ctx, dir, progress)
			return err
		},
		"compact": func(ctx context.Context, progress func(_, _ uint64)) error {
			_, _, err := bolt.Compact(ctx, dir, progress)
			return err
		},
		"restore": func(ctx context.Context, progress func(_, _ uint64)) error {
			_, err := bolt.Restore(ctx, file, into,
				bolt.RestoreOptions{Manifest: &m, Progress: progress})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, interrupt := context.WithCancelCause(t.Context())
			defer interrupt(nil)
			over := make(chan struct{})
			defer close(over)
			err := work(ctx, func(uint64, uint64) {
				interrupt(why)
				<-over
			})
			if !errors.Is(err, why) {
				t.Errorf("got %v, want %v", err, why)
			}
			for _, dir := range []string{dir, into} {
				if unfinished, err := filepath.Glob(filepath.Join(dir, "log.db.*")); err != nil ||
					len(unfinished) > 0 {
					t.Errorf("%v are left, error %v", unfinished, err)
				}
			}
		})
	}
	if report := verify(t, dir); !report.Intact() || report.Events != m.Events {
		t.Errorf("report %+v, want %d events", report, m.Events)
	}
}
