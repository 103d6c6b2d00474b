package main

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"tidings/internal/e2e"
)

// TestAlertsBeyondAPage: alerts beyond the server's longest page are listed, released and done, too.
func TestAlertsBeyondAPage(t *testing.T) {
	url := serving(t, "--data-dir", t.TempDir())
	verb := func(stdin, command string) string {
		t.Helper()
		return runWith(t.Context(), []string{"TIDINGS_URL=" + url}, strings.NewReader(stdin),
			strings.Fields(command)...).ended(t, exitOK).stdout
	}
	verb("", "alerts put orders --topic orders")
	const events = 1001
	verb(strings.Repeat(`{"topic":"orders","type":"order.created","data":1}`+"\n", events), "publish --ndjson -")
	list := strings.Split(strings.TrimSpace(verb("", "alerts list")), "\n")
	if len(list) != events {
		t.Fatalf("%d alerts are listed, want %d", len(list), events)
	}
	for i := 1; i < len(list); i++ {
		if list[i][:26] <= list[i-1][:26] {
			t.Fatalf("%s is listed after %s", list[i], list[i-1])
		}
	}
	id := list[events-1][:26]
	verb("", "alerts claim --name Ana "+id)
	verb("", "alerts release "+strings.ToLower(id))
	verb("", "alerts claim --name Ana "+id)
	if done := verb("", "alerts done "+id); !strings.Contains(done, ": done by Ana") {
		t.Errorf("done is %q", done)
	}
}

// TestAlertsVerb: an order's alert from its rule to done, by the verb alone, and the step sent while nobody has
// claimed it.
func TestAlertsVerb(t *testing.T) {
	steps := make(chan string, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		steps <- r.Header.Get("Webhook-Id")
	}))
	defer hook.Close()
	url := serving(t, "--data-dir", t.TempDir(), "--deliver-http", "--deliver-to", "127.0.0.1")
	verb := func(code int, stdout, stderr, command string) string {
		t.Helper()
		got := runWith(t.Context(), []string{"TIDINGS_URL=" + url}, nil, strings.Fields(command)...)
		if got.code != code || !strings.HasPrefix(got.stdout, stdout) || !strings.Contains(got.stderr, stderr) {
			t.Errorf("%s: %+v, want exit code %d, %q and %q", command, got, code, stdout, stderr)
		}
		return got.stdout
	}
	verb(exitFailure, "", "create it first", "alerts put orders --topic orders.> --step 1ms=chat")
	verb(exitOK, "chat: running", "", "deliveries put chat --topic $alerts.> --endpoint "+hook.URL)
	verb(exitUsage, "", "--zone and --open", "alerts put orders --topic orders.> --zone UTC")
	verb(exitUsage, "", "such as mon-fri", "alerts put orders --topic orders.> --zone UTC --open mon-xyz/09:00-18:00")
	verb(exitUsage, "", "such as 3m=wecom", "alerts put orders --topic orders.> --step 3m")
	verb(exitUsage, "", "or 1m@push", "alerts put orders --topic orders.> --step 3m@chat")
	verb(exitOK, "orders: orders.>, of type order.created; 0 open\n  after 1ms: chat\n", "",
		"alerts put orders --topic orders.> --type order.created --step 1ms=chat --zone UTC --open fri-thu/00:00-00:00")
	verb(exitOK, "", "", "publish orders.eu 1 --type order.created")
	step := <-steps
	verb(exitOK, `{"id":"`+step+`"`, "", "tail $alerts.orders.eu --since earliest --limit 1 --json")
	list := verb(exitOK, "", "", "alerts list")
	id, text, _ := strings.Cut(list, " ")
	if !regexp.MustCompile(`^orders\.eu order\.created of 20\S+Z: open, 1 steps fired\n$`).MatchString(text) {
		t.Fatalf("open is %q", list)
	}
	says := func(want, command string) {
		t.Helper()
		if got := verb(exitOK, id+" orders.eu order.created of 20", "", command); !strings.Contains(got, ": "+want) {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
	verb(exitFailure, "", "is not claimed", "alerts done "+id)
	says("claimed by Ana", "alerts claim --name Ana "+id)
	verb(exitFailure, "", "Ana has it", "alerts claim --name Bo "+id)
	says("claimed by Bo", "alerts claim --name Bo --force "+id)
	says("open", "alerts release "+id)
	says("claimed by Ana", "alerts claim --name Ana "+id)
	says("done by Ana", "alerts done "+id)
	verb(exitOK, "orders: orders.>, of type order.created; 0 open\n", "", "alerts mute orders 8h")
	e2e.Eventually(t, "the rule is muted", func() bool {
		return strings.Contains(verb(exitOK, "orders: ", "", "alerts rules"), "  muted until ")
	})
	verb(exitFailure, "", "give a duration, as in --for", "alerts sign-off orders") // its hours never end
	verb(exitOK, "orders: signed off until 20", "", "alerts sign-off orders --for 1h --name Ana")
	rules := verb(exitOK, "orders: ", "", "alerts rules")
	if !strings.Contains(rules, "  signed off until 20") {
		t.Errorf("signed off, the rule is %q", rules)
	}
	verb(exitOK, "orders: signed on\n", "", "alerts sign-off orders --end")
	verb(exitOK, "", "", "alerts put orders --topic orders.> --unheard-after 0s")
	verb(exitOK, "", "", "alerts resume")
	verb(exitOK, "", "", "alerts delete orders")
	verb(exitFailure, "", "no alert rule", "alerts mute orders 0s")
}
