package console_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// rule is a rule as the server has it.
type rule struct {
	Topics, Types []string
	Hours, Steps  json.RawMessage
	Muted         *string `json:"muted_until"`
}

// TestConsoleRules: an administrator creates a rule, learns what is wrong with it, mutes it, and deletes it.
func TestConsoleRules(t *testing.T) {
	t.Parallel()
	s, p := newSite(t, "--push-contact", "mailto:ops@example.com"), newProfile(t)
	tb := p.openConsole(t, s, "/#/rules")
	tb.presses(t, "New rule…")
	for name, text := range map[string]string{"name": "orders", "topics": "orders.> refunds",
		"types": "order.created", "hours": "mon tue 9-18", "zone": "Europe/Berlin"} {
		tb.enters(t, "dialog [name="+name+"]", text)
	}
	tb.presses(t, "Save")
	tb.sees(t, "dialog .problem", "“mon tue 9-18” is not a span of hours")
	tb.enters(t, "dialog [name=hours]", "mon tue 09:00-18:00\nsat 10:00-14:00")
	tb.enters(t, "dialog [name=steps]", "60 nobody")
	tb.presses(t, "Save")
	tb.sees(t, "dialog .problem", "nobody") // there is no such delivery
	tb.enters(t, "dialog [name=steps]", "60@push")
	tb.presses(t, "Save")
	tb.sees(t, ".card", "sat 10:00-14:00")
	tb.sees(t, ".card", "after 60 s: push to devices")

	stored := func() (r rule) {
		s.ask(t, http.MethodGet, "/v1/alerts/orders", "", "", &r)
		return r
	}
	want := rule{Topics: []string{"orders.>", "refunds"}, Types: []string{"order.created"},
		Hours: json.RawMessage(`{"zone":"Europe/Berlin","open":[{"days":["mon","tue"],"from":"09:00","to":"18:00"},` +
			`{"days":["sat"],"from":"10:00","to":"14:00"}]}`),
		Steps: json.RawMessage(`[{"after_seconds":60,"push":true}]`)}
	if diff := cmp.Diff(want, stored()); diff != "" {
		t.Errorf("the rule (-want +stored):\n%s", diff)
	}
	changeRule(t, s, tb, stored)
}

// changeRule mutes, changes and deletes the page's rule. A change that somebody else made meanwhile stays.
func changeRule(t *testing.T, s *site, tb *tab, stored func() rule) {
	t.Helper()
	tb.presses(t, "Mute for an hour: orders")
	tb.sees(t, ".card", "Muted until")
	s.post(t, "orders.eu", "order.created", "application/json", shopOrder)
	tb.holds(t, `$('tidings-alarm').open === 1 && !$('tidings-alarm').alerts[0].rings`)
	tb.presses(t, "Change…: orders")
	s.ask(t, http.MethodPut, "/v1/alerts/orders", "application/json", `{"topics":["orders.>","refunds","invoices"],`+
		`"steps":[{"after_seconds":60,"push":true}],"muted_until":"2100-01-01T00:00:00Z"}`, nil)
	tb.enters(t, "dialog [name=topics]", "orders.>")
	tb.presses(t, "Save")
	tb.sees(t, "dialog .problem", "changed, created or deleted meanwhile")
	tb.sees(t, ".card", "invoices")
	tb.presses(t, "Cancel")
	tb.presses(t, "Change…: orders")
	tb.enters(t, "dialog [name=topics]", "orders.>")
	tb.presses(t, "Save")
	tb.holds(t, `!$('dialog') && !$('.card').innerText.includes('refunds')`)
	if r := stored(); r.Muted == nil || len(r.Topics) != 1 || !strings.Contains(string(r.Steps), `"push":true`) {
		t.Errorf("after another change the rule is %+v", r)
	}
	tb.presses(t, "Unmute: orders")
	tb.holds(t, `$('tidings-alarm').alerts[0].rings || ($('tidings-alarm').refresh(), false)`)
	tb.presses(t, "Delete…: orders")
	tb.presses(t, "Delete…")
	tb.sees(t, ".rules", "There are no rules yet: nothing rings.")
}
