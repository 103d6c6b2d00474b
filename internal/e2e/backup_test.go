package e2e_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidings/internal/e2e"
	"tidings/store"
	"tidings/store/bolt"
)

const (
	backupPublishers = 8
	backupPublishes  = 250 // under way or pending when a backup begins
)

// TestBackups makes backups while publishers publish, restores each, and compares its contents, byte for byte, with the
// log up to where it ends: nothing that was acknowledged before the backup was requested is missing.
func TestBackups(t *testing.T) {
	rounds := 8
	if full() {
		rounds = 200
	}
	b := startBackups(t)
	for i := range rounds {
		b.round(t, i)
	}
	b.end(t)
	t.Logf("%d backups, the last of %d events", rounds, len(b.log))
}

// backups is a campaign of backups of one server.
type backups struct {
	ctx        context.Context
	client     *http.Client
	server     *e2e.Server
	data       string
	publishers []*e2e.Publisher
	publishing sync.WaitGroup
	publishes  chan struct{} // one for each
	stop       func()        // ends the publishers; idempotent

	mu     sync.Mutex
	newest store.ID // the newest acknowledged one

	log []store.Event // as far as a backup had it
}

func startBackups(t *testing.T) *backups {
	t.Helper()
	b := &backups{data: t.TempDir(), publishes: make(chan struct{}, backupPublishes)}
	b.ctx, b.client = newClient(t)
	b.server = start(t, b.data)
	b.stop = sync.OnceFunc(func() {
		close(b.publishes)
		b.publishing.Wait()
	})
	t.Cleanup(b.stop)
	for i := range backupPublishers {
		p := &e2e.Publisher{Number: i, Topic: fmt.Sprintf("backup.%d", i%4), Padding: 300 * i}
		b.publishers = append(b.publishers, p)
		b.publishing.Go(func() {
			for range b.publishes {
				b.publish(t, p)
			}
		})
	}
	return b
}

func (b *backups) publish(t *testing.T, p *e2e.Publisher) {
	if err := p.Publish(b.ctx, b.client, b.server.URL()); err != nil {
		if b.ctx.Err() == nil { // else the test has ended
			t.Errorf("publisher %d: %v", p.Number, err)
		}
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if id := p.Attempts[len(p.Attempts)-1].ID; b.newest.Before(id) {
		b.newest = id
	}
}

// round makes a backup, sometimes by the verb and sometimes over HTTP, and restores it, sometimes by the verb and
// sometimes by calling bolt.Restore.
func (b *backups) round(t *testing.T, i int) {
	t.Helper()
	file, dir := filepath.Join(t.TempDir(), "backup.db"), filepath.Join(t.TempDir(), "data")
	for len(b.publishes) < backupPublishes {
		b.publishes <- struct{}{}
	}
	b.mu.Lock()
	newest := b.newest
	b.mu.Unlock()
	if i%4 == 3 {
		tidings(t, "backup", file, "--url", b.server.URL())
	} else {
		b.download(t, file)
	}
	m := manifest(t, file)
	if m.Head.Before(newest) {
		t.Errorf("backup %d ends at %s, before it was asked for %s had been acknowledged",
			i, m.Head, newest)
	}
	if i%4 == 1 {
		tidings(t, "restore", file, "--data-dir", dir)
	} else if _, err := bolt.Restore(t.Context(), file, dir, bolt.RestoreOptions{Manifest: &m}); err != nil {
		t.Fatalf("backup %d: %v", i, err)
	}
	events := readStore(t, dir)
	if n := len(events); uint64(n) != m.Events || n > 0 && events[n-1].ID != m.Last ||
		m.Last != m.Head {
		t.Errorf("backup %d has %d events, its manifest says %+v", i, n, m)
	}
	b.compare(t, fmt.Sprintf("backup %d", i), events)
	if err := errors.Join(os.Remove(file), os.RemoveAll(dir)); err != nil {
		t.Fatal(err)
	}
}

// compare compares the events with the log as known so far, and extends that by the rest of them.
func (b *backups) compare(t *testing.T, who string, events []store.Event) {
	t.Helper()
	if len(events) < len(b.log) {
		t.Fatalf("%s has %d events, one before had %d", who, len(events), len(b.log))
	}
	for i := range b.log {
		if !reflect.DeepEqual(events[i], b.log[i]) {
			t.Fatalf("%s: event %d (-before +now):\n%s", who, i, cmp.Diff(b.log[i], events[i]))
		}
	}
	b.log = events
}

// end compares the log itself with the last backup, and with what was acknowledged.
func (b *backups) end(t *testing.T) {
	t.Helper()
	b.stop()
	h := &e2e.History{Log: readLog(t, b.ctx, b.client, b.server.URL())}
	b.server.Stop()
	b.compare(t, "the log", readStore(t, b.data))
	for _, p := range b.publishers {
		h.Attempts = append(h.Attempts, p.Attempts...)
	}
	judge(t, h)
}

// download gets a backup and its manifest, like curl.
func (b *backups) download(t *testing.T, file string) {
	t.Helper()
	resp := openBackup(t, b.ctx, b.client, b.server.URL())
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(file, content, 0o600),
		os.WriteFile(file+".json", []byte(resp.Header.Get("Tidings-Manifest")),
			0o600)); err != nil {
		t.Fatal(err)
	}
}

