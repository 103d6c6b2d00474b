package clients_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"tidings/internal/e2e"
)

// curl follows with a script that stores the last ID and sends it as a header.
func curl(t *testing.T, url string) (*follower, string) {
	t.Helper()
	version, _, _ := strings.Cut(versionOf(t, e2e.Need(t, "curl"), "--version"), " (")
	return followWith(t, exec.Command(e2e.Need(t, "bash"), "testdata/follow.sh", url)), version
}

// node follows with the EventSource of an npm package.
func node(name string) func(*testing.T, string) (*follower, string) {
	return func(t *testing.T, url string) (*follower, string) {
		t.Helper()
		path := e2e.Need(t, "node")
		version := packageVersion(t, name) + " on Node " + versionOf(t, path, "--version")
		return followWith(t, exec.Command(path, "--no-warnings", "testdata/node.js", name,
			url)), version
	}
}

// python follows with a library of Debian's Python, which other Pythons do not have.
func python(library string) func(*testing.T, string) (*follower, string) {
	return func(t *testing.T, url string) (*follower, string) {
		t.Helper()
		const path = "/usr/bin/python3"
		module, _, _ := strings.Cut(library, "-")
		out, err := exec.Command(path, "-c",
			"import aiohttp, httpx; print("+module+".__version__)").Output()
		if err != nil {
			t.Skip("aiohttp and httpx are not installed; .ci/run says what to install")
		}
		return followWith(t, exec.Command(path, "testdata/follow.py", library, url)),
			library + " " + strings.TrimSpace(string(out))
	}
}

// javaClient follows with a Java library. Those that are not part of the JDK are Debian's.
func javaClient(library string) func(*testing.T, string) (*follower, string) {
	return func(t *testing.T, url string) (*follower, string) {
		t.Helper()
		if os.Getenv("TIDINGS_FULL") != "1" {
			t.Skip("a JDK is not everywhere: TIDINGS_FULL=1")
		}
		path := e2e.Need(t, "java")
		e2e.Need(t, "javac")
		if _, err := os.Stat("/usr/share/java/okhttp.jar"); err != nil {
			t.Skip("libokhttp-java is not installed")
		}
		if err := compileJava(); err != nil {
			t.Fatal(err)
		}
		return followWith(t, exec.Command(path, "-Dfile.encoding=UTF-8", "-cp", jars+":"+javaClasses,
			"Follow", library, url)), library + " on " + versionOf(t, path, "--version")
	}
}

const jars = "/usr/share/java/okhttp.jar:/usr/share/java/okio.jar"

// compileJava compiles testdata/Follow.java into javaClasses.
var compileJava = sync.OnceValue(func() error {
	out, err := exec.Command("javac", "-cp", jars, "-d", javaClasses,
		"testdata/Follow.java").CombinedOutput()
	if err != nil {
		return fmt.Errorf("javac: %w\n%s", err, out)
	}
	return nil
})

// symfony follows with Debian's library for PHP.
func symfony(t *testing.T, url string) (*follower, string) {
	t.Helper()
	if os.Getenv("TIDINGS_FULL") != "1" {
		t.Skip("PHP is not everywhere: TIDINGS_FULL=1")
	}
	path := e2e.Need(t, "php")
	if _, err := os.Stat("/usr/share/php/Symfony/Component/HttpClient"); err != nil {
		t.Skip("php-symfony-http-client is not installed")
	}
	return followWith(t, exec.Command(path, "testdata/follow.php", url)),
		"Symfony on " + versionOf(t, path, "--version")
}

// followWith follows with a program that writes lines for parseReport.
func followWith(t *testing.T, cmd *exec.Cmd) *follower {
	t.Helper()
	cmd.Env = append(os.Environ(), "LC_ALL=C") // bash reports a locale that is not installed
	p, f := startProcess(t, cmd), newFollower()
	go func() { // ends with the program
		for line := range p.lines {
			f.add(parseReport(line))
		}
	}()
	return f
}

// packageVersion returns the name and version of an installed npm package.
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
