//go:build ignore

// Report makes the output of "go test -json" readable: a line per package, the full output of failed tests, and
// every skipped test. It fails if a skipped test is not listed in the file named by its argument; the exit code of
// go test reports whether tests failed.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
)

// event is a line of test2json; see "go doc test2json".
type event struct{ Action, Package, ImportPath, Test, Output string }

func main() {
	log.SetFlags(0)
	allowed, err := readList(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	skipped, err := report(os.Stdin, os.Stdout)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d tests skipped\n", len(skipped))
	forbidden := 0
	for _, test := range skipped {
		if !allowed[test] {
			fmt.Printf("skipped, but not listed in %s: %s\n", os.Args[1], test)
			forbidden++
		}
	}
	if forbidden > 0 {
		os.Exit(1)
	}
}

// readList reads the lines, without comments and blank ones.
func readList(name string) (map[string]bool, error) {
	content, err := os.ReadFile(name)
	list := map[string]bool{}
	for line := range strings.Lines(string(content)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			list[line] = true
		}
	}
	return list, err
}

func report(in io.Reader, out io.Writer) (skipped []string, err error) {
	pending := map[string]string{} // output of unfinished tests
	decoder := json.NewDecoder(bufio.NewReader(in))
	for {
		var e event
		switch err := decoder.Decode(&e); {
		case err == io.EOF:
			return skipped, nil
		case err != nil:
			return nil, fmt.Errorf("read test output: %w", err)
		}
		test := e.Package + " " + e.Test
		switch {
		case e.Action == "build-output", e.Action == "output" && e.Test == "" &&
			e.Output != "PASS\n":
			fmt.Fprint(out, e.Output)
		case e.Action == "output":
			pending[test] += e.Output
		case e.Action == "fail" && e.Test == "": // tests that were running when the process died
			for name, output := range pending {
				if strings.HasPrefix(name, e.Package+" ") {
					fmt.Fprint(out, output)
					delete(pending, name)
				}
			}
		case e.Action == "skip" && e.Test != "":
			fmt.Fprintf(out, "skipped: %s\n%s", test, pending[test])
			skipped = append(skipped, test)
			delete(pending, test)
		case e.Action == "fail":
			fmt.Fprint(out, pending[test])
			delete(pending, test)
		case e.Action == "pass":
			delete(pending, test)
		}
	}
}
