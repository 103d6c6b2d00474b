package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/alecthomas/kong"
)

// TestImportsPointDown enforces DESIGN §3: cmd → api → replay → store, and each dependency in one place.
func TestImportsPointDown(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}: {{join .Imports " "}}`,
		"tidings/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	rank := map[string]int{
		"tidings/internal/sse": 0, "tidings/internal/loopback": 0,
		"tidings/internal/duration": 0, "tidings/internal/clock": 0,
		"tidings/console": 0, "tidings/store": 0,
		"tidings/internal/wire": 1, "tidings/internal/retention": 1, "tidings/internal/presence": 1,
		"tidings/store/storetest": 1, "tidings/store/bolt": 1, "tidings/store/jetstream": 1,
		"tidings/internal/nodes": 1, "tidings/internal/nodes/nodestest": 2,
		"tidings/internal/auth": 2, "tidings/replay": 2,
		"tidings/internal/outbound": 0, "tidings/internal/seal": 0, "tidings/internal/webpush": 0,
		"tidings/deliver": 3, "tidings/alert": 3, "tidings/api": 4, "tidings/cmd/tidings": 5,
	}
	door := map[string]string{
		"go.etcd.io/bbolt": "tidings/store/bolt", "github.com/oklog/ulid/v2": "tidings/store",
		"github.com/gorilla/mux": "tidings/api", "github.com/rs/cors": "tidings/api",
		"github.com/prometheus/":       "tidings/api",
		"github.com/golang-jwt/jwt/v5": "tidings/internal/auth tidings/internal/webpush",
		"github.com/MicahParks/":       "tidings/internal/auth",
		"github.com/nats-io/":          "tidings/store/jetstream",
		"github.com/wneessen/":         "tidings/deliver",
		"tidings/store/bolt":           "tidings/cmd/tidings", // an engine
		"tidings/store/jetstream":      "tidings/cmd/tidings", // a sequencer
	}
	packages := 0
	for line := range strings.Lines(string(out)) {
		name, imports, _ := strings.Cut(strings.TrimSpace(line), ": ")
		packages++
		for _, imported := range strings.Fields(imports) {
			if mine, ok := rank[name]; ok && strings.HasPrefix(imported, "tidings/") &&
				rank[imported] >= mine {
				t.Errorf("%s imports %s, which is not below it", name, imported)
			}
			if name == "tidings/internal/wire" && imported == "net/http" {
				t.Errorf("%s imports net/http; it knows no requests", name)
			}
			for dependency, only := range door {
				if strings.HasPrefix(imported, dependency) && !slices.Contains(strings.Fields(only), name) {
					t.Errorf("%s imports %s; only %s may", name, imported, only)
				}
			}
		}
	}
	if packages < len(rank) {
		t.Errorf("go list found %d packages, want at least %d", packages, len(rank))
	}
}

// TestFlagsAreDocumented compares the table of docs/CONFIGURATION.md with serve's flags: groups, names, defaults
// and meanings. README.md's table has some of its rows.
func TestFlagsAreDocumented(t *testing.T) {
	parser, err := kong.New(&cli{})
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	group := ""
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
			if flag.Group.Title != group {
				group = flag.Group.Title
				want = append(want, "| **"+strings.TrimSuffix(group, ":")+"** | | |")
			}
			want = append(want, "| `--"+flag.Name+"` | "+value+" | "+flag.Help+" |")
		}
	}
	if got := flagRows(t, "docs/CONFIGURATION.md"); !slices.Equal(got, want) {
		t.Errorf("the table is\n%s\nthe flags are\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, row := range flagRows(t, "README.md") {
		if !slices.Contains(want, row) {
			t.Errorf("README.md has a row that docs/CONFIGURATION.md should not have: %s", row)
		}
	}
}

// flagRows returns the rows of a file that describe flags and groups of flags.
func flagRows(t *testing.T, name string) (rows []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", name))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "| `--") || strings.HasPrefix(line, "| **") {
			rows = append(rows, strings.TrimSpace(line))
		}
	}
	return rows
}

// TestLinesFit keeps Go's lines within 120 columns, with a tab as four, except those that hold a long string:
// flags' help, JSON and scripts in tests.
func TestLinesFit(t *testing.T) {
	const most, tab, longString = 120, "    ", 50
	err := fs.WalkDir(os.DirFS("../.."), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git") {
			return fs.SkipDir
		}
		if d.IsDir() || filepath.Ext(name) != ".go" {
			return nil
		}
		source, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			return err
		}
		long := linesWithStrings(source, longString)
		for number, line := range bytes.Split(source, []byte("\n")) {
			columns := utf8.RuneCountInString(strings.ReplaceAll(string(line), "\t", tab))
			if columns > most && !long[number+1] {
				t.Errorf("%s:%d has %d columns, want at most %d", name, number+1, columns, most)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// linesWithStrings returns the lines that hold part of a string of at least size bytes.
func linesWithStrings(source []byte, size int) map[int]bool {
	lines := make(map[int]bool)
	files := token.NewFileSet()
	file := files.AddFile("", -1, len(source))
	var s scanner.Scanner
	s.Init(file, source, nil, 0)
	for {
		at, kind, text := s.Scan()
		if kind == token.EOF {
			return lines
		}
		if kind == token.STRING && len(text) >= size {
			first := file.Line(at)
			for i := range 1 + strings.Count(text, "\n") {
				lines[first+i] = true
			}
		}
	}
}

// TestFunctionsFit keeps functions on the path of an event short enough for one screen.
func TestFunctionsFit(t *testing.T) {
	const most = 45 // lines
	for _, dir := range []string{"store/bolt", "store/internal/commit", "replay", "deliver", "api"} {
		files := token.NewFileSet()
		names, err := filepath.Glob(filepath.Join("../..", dir, "*.go"))
		if err != nil || len(names) == 0 {
			t.Fatalf("files of %s: %v, %v", dir, names, err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range file.Decls {
				f, ok := d.(*ast.FuncDecl)
				if !ok {
					continue
				}
				first, last := files.Position(f.Pos()), files.Position(f.End())
				if n := last.Line - first.Line + 1; n > most {
					t.Errorf("%s: %s has %d lines, want at most %d", first, f.Name, n, most)
				}
			}
		}
	}
}
