package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"tidings/store"
	"tidings/store/bolt"
)

// storedLog returns the directory of a closed log whose events have the given data.
func storedLog(t *testing.T, data ...string) (dir string, ids []store.ID) {
	t.Helper()
	dir = t.TempDir()
	log, err := bolt.Open(dir, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range data {
		id, err := store.Append(t.Context(), log,
			[]store.Draft{{Topic: "orders", ContentType: "application/json", Data: []byte(d)}})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id...)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, ids
}

// flip changes a bit wherever the text occurs in the log file of dir.
func flip(t *testing.T, dir, text string) {
	t.Helper()
	path := filepath.Join(dir, "log.db")
	file, err := os.ReadFile(path)
	if err != nil || !bytes.Contains(file, []byte(text)) {
		t.Fatalf("%q is not in the file; error %v", text, err)
	}
	changed := bytes.Clone([]byte(text))
	changed[0] ^= 1
	if err := os.WriteFile(path, bytes.ReplaceAll(file, []byte(text), changed), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestVerify(t *testing.T) {
	dir, ids := storedLog(t, `{"order":1}`, `{"order":2}`)
	if got := runCLI(t, "verify", "--data-dir", dir).ended(t, exitOK); got.stderr != "" {
		t.Errorf("intact, and says %q", got.stderr)
	}
	flip(t, dir, `{"order":2}`)
	text := runCLI(t, "verify", "--data-dir", dir)
	if !bytes.HasPrefix([]byte(text.stdout),
		[]byte("damaged event "+ids[1].String()+"\nDAMAGED: 2 events")) {
		t.Errorf("printed %s", text.stdout)
	}
	text.want(t, exitDamaged, text.stdout, "1 events are damaged, 0 other problems")
	var report bolt.Report
	if err := json.Unmarshal([]byte(runCLI(t, "verify", "--json", "--data-dir", dir).ended(t,
		exitDamaged).stdout), &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Damaged) != 1 || report.Damaged[0] != ids[1] || report.Events != 2 {
		t.Errorf("report %+v, want %s in it", report, ids[1])
	}
	if err := os.WriteFile(filepath.Join(dir, "log.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	runCLI(t, "verify", "--data-dir", dir).ended(t, exitDamaged)
	runCLI(t, "verify", "--data-dir", t.TempDir()).want(t, exitFailure, "", "there is no log")
	held := t.TempDir()
	serving(t, "--data-dir", held)
	runCLI(t, "verify", "--data-dir", held).want(t, exitInUse, "", "is held by process")
}
