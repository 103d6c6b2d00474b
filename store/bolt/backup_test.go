package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/storetest"
)

// backUp writes a backup of the log to a file and returns both.
func backUp(t testing.TB, log *bolt.Log) (file string, m store.Manifest) {
	t.Helper()
	var b bytes.Buffer
	m, err := log.Backup(context.Background(), &b)
	if err != nil {
		t.Fatal(err)
	}
	return writeBackup(t, b.Bytes()), m
}

func writeBackup(t testing.TB, content []byte) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "backup.db")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// restored opens the log restored from a backup.
func restored(t testing.TB, file string, m store.Manifest) *bolt.Log {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	report, err := bolt.Restore(t.Context(), file, dir, bolt.RestoreOptions{Manifest: &m})
	if err != nil {
		t.Fatal(err)
	}
	log := openAt(t, dir, bolt.Options{})
	if id := log.LogID(); id == m.LogID || id != report.LogID {
		t.Errorf("the restored log has the identity %s, the report %s, the backup %s", id,
			report.LogID, m.LogID)
	}
	if log.Head() != m.Head || report.Events != m.Events || report.First != m.First ||
		report.Last != m.Last {
		t.Errorf("head %s and report %+v, want those of %+v", log.Head(), report, m)
	}
	return log
}

func TestBackupRestore(t *testing.T) {
	dir, events := fullLog(t)
	log := openAt(t, dir, bolt.Options{})
	file, m := backUp(t, log)
	if m.Events != uint64(len(events)) || m.First != events[0].ID ||
		m.Last != events[len(events)-1].ID || m.Head != log.Head() || m.LogID != log.LogID() {
		t.Errorf("manifest %+v", m)
	}
	copied := restored(t, file, m)
	expect(t, copied, store.All(), store.ID{}, events)
	if mark, err := copied.Mark("subject", "inbox"); err != nil || mark.ID.IsZero() {
		t.Errorf("read mark %+v, error %v", mark, err)
	}
	if copied.Secret() != log.Secret() {
		t.Error("the restored log has another secret")
	}
	if _, all := copied.Ended(filterOf(t, "over")); !all || copied.Trimmed() != log.Trimmed() {
		t.Errorf("ended: %t, trimmed %s, want %s", all, copied.Trimmed(), log.Trimmed())
	}
	storetest.Check(t, copied)
	expect(t, copied, store.All(), store.ID{},
		append(events, appendN(t, copied, 300, "a.x", "c")...))
}

func TestBackupOfNothing(t *testing.T) {
	log := openAt(t, t.TempDir(), bolt.Options{})
	file, m := backUp(t, log)
	expect(t, restored(t, file, m), store.All(), store.ID{}, nil)
}

