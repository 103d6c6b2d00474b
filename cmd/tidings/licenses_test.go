package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write licenses.txt anew")

// TestLicenses: "tidings licenses" prints the licence and the notice of each module in the binary, and of Go.
func TestLicenses(t *testing.T) {
	want := collectLicenses(t)
	if *update {
		if err := os.WriteFile("licenses.txt", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if got := runCLI(t, "licenses").ended(t, exitOK).stdout; got != want {
		t.Error("licenses.txt is not of the modules of go.mod: " +
			"go test ./cmd/tidings -run TestLicenses -update")
	}
}

// collectLicenses reads the texts of the modules of a build for Linux. Shared texts appear once.
func collectLicenses(t *testing.T) string {
	list := exec.Command("go", "list", "-deps", "-f",
		"{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}", ".")
	list.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(modules)
	var texts []string
	of := make(map[string][]string) // the modules that share a text
	for _, m := range append(slices.Compact(modules), "Go "+strings.TrimSpace(string(root))) {
		name, dir, _ := strings.Cut(m, " ")
		files := licenseFiles(t, dir)
		if len(files) == 0 {
			t.Errorf("%s has no licence in %s", name, dir)
		}
		for _, text := range files {
			if of[text] == nil {
				texts = append(texts, text)
			}
			of[text] = append(of[text], name)
		}
	}
	var b strings.Builder
	b.WriteString("Tidings contains the following, under these licences.\n")
	for _, text := range texts {
		fmt.Fprintf(&b, "\n%s\n\n%s:\n\n%s\n", strings.Repeat("=", 80),
			strings.Join(of[text], ", "), text)
	}
	return b.String()
}

func licenseFiles(t *testing.T, dir string) (texts []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if regexp.MustCompile(`^(LICEN[CS]E|COPYING|NOTICE)(\.\w+)?$`).MatchString(e.Name()) {
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, strings.TrimSpace(strings.ReplaceAll(string(text), "\r", "")))
		}
	}
	return texts
}
