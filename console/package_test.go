package console_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tidings/internal/e2e"
)

// TestPackage packs the browser client as npm does and uses it as its users do: installed from the tarball, beside
// React and Vue.
func TestPackage(t *testing.T) {
	t.Parallel()
	dir := installPackage(t)
	t.Run("types", func(t *testing.T) {
		t.Parallel()
		run(t, dir, "node", "node_modules/typescript/bin/tsc")
	})
	t.Run("server", func(t *testing.T) {
		t.Parallel()
		want := `<p>0 connecting</p>
<p>0 connecting</p>
url: expected the Tidings server's address: a client in a bundle cannot know it
there is no <TidingsProvider> around this component
function
`
		if got := run(t, dir, "node", "server.js"); got != want {
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		}
	})
	t.Run("script", func(t *testing.T) {
		t.Parallel()
		run(
			t,
			dir,
			"node",
			"node_modules/vite/bin/vite.js",
			"build",
			"--logLevel",
			"error",
			"--config",
			"script.config.js",
		)
		want := "TypeError: url: expected http(s)://host/path, without user, query or fragment, but got nothing, " +
			"and a bundle cannot know it\n"
		if got := run(t, dir, "node", "script/script.js"); got != want {
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		}
	})
	run(t, dir, "node", "node_modules/vite/bin/vite.js", "build", "--logLevel", "warn")
	pages := httptest.NewServer(http.FileServer(http.Dir(filepath.Join(dir, "dist"))))
	t.Cleanup(pages.Close)
	t.Run("bare", func(t *testing.T) {
		t.Parallel()
		tb := newProfile(t).open(t, pages.URL+"/bare.html")
		tb.awaitText(t, "app", pages.URL+"/assets/v1/stream answered text/plain (HTTP 404) instead of "+
			"an event stream: is this the server's address, or a sign-in page?")
	})
	for _, framework := range []string{"react", "vue"} {
		t.Run(framework, func(t *testing.T) {
			t.Parallel()
			testFramework(t, pages.URL, framework)
		})
	}
}

