package storetest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Overlay plants a bug: it returns what "go test -overlay" takes, in which the file, whose name is
// relative to the test's package, has wrong where it has right, once.
func Overlay(t testing.TB, name, right, wrong string) (overlay string) {
	t.Helper()
	file, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), right); n != 1 {
		t.Fatalf("%q stands %d times in %s, want once", right, n, name)
	}
	dir := t.TempDir()
	planted := filepath.Join(dir, filepath.Base(name))
	overlay = filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{file: planted}})
	if err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string]string{overlay: string(replace),
		planted: strings.Replace(string(source), right, wrong, 1)} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return overlay
}
