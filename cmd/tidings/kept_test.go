package main

import (
	"strings"
	"testing"

	"tidings/internal/e2e"
)

// TestAlertsKeep: retention keeps an alert's event until the alert is done; a manual trim ends the alert.
func TestAlertsKeep(t *testing.T) {
	url := serving(t, "--data-dir", t.TempDir(), "--retain-events", "1", "--trim-interval", "1ms")
	verb := func(command string) string {
		t.Helper()
		got := runWith(t.Context(), []string{"TIDINGS_URL=" + url}, nil, strings.Fields(command)...)
		if got.code != exitOK {
			t.Fatalf("%s: %+v", command, got)
		}
		return strings.TrimSpace(got.stdout)
	}
	left := func(topic string, want int) {
		t.Helper()
		e2e.Eventually(t, "retention is done with "+topic, func() bool {
			_, page := fetch(t, url+"/v1/events?topic="+topic, "")
			return strings.Count(page, `"topic":`) == want
		})
	}
	verb("alerts put orders --topic orders.> --type order.created")
	verb("publish orders.eu 1 --type order.shipped")
	alert := verb("publish orders.eu 2 --type order.created")
	verb("publish orders.eu 3 --type order.shipped")
	for range 3 {
		verb("publish tickets 4")
	}
	left("tickets", 1)
	left("orders.eu", 2) // the alert, and the event after it
	verb("alerts claim --name Ana " + alert)
	left("tickets", 0)
	left("orders.eu", 2)
	left("$alerts.orders.eu", 1)
	verb("alerts done --name Ana " + alert)
	left("orders.eu", 0)
	left("$alerts.orders.eu", 1)

	alert = verb("publish orders.eu 5 --type order.created")
	next := verb("publish orders.us 6 --type order.created")
	left("$alerts.orders.eu", 0)
	left("orders.eu", 1)
	verb("trim orders.eu --before " + next)
	verb("publish orders.us 7 --type order.created") // makes the board check
	e2e.Eventually(t, "the alert has expired", func() bool {
		return !strings.Contains(verb("alerts list"), alert)
	})
	if said := verb("tail $alerts.orders.eu --since earliest --limit 1 --json"); !strings.Contains(said, "alert.expired") {
		t.Errorf("of an alert that was trimmed the log says %s", said)
	}
}