// installPackage creates a project in which the package is installed. Its other dependencies are those of
// internal/clients/testdata.
func installPackage(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	e2e.Need(t, "npm")
	packages, err := filepath.Abs("../internal/clients/testdata/node_modules")
	if err == nil {
		_, err = os.Stat(packages + "/vite")
	}
	if err != nil {
		t.Skipf("the Node packages are not installed (%v); internal/clients/doc.go says how", err)
	}
	if err := os.CopyFS(dir, os.DirFS("testdata/package")); err != nil {
		t.Fatal(err)
	}
	run(t, "client", "npm", "pack", "--silent", "--pack-destination", dir)
	run(t, dir, "npm", "install", "--offline", "--no-audit", "--no-fund", "--silent", "--no-save",
		"./tidings-client-0.1.0.tgz")
	for _, name := range []string{"@types", "react", "react-dom", "typescript", "vite", "vue"} {
		if err := os.Symlink(filepath.Join(packages, name),
			filepath.Join(dir, "node_modules", name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	command := exec.Command(e2e.Need(t, name), args...)
	command.Dir = dir
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// testFramework: components that mount, unmount and change share one connection, and each shows every event of its
// topics once, newest first.
func testFramework(t *testing.T, pages, framework string) {
	s := newSite(t, "--cors-origin", pages)
	s.publish(t, "orders", 3)
	tb := newProfile(t).open(t, pages+"/"+framework+".html?url="+url.QueryEscape(s.URL))
	tb.awaitText(t, "state", "live")
	s.publish(t, "tickets.eu", 2)
	s.publish(t, "tickets.eu.berlin", 1)
	last := s.publish(t, "comments", 1)
	tb.awaitList(t, "tickets", s.newestFirst(t, "tickets.eu", "tickets.eu.berlin"))
	tb.awaitList(t, "changing", s.newestFirst(t, "orders"))
	tb.awaitList(t, "newest", s.newestFirst(t, "comments", "orders")[:2*len(last)+1])
	if n := len(s.streams()); n != 1 {
		t.Errorf("%d streams, not one", n)
	}

	t.Log("topics change")
	tb.eval(t, `show({ topics: ['comments', 'refunds.>'], token: 'b' })`)
	s.publish(t, "refunds.eu", 2)
	tb.awaitList(t, "changing", s.newestFirst(t, "comments", "refunds.eu"))
	s.awaitSubscribers(t, 1)

	t.Log("a component goes and comes again")
	tb.eval(t, `show({ list: false })`)
	tb.awaitGone(t, "changing")
	s.publish(t, "refunds.eu", 2)
	tb.eval(t, `show({ list: true })`)
	tb.awaitList(t, "changing", s.newestFirst(t, "comments", "refunds.eu"))

	if framework == "react" {
		testActivity(t, s, tb)
	}

	t.Log("all go and come again")
	tb.eval(t, `show({ page: false })`)
	s.awaitSubscribers(t, 0)
	s.publish(t, "refunds.eu", 2)
	tb.eval(t, `show({ page: true })`)
	tb.awaitText(t, "state", "live")
	tb.awaitList(t, "changing", s.newestFirst(t, "comments", "refunds.eu"))
	s.publish(t, "refunds.eu", 1)
	tb.awaitList(t, "changing", s.newestFirst(t, "comments", "refunds.eu"))

	t.Log("few of the topics that nobody asks for any more are still read, and none with a hole")
	tb.eval(t, `(async () => {
		for (let i = 0; i < 40; i++) {
			show({ topics: ['part-' + i] });
			await new Promise(requestAnimationFrame);
		}
	})()`)
	s.awaitTopic(t, "part-39")
	s.publish(t, "refunds.eu", 1)
	tb.awaitList(t, "changing", s.publish(t, "part-39", 1)) // the cursor is past the other one
	tb.eval(t, `show({ topics: ['refunds.>'] })`)
	if topics := s.awaitTopic(t, "refunds.>"); slices.Contains(topics, "part-15") || len(topics) > 30 {
		t.Errorf("of 40 former topics these are read: %s", topics)
	}
	tb.awaitText(t, "state", "live")
	tb.awaitList(t, "changing", s.publish(t, "refunds.eu", 1))

	t.Log("another address, and nothing is left of the former client")
	tb.eval(t, `show({ url: '`+s.server.URL()+`', topics: ['comments', 'refunds.>'] })`)
	s.awaitSubscribers(t, 1)
	s.set(cut)
	s.publish(t, "comments", 1)
	tb.awaitList(t, "changing", s.newestFirst(t, "comments", "refunds.eu"))
	s.awaitSubscribers(t, 1)
	tb.eval(t, `document.getElementById('clear').click()`)
	tb.awaitList(t, "changing", "")
}

// testActivity: React ends the effects of what it hides, and restarts them with the same state. What arrived meanwhile
// is not lost, what was shown is not shown again, and what was being handled is handled.
func testActivity(t *testing.T, s *site, tb *tab) {
	t.Log("all is hidden and shown again")
	tb.eval(t, `held = new Promise(() => {})`)
	first := s.publish(t, "refunds.eu", 1)
	s.publish(t, "refunds.eu", 1)
	tb.awaitList(t, "changing", s.newestFirst(t, "comments", "refunds.eu"))
	tb.eval(t, `show({ hidden: true })`)
	s.awaitSubscribers(t, 0)
	last := s.publish(t, "refunds.eu", 1)
	tb.eval(t, `held = undefined; show({ hidden: false })`)
	tb.awaitList(t, "changing", s.newestFirst(t, "comments", "refunds.eu"))
	tb.awaitValue(t, "handled", "String(handled.includes(' "+last+"'))", "true")
	handled := strings.Fields(value[string](t, tb, `handled`))
	if !slices.Contains(handled, first) ||
		len(slices.Compact(slices.Sorted(slices.Values(handled)))) != len(handled) {
		t.Errorf("handled was %s: not each once, %s among them", handled, first)
	}
}

// awaitTopic waits until the last stream follows a topic, and returns all topics that it follows.
func (s *site) awaitTopic(t *testing.T, topic string) (topics []string) {
	t.Helper()
	s.requests.await(t, "stream of "+topic, func(r []request) bool {
		topics = streamsOf(r)[len(streamsOf(r))-1].Query["topic"]
		return slices.Contains(topics, topic)
	})
	return topics
}

// newestFirst returns the IDs of all events of some topics, newest first.
func (s *site) newestFirst(t *testing.T, topics ...string) string {
	t.Helper()
	var ids []string
	for _, event := range s.log(t, "") {
		for _, topic := range topics {
			if event["topic"] == topic {
				ids = append([]string{event["id"].(string)}, ids...)
			}
		}
	}
	return strings.Join(ids, " ")
}

// awaitText waits until an element has a text, awaitList until its items have these texts.
func (tb *tab) awaitText(t *testing.T, id, want string) {
	t.Helper()
	tb.awaitValue(t, id, `document.getElementById('`+id+`')?.textContent ?? ''`, want)
}

func (tb *tab) awaitList(t *testing.T, id, want string) {
	t.Helper()
	tb.awaitValue(t, id,
		`Array.from(document.querySelectorAll('#`+id+` > li'), li => li.textContent).join(' ')`, want)
}

func (tb *tab) awaitGone(t *testing.T, id string) {
	t.Helper()
	tb.awaitValue(t, id, `String(document.getElementById('`+id+`'))`, "null")
}

func (tb *tab) awaitValue(t *testing.T, id, script, want string) {
	t.Helper()
	var got string
	t.Cleanup(func() {
		if got != want {
			t.Logf("#%s is %q, not %q", id, got, want)
		}
	})
	e2e.Eventually(t, "#"+id+" as it should be", func() bool {
		got = value[string](t, tb, script)
		return got == want
	})
}
