package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// stiff are words that read as translated; write "reports", "continues", "N", "stalls", "reconnects", "clock
// changes" instead.
var stiff = regexp.MustCompile(`(?i)\b(is|are|was|were|be) told\b|\b(goes|go|went|going) on\b|\bso many\b|\bstands? still\b|` +
	`\b(comes?|came) again\b|\btakes nothing\b|\bsteps? of the clock\b|\bfor good\b|\bmade anew\b`)

// TestPlainWords keeps them out of what people read first: help, README and the pages of docs.
func TestPlainWords(t *testing.T) {
	parser, err := kong.New(&cli{})
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
	visit(parser.Model.Node)
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(pages, "../../README.md") {
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
