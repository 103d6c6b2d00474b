package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestTrim(t *testing.T) {
	url := serving(t, "--data-dir", t.TempDir())
	var ids []string
	for _, topic := range []string{"orders", "tickets", "orders"} {
		ids = append(ids, strings.TrimSpace(runCLI(t, "publish", "--url", url, topic, "1").ended(t,
			exitOK).stdout))
	}
	runCLI(t, "trim", "--url", url, "orders", "--before", ids[2]).want(t, exitOK, "1\n", "")
	runCLI(t, "trim", "--url", url, "orders", "--before", ids[2]).want(t, exitOK, "0\n", "")
	left := runCLI(t, "tail", "--url", url, "--since", "earliest", "--limit", "2").ended(t,
		exitOK).stdout
	if strings.Contains(left, ids[0]) || !strings.Contains(left, ids[1]) ||
		!strings.Contains(left, ids[2]) {
		t.Errorf("left are\n%s\nwant %s and %s", left, ids[1], ids[2])
	}
}

func TestTrimFailures(t *testing.T) {
	const id = "01K5ZM00000000000000000000"
	runCLI(t, "trim", "orders").want(t, exitUsage, "", "--before")
	runCLI(t, "trim", "orders", "--before", "7").want(t, exitUsage, "", "--before: not a ULID")
	runCLI(t, "trim", "orders.>", "--before", id).want(t, exitUsage, "", `invalid topic "orders.>"`)

	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.RequestURI() != "/v1/topics/orders/trim?before="+
			id || r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("got %s %s, Authorization %q", r.Method, r.URL, r.Header.Get("Authorization"))
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, `{"title":"No","detail":"not you","code":"admin-required"}`)
	})
	runCLI(t, "trim", "--url", url, "--token", "secret", "orders", "--before", id).
		want(t, exitFailure, "", "the server answered 403 No: not you (code admin-required)")

	url = serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") })
	runCLI(t, "trim", "--url", url, "orders", "--before", id).want(t, exitFailure, "",
		"without a count")

	url = serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	runCLI(t, "trim", "--url", url, "orders", "--before", id).want(t, exitFailure,
		"", "no answer from the server; some of the events may have been deleted")
	gone := httptest.NewServer(nil)
	gone.Close()
	runCLI(t, "trim", "--url", gone.URL, "orders", "--before", id).want(t, exitFailure,
		"", "nothing was deleted: dial tcp")
}
