package console_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"tidings/internal/e2e"
)

// scene is what a page shows.
type scene struct {
	name string
	show func(t *testing.T, tb *tab) // gets there from any other scene
}

// TestAxe: axe-core finds nothing wrong with any page, in any language, theme and width.
func TestAxe(t *testing.T) {
	t.Parallel()
	const path = "../internal/clients/testdata/node_modules/axe-core/axe.min.js"
	axe, err := os.ReadFile(path)
	if err != nil {
		t.Skipf("the Node packages are not installed (%v); internal/clients/doc.go says how", err)
	}
	for _, language := range []string{"en", "zh-CN"} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			guarded, open, p := newGuardedSite(t), newSite(t), newProfile(t)
			tb := p.openView(t, guarded, language, 360)
			tb.eval(t, string(axe)) // bypassing the page's policy, as developer tools do
			checkScenes(t, tb, []scene{
				{"sign in", func(t *testing.T, tb *tab) { tb.holds(t, `$('.sign-in')`) }},
				{"token refused", func(t *testing.T,
					tb *tab) {
					signIn(t, tb, "no.good.token")
					tb.holds(t, problemShown)
				}},
			})
			signIn(t, tb, guarded.token(e2e.Patience*60, ">"))
			checkScenes(t, tb, []scene{
				{"signed in, nothing yet", func(t *testing.T, tb *tab) {
					tb.holds(t, `$('.empty')`)
				}},
				{"menu", func(t *testing.T, tb *tab) {
					tb.eval(t, `document.getElementById('settings').showPopover()`)
				}},
			})

			publishVariety(t, open)
			tb = p.openView(t, open, language, 360)
			tb.eval(t, string(axe))
			makeGap(t, open, tb)
			checkScenes(t, tb, consoleScenes(open))
		})
	}
}

const problemShown = `$('.problem:not(:empty)')`

func signIn(t *testing.T, tb *tab, token string) {
	t.Helper()
	tb.holds(t, `document.getElementById('token')`)
	tb.eval(t, fmt.Sprintf(
		`document.getElementById('token').value = %q; $('.sign-in button').click()`, token))
}

// publishVariety publishes the sample, and what it lacks.
func publishVariety(t *testing.T, s *site) {
	t.Helper()
	s.publishSample(t)
	s.ask(t, http.MethodPost, "/v1/topics/carts/events?type=cart.left", "text/plain",
		"Somebody left.\n"+strings.Repeat("A long text. ", 40), nil)
	s.ask(t, http.MethodPost, "/v1/topics/campaigns.spring/events", "application/json", `{}`, nil)
	s.ask(t, http.MethodPost, "/v1/topics/campaigns.spring/end", "", "", nil)
}

// makeGap makes a page's feed miss events, and catch up on others.
func makeGap(t *testing.T, s *site, tb *tab) {
	t.Helper()
	tb.isLive(t)
	s.set(cut)
	tb.holds(t, `$('.connection[data-state=connecting]')`)
	s.publish(t, "orders", 5)
	s.trim(t, "orders", s.publish(t, "orders", 1))
	s.set(none)
	tb.eval(t, `dispatchEvent(new Event('online'))`) // otherwise it would wait
	tb.holds(t, `$('.event.gap') && $('.event.missed')`)
}

