package storetest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Plant is a bug in one file, whose name is relative to the test's package: Wrong in the place of Right, which occurs
// once.
type Plant struct{ File, Right, Wrong string }

// Overlay plants bugs, and returns the file that "go test -overlay" takes. One bug can be several plants, one for each
// guard against it.
func Overlay(t testing.TB, plants ...Plant) (overlay string) {
	t.Helper()
	dir := t.TempDir()
	replace := make(map[string]string)
	for _, p := range plants {
		file, err := filepath.Abs(p.File)
		if err != nil {
			t.Fatal(err)
		}
		if replace[file] != "" {
			t.Fatalf("%s has two plants", p.File)
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(source), p.Right); n != 1 {
			t.Fatalf("%q occurs %d times in %s, want once", p.Right, n, p.File)
		}
		replace[file] = filepath.Join(dir, filepath.Base(file))
		writePlant(t, replace[file], []byte(strings.Replace(string(source), p.Right, p.Wrong, 1)))
	}
	content, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay = filepath.Join(dir, "overlay.json")
	writePlant(t, overlay, content)
	return overlay
}

func writePlant(t testing.TB, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
