package main

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidings/internal/e2e"
	"tidings/internal/natstest"
	"tidings/store"
	"tidings/store/bolt"
)

// onCluster returns the flags of a server on the cluster.
func onCluster(t *testing.T, c *natstest.Cluster, more ...string) []string {
	flags := append([]string{"--store", "nats", "--data-dir", t.TempDir()}, more...)
	for _, url := range c.URLs() {
		flags = append(flags, "--nats-url", url)
	}
	for _, monitor := range c.Monitors() {
		flags = append(flags, "--nats-monitor", monitor)
	}
	return flags
}

// onOne returns the flags of a server on a single NATS server.
func onOne(t *testing.T, c *natstest.Cluster, more ...string) []string {
	return onCluster(t, c, append([]string{"--nats-replicas", "1", "--nats-allow-lossy"}, more...)...)
}

// TestServeCluster: two servers on three NATS servers share one log, and keep working when one of these is killed.
func TestServeCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills NATS servers")
	}
	c := natstest.Start(t, 3)
	c.Await()
	first := serving(t, onCluster(t, c)...)
	second := serving(t, onCluster(t, c)...)
	publish := func(url, data string) { // a publish refused during a leader election was not stored
		t.Helper()
		c.Eventually("TIDINGS", "publish", func() bool {
			got := runCLI(t, "publish", "--url", url, "orders", data)
			if got.code != exitOK && !strings.Contains(got.stderr, "outcome not_stored") {
				t.Fatal(got.stderr)
			}
			return got.code == exitOK
		})
	}
	for _, url := range []string{first, second} { // one of them has the deliveries
		e2e.Eventually(t, "list of deliveries", func() bool {
			return runCLI(t, "deliveries", "list", "--url", url).code == exitOK
		})
	}
	t.Run("row 231: no credentials of the system account", func(t *testing.T) {
		got := runCLI(t, append([]string{"serve", "--listen", "127.0.0.1:0", "--nats-system-creds", "missing"},
			onCluster(t, c)...)...).ended(t, exitFailure)
		if !strings.Contains(got.stderr, "with --nats-system-creds: ") {
			t.Errorf("stderr %q", got.stderr)
		}
	})
	publish(first, "1")
	publish(second, "2")
	c.Kill(0)
	publish(first, "3")
	publish(second, "4")
	c.Run(0)
	for _, url := range []string{first, second} {
		got := runCLI(t, "tail", "--url", url, "--since", "earliest", "--limit", "4", "orders").ended(t, exitOK)
		if lines := strings.Count(got.stdout, "\n"); lines != 4 {
			t.Errorf("%d lines: %s", lines, got.stdout)
		}
	}
}

// TestImportCluster: a log moves to a new stream, and cursors stored elsewhere stay valid.
func TestImportCluster(t *testing.T) {
	old, dir := t.TempDir(), t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	drafts := write("drafts", strings.Repeat(`{"topic":"orders","type":"message","data":1}`+"\n", 3))
	runCLI(t, "import", drafts, "--data-dir", old).ended(t, exitOK)
	text := runCLI(t, "export", "--data-dir", old).ended(t, exitOK).stdout
	lines := write("lines", text)
	c := natstest.Start(t, 1)
	into := func() []string { return onOne(t, c) }
	runCLI(t, append([]string{"import", lines}, into()...)...).ended(t, exitOK)
	later := into()
	t.Run("a node that was not there", func(t *testing.T) { serving(t, later...) })
	got := runCLI(t, "export", "--data-dir", later[3]).ended(t, exitOK)
	if got.stdout != text || strings.Count(text, "\n") != 3 {
		t.Errorf("imported %s, then read %s", text, got.stdout)
	}
	t.Run("row 247: a stream that has events", func(t *testing.T) {
		got := runCLI(t, append([]string{"import", lines}, into()...)...).ended(t, exitFailure)
		if !strings.Contains(got.stderr, "only in a log that never had one") {
			t.Errorf("stderr %q", got.stderr)
		}
	})
}

