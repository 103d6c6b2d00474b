package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestImportsPointDown keeps DESIGN §3: cmd → api → replay → store, and each dependency behind one door.
func TestImportsPointDown(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}: {{join .Imports " "}}`, "tidings/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	rank := map[string]int{"tidings/internal/sse": 0, "tidings/console": 0, "tidings/store": 0, "tidings/internal/auth": 1, "tidings/internal/retention": 1, "tidings/store/storetest": 1, "tidings/replay": 1, "tidings/api": 2, "tidings/cmd/tidings": 3}
	door := map[string]string{
		"go.etcd.io/bbolt": "tidings/store", "github.com/oklog/ulid/v2": "tidings/store", "github.com/gorilla/mux": "tidings/api",
		"github.com/rs/cors": "tidings/api", "github.com/prometheus/": "tidings/api", "github.com/golang-jwt/jwt/v5": "tidings/internal/auth", "github.com/MicahParks/": "tidings/internal/auth",
	}
	packages := 0
	for line := range strings.Lines(string(out)) {
		name, imports, _ := strings.Cut(strings.TrimSpace(line), ": ")
		packages++
		for _, imported := range strings.Fields(imports) {
			if mine, ok := rank[name]; ok && strings.HasPrefix(imported, "tidings/") && rank[imported] >= mine {
				t.Errorf("%s imports %s, which is not below it", name, imported)
			}
			for dependency, only := range door {
				if strings.HasPrefix(imported, dependency) && name != only {
					t.Errorf("%s imports %s; only %s may", name, imported, only)
				}
			}
		}
	}
	if packages < len(rank) {
		t.Errorf("go list found %d packages, want at least %d", packages, len(rank))
	}
}

// TestReadmeListsTheFlags holds README's table against serve's flags: names, defaults and meaning.
func TestReadmeListsTheFlags(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	parser, err := kong.New(&cli{})
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, node := range parser.Model.Children {
		if node.Name != "serve" {
			continue
		}
		for _, flag := range node.Flags {
			value := "`" + flag.Default + "`"
			switch {
			case flag.IsBool():
				value = "off"
			case flag.Default == "":
				value = "none"
			}
			want = append(want, "| `--"+flag.Name+"` | "+value+" | "+flag.Help+" |")
		}
	}
	var got []string
	for line := range strings.Lines(string(readme)) {
		if strings.HasPrefix(line, "| `--") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("README's table is\n%s\nthe flags are\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