func openBackup(t *testing.T, ctx context.Context, client *http.Client, url string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/backup", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		t.Fatalf("backup: %s", resp.Status)
	}
	return resp
}

func manifest(t *testing.T, file string) (m store.Manifest) {
	t.Helper()
	text, err := os.ReadFile(file + ".json")
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// readStore returns all events of a log that no server has open.
func readStore(t *testing.T, dir string) (events []store.Event) {
	t.Helper()
	log := openStore(t, dir, bolt.Options{})
	defer closeStore(t, log)
	for r := log.NewReader(store.All(), store.ID{}); ; {
		page, err := r.Next(1000)
		if err != nil || !page.Corrupt.IsZero() {
			t.Fatalf("reading %s: corrupt %s, error %v", dir, page.Corrupt, err)
		}
		events = append(events, page.Events...)
		if !page.Through.Before(log.Head()) {
			return events
		}
	}
}

// TestSlowBackup reads a backup a kilobyte at a time. Meanwhile the log has no read transaction open, which would pin
// pages, and publishing continues.
func TestSlowBackup(t *testing.T) {
	ctx, slow := newStuckClient(t)
	dir := t.TempDir()
	fill(t, dir, 50_000) // more than the buffers of a connection
	server := start(t, dir)
	_, client := newClient(t)
	resp := openBackup(t, ctx, slow, server.URL())
	defer resp.Body.Close()
	sum := sha256.New()
	for range 30 {
		if _, err := io.CopyN(sum, resp.Body, 1000); err != nil {
			t.Fatal(err)
		}
		if got := get(t, client, server.URL()+"/metrics", http.StatusOK); !strings.Contains(got,
			"\ntidings_read_transactions 0\n") {
			t.Errorf("a read transaction is open:\n%s", got)
		}
		if got := get(t, client, server.URL()+"/v1/backup",
			http.StatusConflict); !strings.Contains(got, "backup-busy") {
			t.Errorf("another backup: %s", got)
		}
	}
	if _, _, err := e2e.Publish(ctx, client, server.URL(), "still.here", []byte("{}")); err != nil {
		t.Error(err)
	}
	if _, err := io.Copy(sum, resp.Body); err != nil {
		t.Fatal(err)
	}
	var m store.Manifest
	if err := json.Unmarshal([]byte(resp.Header.Get("Tidings-Manifest")), &m); err != nil ||
		m.SHA256 != hex.EncodeToString(sum.Sum(nil)) || m.Events != 50_000 {
		t.Errorf("manifest %+v, error %v; it does not fit what came", m, err)
	}
}

// get returns the body of a response that must have the status.
func get(t *testing.T, client *http.Client, url string, status int) string {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(io.LimitReader(resp.Body, 1<<20)); err != nil ||
		resp.StatusCode != status {
		t.Fatalf("%s: %s, error %v", url, resp.Status, err)
	}
	return body.String()
}