// TestRestoreCluster: a backup becomes a new stream, on which a node that joins later answers as the old log did.
func TestRestoreCluster(t *testing.T) {
	file, keyed, head := backedUp(t)
	c := natstest.Start(t, 1)
	into := func() []string { return onOne(t, c) }
	restore := func() outcome { return runCLI(t, append([]string{"restore", file}, into()...)...) }
	if got := restore().ended(t, exitOK); !strings.Contains(got.stdout, "1 events up to "+head.String()) {
		t.Errorf("stdout %q", got.stdout)
	}
	url := serving(t, into()...)
	got := runCLI(t, "publish", "--url", url, "over", "2").ended(t, exitFailure)
	if !strings.Contains(got.stderr, "topic-ended") {
		t.Errorf("publish to a topic that had ended: %q", got.stderr)
	}
	again := strings.Replace(keyed, "}", `,"trimmed":true}`, 1)
	if status, body := publishUnder(t, url, "k", "1"); status != http.StatusOK || body != again {
		t.Errorf("a key whose event is gone: %d %s, want %s", status, body, again)
	}
	t.Run("row 250: a stream that has commits", func(t *testing.T) {
		if got := restore().ended(t, exitFailure); !strings.Contains(got.stderr, "restored into a new one") {
			t.Errorf("stderr %q", got.stderr)
		}
	})
	t.Run("row 251: damaged events", func(t *testing.T) {
		got := runCLI(t, append([]string{"restore", file, "--allow-damaged"}, into()...)...).ended(t, exitUsage)
		if !strings.Contains(got.stderr, "a stream takes no damaged events") {
			t.Errorf("stderr %q", got.stderr)
		}
	})
}

// backedUp returns a backup of a log in which the topic over has ended, and nothing else is retained. keyed is the
// response to the publish with the key k.
func backedUp(t *testing.T) (file, keyed string, head store.ID) {
	t.Helper()
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "b.db")
	t.Run("a log", func(t *testing.T) { _, keyed = publishUnder(t, serving(t, "--data-dir", dir), "k", "1") })
	log, err := bolt.Open(dir, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []store.Draft{{Topic: "gone"}, {Topic: "over", Type: store.TypeEnd}} {
		_, appendErr := store.Append(t.Context(), log, []store.Draft{d})
		err = errors.Join(err, appendErr)
	}
	_, trimErr := log.Trim(t.Context(), store.All(), log.Head())
	if err := errors.Join(err, trimErr, log.Close()); err != nil {
		t.Fatal(err)
	}
	runCLI(t, "backup", file, "--data-dir", dir).ended(t, exitOK)
	return file, keyed, log.Head()
}

// publishUnder publishes to the topic orders with an idempotency key.
func publishUnder(t *testing.T, url, key, data string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/topics/orders/events",
		strings.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Idempotency-Key", `"`+key+`"`)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// TestErrorsCluster: settings that serve refuses.
func TestErrorsCluster(t *testing.T) {
	for args, want := range map[string]string{
		"--store nats":                                       "--store nats needs --nats-url",
		"--nats-url nats://127.0.0.1:1":                      "--nats-url is for --store nats",
		"--nats-system-creds x":                              "--nats-system-creds is for --store nats",
		"--store nats --nats-url x --nats-replicas 9":        "--nats-replicas: expected 1 to 5",
		"--store nats --nats-url nats://a --nats-timeout 0s": "--nats-timeout",
	} {
		t.Run("row 272: "+args, func(t *testing.T) {
			got := runCLI(t, append(strings.Fields("serve --listen 127.0.0.1:0 "+args), "--data-dir",
				t.TempDir())...).ended(t, exitUsage)
			if !strings.Contains(got.stderr, want) {
				t.Errorf("stderr %q, want %q", got.stderr, want)
			}
		})
	}
	for name, args := range map[string][]string{"\a": {"--store", "nats", "--nats-url", "nats://a"},
		strings.Repeat("n", 256): {"--store", "nats", "--nats-url", "nats://a"}, "a": nil} {
		t.Run("row 252: "+name, func(t *testing.T) {
			args := append([]string{"serve", "--listen", "127.0.0.1:0", "--node-name", name}, args...)
			got := runCLI(t, args...).ended(t, exitUsage)
			if !strings.Contains(got.stderr, "--node-name") {
				t.Errorf("stderr %q", got.stderr)
			}
		})
	}
	c := natstest.Start(t, 1)
	for args, want := range map[string]string{
		"--nats-url nats://127.0.0.1:1":               "connect to NATS",
		"--nats-replicas 1 --nats-url " + c.URLs()[0]: "has 1 replicas",
	} {
		t.Run("row 273: "+args, func(t *testing.T) {
			got := runCLI(t, append(strings.Fields("serve --listen 127.0.0.1:0 --store nats "+args), "--data-dir",
				t.TempDir())...).ended(t, exitFailure)
			if !strings.Contains(got.stderr, want) {
				t.Errorf("stderr %q, want %q", got.stderr, want)
			}
		})
	}
}