// TestBackupUnderLoad: each backup is the log up to its head, whatever is appended and trimmed
// meanwhile.
func TestBackupUnderLoad(t *testing.T) {
	log := openAt(t, t.TempDir(), bolt.Options{})
	written, done := make(chan []store.Event, 1), make(chan struct{})
	go func() {
		var all []store.Event
		for i := 0; ; i++ {
			select {
			case <-done:
				written <- all
				return
			default:
			}
			batch := appendN(t, log, 50, "a", "b")
			all = append(all, batch...)
			if i%4 == 3 {
				if _, err := log.Trim(context.Background(), filterOf(t, "b"),
					batch[0].ID); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	var files []string
	var manifests []store.Manifest
	for range 10 {
		file, m := backUp(t, log)
		files, manifests = append(files, file), append(manifests, m)
	}
	close(done)
	all := <-written
	for i, m := range manifests {
		copied := restored(t, files[i], m)
		var until []store.Event
		for _, e := range all {
			if !m.Head.Before(e.ID) {
				until = append(until, e)
			}
		}
		expect(t, copied, filterOf(t, "a"), store.ID{}, until)
		storetest.Check(t, copied)
		closeLog(t, copied)
	}
}

// TestBackupFile: a reader that does not read holds up nothing but the next backup.
func TestBackupFile(t *testing.T) {
	dir := t.TempDir()
	log := openAt(t, dir, bolt.Options{})
	events := appendN(t, log, 1000, "a", "b")
	b, err := log.OpenBackup(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.OpenBackup(context.Background()); !errors.Is(err, store.ErrBusy) {
		t.Errorf("a second one: %v, want %v", err, store.ErrBusy)
	}
	if _, err := log.Backup(context.Background(), io.Discard); !errors.Is(err, store.ErrBusy) {
		t.Errorf("another one: %v, want %v", err, store.ErrBusy)
	}
	appendN(t, log, 1000, "a")
	content, err := io.ReadAll(b)
	if err != nil || int64(len(content)) != b.Size {
		t.Fatalf("%d bytes, error %v; want %d", len(content), err, b.Size)
	}
	if err := errors.Join(b.Close(), b.Close()); err != nil {
		t.Error(err)
	}
	expect(t, restored(t, writeBackup(t, content), b.Manifest), store.All(), store.ID{}, events)
	if left, err := filepath.Glob(filepath.Join(dir, "backup-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, error %v", left, err)
	}
	backUp(t, log)
}

// TestBackupNeedsRoom: a copy in the data directory uses no space that must stay free, and the error says how
// much it needs.
func TestBackupNeedsRoom(t *testing.T) {
	d := &fakeDisk{}
	d.free.Store(100)
	log := floored(t, d)
	appendN(t, log, 100, "a")
	_, m := backUp(t, log)
	d.free.Store(uint64(m.Size) + 99)
	_, err := log.OpenBackup(t.Context())
	want := fmt.Sprintf(
		"a backup needs %d bytes beyond the 100 kept free, the disk has %d",
		m.Size, m.Size+99)
	if !errors.Is(err, store.ErrNoSpace) || !strings.Contains(err.Error(), want) {
		t.Errorf("with a byte too little: %v, want %v: %s", err, store.ErrNoSpace, want)
	}
	d.free.Add(1)
	b, err := log.OpenBackup(t.Context())
	if err != nil {
		t.Fatalf("with just enough: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// TestBackupEnds: a backup ends with its caller, with its writer, and with the log, which it does not hold
// up.
func TestBackupEnds(t *testing.T) {
	log := openAt(t, t.TempDir(), bolt.Options{})
	appendN(t, log, 1000, "a")
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(why)
	if _, err := log.Backup(ctx, io.Discard); !errors.Is(err, why) {
		t.Errorf("with an ended context: %v, want %v", err, why)
	}
	if _, err := log.OpenBackup(ctx); !errors.Is(err, why) {
		t.Errorf("to a file with an ended context: %v, want %v", err, why)
	}
	var writes atomic.Int32
	closed := make(chan error, 1)
	_, err := log.Backup(context.Background(), writer(func([]byte) error {
		if writes.Add(1) == 1 {
			go func() { closed <- log.Close() }()
			for {
				if _, err := store.Append(context.Background(), log,
					[]store.Draft{{Topic: "a"}}); errors.Is(err, store.ErrClosed) {
					return nil
				}
			}
		}
		return nil
	}))
	if !errors.Is(err, store.ErrClosed) {
		t.Errorf("during the end of the log: %v, want %v", err, store.ErrClosed)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

type writer func([]byte) error

func (w writer) Write(p []byte) (int, error) { return len(p), w(p) }

func TestRestoreRefuses(t *testing.T) {
	dir, events := fullLog(t)
	log := openAt(t, dir, bolt.Options{})
	file, m := backUp(t, log)
	closeLog(t, log)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := func(change func(b []byte) []byte) string {
		return writeBackup(t, change(bytes.Clone(content)))
	}
	flipped := changed(func(b []byte) []byte {
		b[bytes.Index(b, events[10].Data)] ^= 1
		return b
	})
	newer := crash(t, dir)
	alter(t, newer, setMeta("format", []byte{0, 0, 0, 4}))
	for name, c := range map[string]struct {
		file string
		m    *store.Manifest
		err  error
		want string
	}{
		"cut short": {changed(func(b []byte) []byte {
			return b[:len(b)-1]
		}), &m, bolt.ErrDamaged, "its manifest says"},
		"a bit":              {flipped, &m, bolt.ErrDamaged, "SHA-256"},
		"a bit, no manifest": {flipped, nil, bolt.ErrDamaged, events[10].ID.String()},
		"cut short, no manifest": {changed(func(b []byte) []byte {
			return b[:len(b)/2]
		}), nil, bolt.ErrDamaged, "cut short"},
		"another kind of file": {writeBackup(t, bytes.Repeat([]byte("text\n"), 5000)),
			nil, bolt.ErrDamaged, "invalid"},
		"a newer format": {logFile(newer), nil, bolt.ErrNewerFormat, "format 4"},
		"no file":        {filepath.Join(t.TempDir(), "none"), nil, os.ErrNotExist, "none"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := bolt.Restore(t.Context(), c.file, dir, bolt.RestoreOptions{Manifest: c.m})
			if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %v with %q", err, c.err, c.want)
			}
			if left, err := filepath.Glob(filepath.Join(dir, "log.db*")); err != nil ||
				len(left) > 0 {
				t.Errorf("left behind: %v, error %v", left, err)
			}
		})
	}
	if _, err := bolt.Restore(t.Context(), file, dir, bolt.RestoreOptions{Manifest: &m}); !errors.Is(err,
		bolt.ErrExists) {
		t.Errorf("over a log: %v, want %v", err, bolt.ErrExists)
	}
	damaged := t.TempDir()
	if _, err := bolt.Restore(t.Context(), flipped, damaged,
		bolt.RestoreOptions{AllowDamaged: true}); err != nil {
		t.Fatal(err)
	}
	expectCorrupt(t, openAt(t, damaged, bolt.Options{}), events, events[10])
}
