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
)

// TestDeliveriesVerb: a webhook from its making to its end, by the verb alone.
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
	verb(exitOK, "", "", "delete shop")
	verb(exitFailure, "", "delivery-not-found", "delete shop")
}
