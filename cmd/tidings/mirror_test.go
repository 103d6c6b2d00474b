package main

import (
	"path/filepath"
	"strings"
	"testing"

	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/storetest"
)

// mirroredLog returns a closed mirror with an event.
func mirroredLog(t *testing.T) (dir string) {
	dir = t.TempDir()
	log, err := bolt.Open(dir, bolt.Options{Sequencer: storetest.NewSequence().Seat()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Append(t.Context(), log, []store.Draft{{Topic: "a", Data: []byte(`"mirrored"`),
		ContentType: "application/json"}}); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestErrorsMirror(t *testing.T) {
	t.Run("row 270: a mirror without what it mirrors", func(t *testing.T) {
		dir := mirroredLog(t)
		for _, args := range []string{"serve --listen 127.0.0.1:0", "import"} {
			got := runCLI(t, append(strings.Fields(args), "--data-dir", dir)...).ended(t, exitUsage)
			if !strings.Contains(got.stderr, "tidings detach") {
				t.Errorf("%s: %q, want what to do", args, got.stderr)
			}
		}
		backup := filepath.Join(t.TempDir(), "b.db")
		for _, args := range [][]string{{"verify"}, {"compact"}, {"backup", backup}, {"verify"}} {
			runCLI(t, append(args, "--data-dir", dir)...).ended(t, exitOK)
		}
		if got := runCLI(t, "export", "--data-dir", dir).ended(t, exitOK); !strings.Contains(got.stdout, `"mirrored"`) {
			t.Errorf("export: %q", got.stdout)
		}
		for _, make := range [][]string{{"detach", "--data-dir", dir},
			{"restore", backup, "--data-dir", filepath.Join(t.TempDir(), "restored")}} {
			runCLI(t, make...).ended(t, exitOK)
			url := serving(t, "--data-dir", make[len(make)-1])
			runCLI(t, "publish", "--url", url, "a", "1").ended(t, exitOK)
		}
	})
	t.Run("row 271: detach of what is no mirror", func(t *testing.T) {
		dir, _ := storedLog(t, "1")
		got := runCLI(t, "detach", "--data-dir", dir).ended(t, exitFailure)
		if !strings.Contains(got.stderr, "it is not a mirror") {
			t.Errorf("stderr %q", got.stderr)
		}
		runCLI(t, "detach", "--data-dir", t.TempDir()).ended(t, exitFailure)
	})
}
