package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// stiff are words that read as translated; write "reports", "continues", "N", "stalls", "reconnects", "clock
// changes" instead.
var stiff = regexp.MustCompile(`(?i)\b(is|are|was|were|be) told\b|\b(goes|go|went|going) on\b|\bso many\b|\bstands? still\b|` +
	`\b(comes?|came) again\b|\btakes nothing\b|\bsteps? of the clock\b|\bfor good\b|\bmade anew\b`)

// TestPlainWords keeps them out of the help.
func TestPlainWords(t *testing.T) {
	k, err := kong.New(&cli{})
	if err != nil {
		t.Fatal(err)
	}
	var visit func(n *kong.Node)
	visit = func(n *kong.Node) {
		texts := []string{n.Help, n.Detail}
		for _, value := range n.Positional {
			texts = append(texts, value.Help)
		}
		for _, flag := range n.Flags {
			texts = append(texts, flag.Help)
		}
		for _, text := range texts {
			if word := stiff.FindString(text); word != "" {
				t.Errorf("the help of %s says %q: %s", n.FullPath(), word, text)
			}
		}
		for _, child := range n.Children {
			visit(child)
		}
	}
	visit(k.Model.Node)
}

// TestPlainWordsInPages keeps them out of docs, README, the API's document and the console's English texts.
func TestPlainWordsInPages(t *testing.T) {
	for _, pattern := range []string{"README.md", "CHANGELOG.md", "docs/*.md", "docs/adr/*.md", "api/openapi.yaml",
		"console/app/en*.js"} {
		pages, err := filepath.Glob(filepath.Join("../..", pattern))
		if err != nil || len(pages) == 0 {
			t.Fatalf("%s: %v, %v", pattern, pages, err)
		}
		for _, name := range pages {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for number, line := range strings.Split(string(text), "\n") {
				if word := stiff.FindString(line); word != "" {
					t.Errorf("%s:%d says %q: %s", strings.TrimPrefix(name, "../../"), number+1, word, line)
				}
			}
		}
	}
}

// TestPlainWordsInCode keeps them out of problem texts, errors and log lines: all text in the code that is no test's.
func TestPlainWordsInCode(t *testing.T) {
	files := token.NewFileSet()
	err := fs.WalkDir(os.DirFS("../.."), ".", func(name string, d fs.DirEntry, err error) error {
		if d.IsDir() && slices.Contains([]string{".git", "node_modules", "testdata", "storetest"}, d.Name()) {
			return fs.SkipDir
		}
		if err != nil || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(files, filepath.Join("../..", name), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			text, ok := n.(*ast.BasicLit)
			if !ok || text.Kind != token.STRING {
				return true
			}
			if word := stiff.FindString(text.Value); word != "" {
				t.Errorf("%s says %q: %s", files.Position(text.Pos()), word, text.Value)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