// consoleScenes returns those of a server with events. The first needs a page that has met a gap.
func consoleScenes(s *site) []scene {
	at := func(hash, there string) func(*testing.T, *tab) {
		return func(t *testing.T, tb *tab) {
			t.Helper()
			tb.eval(t, fmt.Sprintf(`location.hash = %q`, hash))
			tb.holds(t, there)
		}
	}
	first := func(t *testing.T) string { return s.log(t, "")[0]["id"].(string) }
	return []scene{
		{"alerts, with a gap and a payload", func(t *testing.T, tb *tab) {
			at("#/alerts", `$('.event.gap')`)(t, tb)
			const shown = `[...$$('.event pre')].find(pre => !pre.hidden)`
			if !value[bool](t, tb, `Boolean(`+shown+`)`) {
				tb.clicks(t, ".fold")
			}
			tb.holds(t, shown+`.textContent.includes('{')`)
		}},
		{"alerts, a pattern that is none", func(t *testing.T, tb *tab) {
			tb.eval(t,
				`document.getElementById('watched').value = 'a..b'; $('.watch button').click()`)
			tb.holds(t, `$('#watched[aria-invalid=true]')`)
		}},
		{"shift, an alert of each state", func(t *testing.T, tb *tab) {
			s.shift(t)
			at("#/shift", `new Set($('tidings-alarm').alerts.map(({ state }) => state)).size === 4`)(t, tb)
			tb.holds(t, `$('.answered li')`)
		}},
		{"shift, whom to hand it to", func(t *testing.T, tb *tab) {
			tb.eval(t, `$('tidings-alarm').setAttribute('name', 'Bo')`)
			tb.holds(t, `$('tidings-alarm').shadowRoot.querySelector('[part~=hand]').click() ?? true`)
			tb.holds(t, `$('tidings-alarm').shadowRoot.querySelector('[part=to]')`)
			tb.eval(t, `scrollTo({ top: 0, behavior: 'instant' })`) // otherwise the bar may cover half a button
		}},
		{"rules", at("#/rules", `$('.rules .card')`)},
		{"rules, one to change", func(t *testing.T, tb *tab) {
			tb.clicks(t, ".rules .card button")
			tb.holds(t, `$('dialog')`)
		}},
		{"deliveries, of each state", func(t *testing.T, tb *tab) {
			s.deliveries(t)
			at("#/deliveries", `$('.card .problem') && $$('.card').length === 3`)(t, tb)
		}},
		{"deliveries, a new one", func(t *testing.T, tb *tab) {
			tb.clicks(t, ".page-head .primary")
			tb.holds(t, `$('dialog')`)
			tb.enters(t, "dialog [name=kind]", "smtp")
			tb.clicks(t, "dialog summary")
		}},
		{"deliveries, one to change", func(t *testing.T, tb *tab) {
			at("#/deliveries", `!$('dialog')`)(t, tb)
			tb.clicks(t, ".deliveries [data-what=change]")
			tb.holds(t, `$('dialog')`)
		}},
		{"deliveries, sent again", func(t *testing.T, tb *tab) {
			at("#/deliveries", `!$('dialog')`)(t, tb)
			tb.clicks(t, ".deliveries [data-what=again]")
			tb.holds(t, `$('dialog')`)
		}},
		{"deliveries, what was set aside", func(t *testing.T, tb *tab) {
			at("#/deliveries", `!$('dialog')`)(t, tb)
			tb.clicks(t, ".deliveries [data-what=dead]")
			tb.holds(t, `$('dialog tbody tr')`)
		}},
		{"log", at("#/log", `$('.log-row')`)},
		{"log, filtered", at("#/log?topic=tickets",
			`$('.log-row') && document.getElementById('field-topic').value`)},
		{"an event in full", func(t *testing.T, tb *tab) {
			at("#/log?id="+first(t), `$('dialog .payload')`)(t, tb)
		}},
		{"download", func(t *testing.T, tb *tab) {
			at("#/log?type=none", `document.getElementById('field-type').value`)(t, tb)
			tb.clicks(t, ".page-head button")
			tb.holds(t, `$('dialog')`)
		}},
		{"connections", at("#/connections", `$('.connections tbody tr')`)},
		{"connections, one to be cut", func(t *testing.T, tb *tab) {
			tb.clicks(t, ".connections td button")
			tb.holds(t, `$('dialog')`)
		}},
		{"topics", at("#/topics", `$('.topics tbody tr')`)},
		{"server", at("#/server", `$('.server .facts')`)},
		{"try it", at("#/try", `$('.try pre code').textContent`)},
		{"try it, an answer", func(t *testing.T, tb *tab) {
			tb.clicks(t, "form button.primary")
			tb.holds(t, `$('.try .good')`)
		}},
		{"menu", func(t *testing.T, tb *tab) {
			tb.eval(t, `document.getElementById('settings').showPopover()`)
		}},
	}
}

// deliveries creates some: one that fails, one paused, one that has set an event aside.
func (s *site) deliveries(t *testing.T) {
	t.Helper()
	var all struct{ Deliveries []struct{} }
	if s.ask(t, http.MethodGet, "/v1/deliveries", "", "", &all); len(all.Deliveries) > 0 {
		return
	}
	const secret = `"secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"`
	for name, more := range map[string]string{
		"shop":  `"topics":["hooked"],"from":"latest","url":"https://shop.invalid/hooks",` + secret,
		"aside": `"topics":["hooked"],"from":"latest","on_give_up":"set_aside","give_up_after_seconds":1,"url":"https://a.invalid/",` + secret,
		"team":  `"kind":"slack","topics":["orders.>","tickets"],"from":"latest","url":"https://hooks.slack.com/services/T1/B1/x"`,
	} {
		s.ask(t, http.MethodPut, "/v1/deliveries/"+name, "application/json", "{"+more+"}", nil)
	}
	s.ask(t, http.MethodPost, "/v1/deliveries/team/pause", "", "", nil)
	var aside struct{ Dead int }
	s.publish(t, "hooked", 1)
	e2e.Eventually(t, "set of dead letters", func() bool {
		s.ask(t, http.MethodGet, "/v1/deliveries/aside", "", "", &aside)
		return aside.Dead > 0
	})
}

// checkScenes checks each scene in both widths and both themes; in short runs, each width in one of them. A scene may
// start where the previous one left the page.
func checkScenes(t *testing.T, tb *tab, scenes []scene) {
	t.Helper()
	for _, width := range []int64{360, 1440} {
		tb.resize(t, width)
		for _, s := range scenes {
			s.show(t, tb)
			for _, theme := range []string{"light", "dark"} {
				if testing.Short() && (theme == "dark") != (width == 360) {
					continue
				}
				tb.chooses(t, theme)
				for _, found := range value[[]string](t, tb, audit) {
					t.Errorf("%s, %s, %d px: %s", s.name, theme, width, found)
				}
			}
			tb.eval(t, `$('dialog')?.close(); document.getElementById('settings').hidePopover()`)
			// closing an event's dialog goes back in history, which the next address must not overtake
			tb.holds(t, `!$('dialog[open]') && !location.hash.includes('id=')`)
		}
	}
}

// audit lists what axe-core finds: WCAG 2.2 AA and best practices. The rule for target size is off by default.
const audit = `axe.run(document, { resultTypes: ['violations'], rules: { 'target-size': { enabled: true } } }).then(({ violations }) =>
	violations.map(({ help, nodes }) => help + ', ' + nodes.length + ' times, first ' + nodes[0].html + '\n' + nodes[0].failureSummary))`
