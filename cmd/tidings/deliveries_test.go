package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidings/internal/e2e"
)

// TestDeliveriesVerb: a webhook from creation to deletion, by the verb alone.
func TestDeliveriesVerb(t *testing.T) {
	var status atomic.Int32
	status.Store(200)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(int(status.Load()))
	}))
	defer hook.Close()
	dir := filepath.Join(t.TempDir(), "data")
	url := serving(t, "--data-dir", dir, "--deliver-http", "--deliver-to", "127.0.0.1")
	verb := func(code int, stdout, stderr, command string) outcome {
		t.Helper()
		got := runWith(t.Context(), []string{"TIDINGS_URL=" + url}, nil, strings.Fields("deliveries "+command)...)
		if got.code != code || !strings.HasPrefix(got.stdout, stdout) || !strings.Contains(got.stderr, stderr) {
			t.Errorf("%s: %+v, want exit code %d, %q and %q", command, got, code, stdout, stderr)
		}
		return got
	}
	made := verb(exitOK, "shop: running, 0 events behind, orders.> to "+hook.URL+"\n", "",
		"put shop --topic orders.> --endpoint "+hook.URL+"/in")
	if !regexp.MustCompile(`secret, shown this once: whsec_[A-Za-z0-9+/]{43}=\n`).MatchString(made.stdout) {
		t.Errorf("stdout %q, want a secret", made.stdout)
	}
	if info, err := os.Stat(filepath.Join(dir, "secrets.key")); err != nil || info.Mode() != 0o600 {
		t.Errorf("the secrets key: %v", err)
	}
	if kept := verb(exitOK, "shop: running", "", "put shop --give-up-after 1h"); strings.Contains(
		kept.stdout,
		"whsec",
	) {
		t.Errorf("a change: %+v, want the secret kept", kept)
	}
	verb(exitOK, "200 after ", "", "test shop")
	status.Store(500)
	verb(exitFailure, "", "500", "test shop")
	verb(exitOK, "shop: paused", "", "pause shop")
	verb(exitOK, "1\n", "", "resume --all")
	verb(exitOK, "shop: running", "", "list")
	verb(exitFailure, "", "delivery-state", "skip shop x")
	verb(exitUsage, "", "--all", "pause")
	verb(exitFailure, "", "--deliver-to 10.0.0.1/32", "put x --topic a --endpoint https://10.0.0.1/")
	verb(exitFailure, "", "this server itself", "put x --topic a --endpoint "+url)
	verb(exitUsage, "", "--all", "redrive shop")
	verb(exitUsage, "", "--forget", "dead shop --all")
	verb(exitFailure, "", "delivery-state", "redrive shop --all")
	verb(exitOK, "team: running, 0 events behind, orders.> to slack at "+hook.URL+"\n", "", "put team --kind slack "+
		"--topic orders.> --language zh --time-zone Asia/Shanghai --detail data --template {{data.n}} --endpoint "+hook.URL)
	verb(exitFailure, "", "unknown placeholder", "put team --template {{data}}")
	status.Store(200)
	verb(exitFailure, "", "the response is not from Slack", "test team")
	status.Store(500)
	verb(exitOK, "", "", "delete team")
	verb(exitOK, "any: running, 0 events behind, orders.> to json at ", "", "put any --kind json --topic orders.> "+
		`--template {"a":"{{text}}"} --endpoint `+hook.URL)
	verb(exitOK, "", "", "delete any")
	verb(exitOK, "", "", "put shop --on-give-up set_aside --give-up-after 1s")
	resp, err := http.Post(url+"/v1/topics/orders.eu/events", "application/json", strings.NewReader("1"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	dead := verb(exitOK, "", "", "dead shop")
	for end := time.Now().Add(e2e.Patience); dead.stdout == "" && time.Now().Before(end); {
		dead = verb(exitOK, "", "", "dead shop")
	}
	id, text, _ := strings.Cut(dead.stdout, " ")
	if !strings.HasPrefix(text, "orders.eu: ") || !strings.Contains(text, "answered 500") {
		t.Fatalf("set aside is %q", dead.stdout)
	}
	if got := verb(exitOK, "shop: running", "", "list"); !strings.Contains(got.stdout, "  1 events are set aside\n") {
		t.Errorf("the list is %q", got.stdout)
	}
	status.Store(200)
	verb(exitOK, "shop: running", "", "redrive shop "+id)
	for end := time.Now().Add(e2e.Patience); dead.stdout != "" && time.Now().Before(end); {
		dead = verb(exitOK, "", "", "dead shop")
	}
	verb(exitFailure, "", "dead-letter-not-found", "dead shop --forget "+id)
	verb(exitUsage, "", "--after", "replay shop")
	verb(exitUsage, "", "--since", "replay shop --after "+id+" --since 1h")
	verb(exitFailure, "", "member-invalid", "replay shop --since soon")
	verb(exitOK, "shop: running", "", "replay shop --new-ids --id "+id)
	for end := time.Now().Add(e2e.Patience); !strings.Contains(verb(exitOK, "shop: ", "", "list").stdout,
		"  replay 1 done: 1 sent, 0 refused, 0 gone\n"); {
		if time.Now().After(end) {
			t.Fatal("the replay does not come to its end")
		}
	}
	verb(exitFailure, "", "delivery-state", "replay shop --end")
	verb(exitOK, "shop: running", "", "put shop --order topic --in-flight 2")
	verb(exitFailure, "", "member-invalid", "put shop --order none")
	verb(exitOK, "0\n", "", "dead shop --forget --all")
	verb(exitOK, "", "", "delete shop")
	verb(exitFailure, "", "delivery-not-found", "delete shop")
}

// TestDeliveriesExpiring: the list shows the events that retention is expected to delete before they are sent.
func TestDeliveriesExpiring(t *testing.T) {
	url := serving(t, "--data-dir", filepath.Join(t.TempDir(), "data"), "--retain-events", "1")
	verb := func(command string) string {
		t.Helper()
		got := runWith(t.Context(), []string{"TIDINGS_URL=" + url}, nil, strings.Fields(command)...)
		if got.code != exitOK {
			t.Fatalf("%s: %+v", command, got)
		}
		return got.stdout
	}
	verb("deliveries put shop --topic orders --endpoint https://shop.example.com/")
	verb("deliveries pause shop")
	id := strings.TrimSpace(verb("publish orders 1"))
	want := "  retention is expected to delete " + id + " at 20"
	if list := verb("deliveries list"); !strings.Contains(list, want) {
		t.Errorf("the list is %q, want %q", list, want)
	}
}
