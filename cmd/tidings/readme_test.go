package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestReadmesSayTheSame compares README.zh-CN.md with README.md in everything that a translation leaves unchanged:
// the sequence of headings, paragraphs, list items and rows, the code spans, numbers and links in each, and every
// byte of code and HTML; likewise docs/CONFIGURATION. TestFlagsAreDocumented compares the English ones with the
// program.
func TestReadmesSayTheSame(t *testing.T) {
	sayTheSame(t, ".", "README.md", "README.zh-CN.md")
	sayTheSame(t, "docs", "CONFIGURATION.md", "CONFIGURATION.zh-CN.md")
}

func sayTheSame(t *testing.T, dir, english, chinese string) {
	t.Helper()
	en, zh := readmeBlocks(t, dir, english, chinese), readmeBlocks(t, dir, chinese, english)
	for i := range min(len(en), len(zh)) {
		if en[i].shape() != zh[i].shape() {
			t.Fatalf(
				"%s:%d is\n%s\n%s:%d is\n%s\nwant the same blocks, code, numbers, HTML and links in the same order",
				english, en[i].line, en[i].text, chinese, zh[i].line, zh[i].text)
		}
	}
}

// readmeBlock is a heading, a paragraph, a list item, a row of a table, fenced code or HTML.
type readmeBlock struct {
	line int // of its first line, from 1
	text string
}

// readmeBlocks returns the blocks of a README without the link to the other one, which must be below the title. The
// last block marks the end and equals no other, so that READMEs of different length differ in a block.
func readmeBlocks(t *testing.T, dir, name, other string) []readmeBlock {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("..", "..", dir, name))
	if err != nil {
		t.Fatal(err)
	}
	var blocks []readmeBlock
	starts := regexp.MustCompile("^(#+ |\\||- |[0-9]+\\. |```)")
	lines := strings.Split(string(file), "\n")
	open := false // whether the next line may belong to the last block
	for i, line := range lines {
		var last *readmeBlock
		if open {
			last = &blocks[len(blocks)-1]
		}
		switch {
		case open && strings.HasPrefix(last.text, "```"):
			last.text += "\n" + line
			open = line != "```"
		case line == "":
			open = false
		case open && (strings.HasPrefix(last.text, "<") || !starts.MatchString(line)):
			last.text += "\n" + line
		default:
			blocks = append(blocks, readmeBlock{i + 1, line})
			open = !strings.HasPrefix(line, "#")
		}
	}
	if len(blocks) < 2 || !strings.HasSuffix(blocks[1].text, "]("+other+")") {
		t.Fatalf("%s has no link to %s below its title", name, other)
	}
	blocks = slices.Delete(blocks, 1, 2)
	return append(blocks, readmeBlock{len(lines), "<end>"})
}

// shape returns what a block shares with its translation. Languages differ in word order, so code spans and numbers
// are sorted.
func (b readmeBlock) shape() string {
	if strings.HasPrefix(b.text, "```") || strings.HasPrefix(b.text, "<") {
		return b.text
	}
	marker := regexp.MustCompile(`^(#+|-|[0-9]+\.) `).FindString(b.text)
	cells := []string{b.text}
	if strings.HasPrefix(b.text, "|") {
		cells = strings.Split(b.text, "|")
	}
	span, link := regexp.MustCompile("`[^`]+`|[0-9]+"), regexp.MustCompile(`\]\([^)]+\)`)
	for i, cell := range cells {
		spans := span.FindAllString(cell, -1)
		slices.Sort(spans)
		cells[i] = fmt.Sprint(spans, link.FindAllString(span.ReplaceAllString(cell, ""), -1))
	}
	return marker + strings.Join(cells, "|")
}
