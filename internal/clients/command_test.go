package clients_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"tidings/internal/e2e"
)

// curl follows with a script that keeps the last ID and sends it as a header.
func curl(t *testing.T, url string) (*follower, string) {
	t.Helper()
	version, _, _ := strings.Cut(versionOf(t, e2e.Need(t, "curl"), "--version"), " (")
	return followWith(t, exec.Command(e2e.Need(t, "bash"), "testdata/follow.sh", url)), version
}

// node follows with the EventSource of a package of npm.
func node(name string) func(*testing.T, string) (*follower, string) {
	return func(t *testing.T, url string) (*follower, string) {
		t.Helper()
		path := e2e.Need(t, "node")
		version := packageVersion(t, name) + " on Node " + versionOf(t, path, "--version")
		return followWith(t, exec.Command(path, "--no-warnings", "testdata/node.js", name,
			url)), version
	}
}

// followWith follows with a program that writes lines for parseReport.
func followWith(t *testing.T, cmd *exec.Cmd) *follower {
	t.Helper()
	cmd.Env = append(os.Environ(), "LC_ALL=C") // bash reports one that is not installed
	p, f := startProcess(t, cmd), newFollower()
	go func() { // ends with the program
		for line := range p.lines {
			f.add(parseReport(line))
		}
	}()
	return f
}

// packageVersion is the name and version of an installed package of npm.
func packageVersion(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile("testdata/node_modules/" + name + "/package.json")
	if err != nil {
		t.Skipf("the Node packages are not installed (%v); doc.go says how", err)
	}
	var p struct{ Version string }
	if err := json.Unmarshal(content, &p); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s %s", name, p.Version)
}
