package main

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidings/internal/e2e"
)

// TestDeliveriesMove: by export and import, a delivery moves with its log to another server, and continues from its
// position once it has its URL and a secret, which no export contains.
func TestDeliveriesMove(t *testing.T) {
	got := make(chan string, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("Webhook-Id")
	}))
	defer hook.Close()
	from, to := filepath.Join(t.TempDir(), "from"), filepath.Join(t.TempDir(), "to")
	var exported, sent, due string
	t.Run("from", func(t *testing.T) {
		url := serving(t, "--data-dir", from, "--deliver-http", "--deliver-to", "127.0.0.1")
		verb := func(args string) outcome {
			return runWith(t.Context(), []string{"TIDINGS_URL=" + url}, strings.NewReader("{}"),
				strings.Fields(args)...)
		}
		verb("deliveries put shop --topic orders.> --order topic --in-flight 3 --endpoint "+hook.URL+"/in").
			ended(t, exitOK)
		verb("publish orders.eu").ended(t, exitOK)
		sent = receive(t, got)
		for !strings.Contains(verb("deliveries list").stdout, "shop: running, 0 events behind") {
		}
		verb("deliveries pause shop").ended(t, exitOK)
		due = strings.TrimSpace(verb("publish orders.eu").stdout)
		exported = verb("deliveries export").ended(t, exitOK).stdout
	})
	for _, secret := range []string{"whsec", "/in\""} {
		if strings.Contains(exported, secret) || !strings.Contains(exported, sent) {
			t.Fatalf("exported is %s", exported)
		}
	}
	lines := runWith(t.Context(), nil, nil, "export", "--data-dir", from).ended(t, exitOK).stdout
	runWith(t.Context(), nil, strings.NewReader(lines), "import", "--data-dir", to).ended(t, exitOK)
	url := serving(t, "--data-dir", to, "--deliver-http", "--deliver-to", "127.0.0.1")
	verb := func(code int, stdin, want, args string) outcome {
		t.Helper()
		o := runWith(t.Context(), []string{"TIDINGS_URL=" + url}, strings.NewReader(stdin),
			strings.Fields("deliveries "+args)...)
		if o.code != code || !strings.Contains(o.stdout+o.stderr, want) {
			t.Errorf("%s: %+v, want exit code %d and %q", args, o, code, want)
		}
		return o
	}
	verb(exitOK, exported, "shop: incomplete, 1 events behind", "import")
	verb(exitFailure, exported, "shop, delivery 1 of standard input", "import")
	verb(exitFailure, "{}", "delivery 1 of standard input", "import")
	verb(exitFailure, strings.Replace(exported, sent, "01ARZ3NDEKTSV4RRFFQ69G5FAV", 1), "id-invalid", "import")
	verb(exitOK, strings.NewReplacer(sent, "01ARZ3NDEKTSV4RRFFQ69G5FAV", "shop", "other").Replace(exported),
		"other: incomplete, 0 events behind", "import --from latest")
	verb(exitFailure, "", "waits for them", "test shop")
	verb(exitOK, "", "shown this once: whsec_", "put shop --endpoint "+hook.URL+"/in")
	if id := receive(t, got); !strings.Contains(due, id) {
		t.Errorf("it goes on with %s, want %s", id, due)
	}
	if again := verb(exitOK, "", `"order":"topic","in_flight":3`, "export").stdout; strings.Count(again, "\n") != 2 {
		t.Errorf("exported again is %s", again)
	}
}

// TestDeliveriesMoveTemplate: a template within the limit is set, exported and imported as given.
func TestDeliveriesMoveTemplate(t *testing.T) {
	url := serving(t, "--data-dir", t.TempDir(), "--deliver-http", "--deliver-to", "127.0.0.1")
	verb := func(stdin, args string) string {
		t.Helper()
		return runWith(t.Context(), []string{"TIDINGS_URL=" + url}, strings.NewReader(stdin),
			strings.Fields("deliveries "+args)...).ended(t, exitOK).stdout
	}
	template := `{"a":"` + strings.Repeat("<&>", 2700) + `"}`
	verb("", "put any --kind json --topic orders --endpoint "+"https://ntfy.example.com/ --template "+template)
	exported := verb("", "export")
	if !strings.Contains(exported, `"template":`+template) {
		t.Errorf("exported: %.400s", exported)
	}
	verb(strings.Replace(exported, `"any"`, `"other"`, 1), "import")
	if again := verb("", "export"); strings.Count(again, template) != 2 {
		t.Errorf("exported again: %.400s", again)
	}
}

func receive(t *testing.T, got chan string) string {
	t.Helper()
	select {
	case id := <-got:
		return id
	case <-time.After(e2e.Patience):
		t.Fatal("nothing is sent")
		return ""
	}
}
