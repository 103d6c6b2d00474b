package api_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidings/api"
	"tidings/store"
	"tidings/store/bolt"
)

func TestBackup(t *testing.T) {
	s := start(t)
	for range 3 {
		s.publish("orders", `{"order":1}`)
	}
	a := s.do("GET", "/v1/backup", "")
	var m store.Manifest
	if err := json.Unmarshal([]byte(a.header.Get("Tidings-Manifest")), &m); err != nil ||
		a.status != 200 {
		t.Fatalf("%d, manifest %q: %v", a.status, a.header.Get("Tidings-Manifest"), err)
	}
	file, dir := filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(file, []byte(a.body), 0o600); err != nil {
		t.Fatal(err)
	}
	if report, err := bolt.Restore(t.Context(), file, dir, bolt.RestoreOptions{Manifest: &m}); err != nil ||
		report.Events != 3 || report.Head != s.log.Head() {
		t.Errorf("restored %+v, error %v", report, err)
	}
	if p := s.do("GET", "/v1/backup?x=1", "").problem(t); p.Code != "query-invalid" {
		t.Errorf("an unknown parameter: %+v", p)
	}
}

// TestBackupSlowReader: a client that does not read delays neither publishing nor reading, only other backups, until
// it is cut off or leaves.
func TestBackupSlowReader(t *testing.T) {
	s := start(t)
	for range 8 {
		s.publish("orders", `"`+strings.Repeat("x", 1<<19)+`"`)
	}
	resp, err := http.Get(s.url + "/v1/backup")
	if err != nil {
		t.Fatal(err)
	}
	if p := s.do("GET", "/v1/backup", "").problem(t); p.Code != "backup-busy" ||
		p.Status != http.StatusConflict {
		t.Errorf("a second one: %+v", p)
	}
	s.publish("orders", "1")
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	for s.do("GET", "/v1/log", "").status == 200 {
		// as soon as the server has noticed that the client is gone
		if s.do("GET", "/v1/backup", "").status == 200 {
			return
		}
	}
}

func TestBackupOfAnotherKindOfLog(t *testing.T) {
	s := newServer(t, struct{ store.Log }{newLog(t)}, 0, api.Options{})
	if p := s.do("GET", "/v1/backup", "").problem(t); p.Code != "backup-unsupported" ||
		p.Status != http.StatusNotImplemented {
		t.Errorf("%+v", p)
	}
}
