package console_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tidings/internal/e2e"
)

// receiver is where a delivery ends: it records the types of messages, and the events that answers are about.
type receiver struct {
	*httptest.Server
	record[delivered]
}

// delivered is a delivered event, as a CloudEvent.
type delivered struct {
	ID, Type, Subject string
	Data              struct{ Rule, Reason string }
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		text, err := io.ReadAll(req.Body)
		var e delivered
		if err == nil {
			err = json.Unmarshal(text, &e)
		}
		if err != nil {
			t.Errorf("the receiver is sent %q: %v", text, err)
		}
		r.add(e)
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(r.Close)
	return r
}

// awaits waits until an event of a type, about this ID, was delivered.
func (r *receiver) awaits(t *testing.T, typ, subject string) {
	t.Helper()
	r.await(t, typ+" about "+subject, func(all []delivered) bool {
		return slices.ContainsFunc(all, func(e delivered) bool { return e.Type == typ && e.Subject == subject })
	})
}

// unheardSite returns a site with short heartbeats and a rule, whose first step is an hour away, for a receiver.
func unheardSite(t *testing.T) (*site, *receiver) {
	t.Helper()
	r := newReceiver(t)
	s := newSite(t, "--heartbeat", "1s", "--deliver-http", "--deliver-to", "127.0.0.1")
	s.ask(t, http.MethodPut, "/v1/deliveries/chat", "application/json",
		`{"topics":["$alerts.>"],"url":`+quote(r.URL)+`,"secret":"whsec_`+strings.Repeat("MDEyMzQ1Njc4", 3)+`"}`, nil)
	s.ask(t, http.MethodPut, "/v1/alerts/orders", "application/json",
		`{"topics":["orders.>"],"types":["order.created"],"unheard_after_seconds":4,`+
			`"steps":[{"after_seconds":3600,"delivery":"chat"}]}`, nil)
	return s, r
}

// hearings returns what the server concludes about the pages that report, sorted.
func (s *site) hearings(t *testing.T) (all []string) {
	t.Helper()
	var answer struct {
		Subscribers []struct{ Hearing *struct{ State string } }
	}
	s.ask(t, http.MethodGet, "/v1/subscribers", "", "", &answer)
	for _, x := range answer.Subscribers {
		if x.Hearing != nil {
			all = append(all, x.Hearing.State)
		}
	}
	slices.Sort(all)
	return all
}

// awaitUnheard waits until the rule is reported as unheard, or no longer is.
func (s *site) awaitUnheard(t *testing.T, unheard bool) {
	t.Helper()
	e2e.Eventually(t, "rule that is as it should be", func() bool {
		var rule struct {
			Since *time.Time `json:"unheard_since"`
		}
		s.ask(t, http.MethodGet, "/v1/alerts/orders", "", "", &rule)
		return (rule.Since != nil) == unheard
	})
}

func (s *site) awaitHearings(t *testing.T, what string, wanted func([]string) bool) {
	t.Helper()
	var last []string
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s: last seen %v", what, last)
		}
	})
	e2e.Eventually(t, what, func() bool {
		last = s.hearings(t)
		return wanted(last)
	})
}

// mends is whether a page says that nobody hears, and then these sentences.
func mends(sentences string) string {
	return `within('.note span').some(e => e.textContent.endsWith('no open page may sound. ` + sentences + `'))`
}

func isAble(states []string) bool { return slices.Contains(states, "able") }
func isDeaf(states []string) bool { return !isAble(states) }

// TestUnheard: a console that nobody would hear, for whatever reason, counts as deaf within two heartbeats. The first
// step's delivery reports that nobody hears, before an order arrives; the order escalates at once. A console that would
// be heard withdraws the report.
func TestUnheard(t *testing.T) {
	t.Parallel()
	strikes := map[string]func(t *testing.T, s *site, tabs []*tab) (recover func()){
		"closed": func(t *testing.T, s *site, tabs []*tab) func() {
			tabs[0].close(t)
			return func() { newProfile(t).openShift(t, s, "/#/shift", 1)[0].taps(t, `$('h1')`) }
		},
		"frozen": func(t *testing.T, s *site, tabs []*tab) func() {
			tabs[0].eval(t, `Object.defineProperty(document, 'visibilityState', { value: 'hidden' })`)
			tabs[0].freeze(t)
			return func() { tabs[0].thaw(t) }
		},
		"hung": func(t *testing.T, s *site, tabs []*tab) func() { return tabs[0].hang(t) },
		"network": func(t *testing.T, s *site, tabs []*tab) func() {
			s.swallow()
			return func() { s.set(none) }
		},
		"blocked": func(t *testing.T, s *site, tabs []*tab) func() {
			tabs[0].eval(t, `globalThis.resume = AudioContext.prototype.resume;
				AudioContext.prototype.resume = async () => {};
				contexts.forEach(context => context.suspend())`)
			return func() {
				tabs[0].eval(t, `AudioContext.prototype.resume = globalThis.resume`)
				tabs[0].taps(t, `$('h1')`)
			}
		},
	}
	for strike, hit := range strikes {
		t.Run(strike, func(t *testing.T) {
			t.Parallel()
			s, r := unheardSite(t)
			tabs := newProfile(t).openShift(t, s, "/#/shift", 1)
			s.awaitHearings(t, "console that may not sound", func(all []string) bool {
				return slices.Contains(all, "blocked") && isDeaf(all)
			})
			s.awaitUnheard(t, true)
			tabs[0].taps(t, `$('h1')`)
			s.awaitHearings(t, "console that would be heard", isAble)
			s.awaitUnheard(t, false)

			began := time.Now()
			back := hit(t, s, tabs)
			s.awaitHearings(t, "deaf console", isDeaf)
			took := time.Since(began)
			t.Logf("it is deaf %v after it was %s", took, strike)
			if os.Getenv("TIDINGS_FULL") == "1" && took > 3*time.Second {
				t.Errorf("it is deaf %v after it was %s, with a heartbeat of 1 s", took, strike)
			}
			before := r.len()
			s.awaitUnheard(t, true)
			r.await(t, "alert that nobody hears", func(all []delivered) bool {
				return slices.ContainsFunc(all[before:], func(e delivered) bool { return e.Type == "alert.unheard" })
			})
			order := s.post(t, "orders.eu", "order.created", "application/json", shopOrder)
			r.awaits(t, "alert.step", order)
			before = r.len()
			back()
			s.awaitHearings(t, "console that would be heard again", isAble)
			r.await(t, "withdrawal", func(all []delivered) bool {
				return slices.ContainsFunc(all[before:], func(e delivered) bool {
					return e.Type == "alert.withdrawn" && e.Data.Rule == "orders" && e.Data.Reason == "heard"
				})
			})
		})
	}
}

// TestUnheardTabs: of tabs that share a stream it is enough that one would be heard, whichever holds it; one that hangs
// no longer counts, though the stream continues.
func TestUnheardTabs(t *testing.T) {
	t.Parallel()
	s, _ := unheardSite(t)
	tabs := newProfile(t).openShift(t, s, "/#/shift", 3)
	e2e.Eventually(t, "sentence that says what mends it", func() bool {
		return value[bool](t, tabs[0], mends("Click here, and leave this page open. Alerts escalate at once."))
	})
	for _, i := range []int{2, 1} {
		tabs[i].taps(t, `$('h1')`)
		s.awaitHearings(t, "tab that would be heard", isAble)
		wake := tabs[i].hang(t)
		s.awaitHearings(t, "deaf tabs", isDeaf)
		defer wake()
	}
	tabs[0].taps(t, `$('h1')`)
	s.awaitHearings(t, "last tab that would be heard", isAble)
}

// TestUnheardFollower: a tab that would be heard is reported, though another one, without a Presence, held the stream.
func TestUnheardFollower(t *testing.T) {
	t.Parallel()
	s, p := newSite(t, "--heartbeat", "1s"), newProfile(t)
	var tabs []*tab
	for range 2 {
		tb := p.openClient(t, s, `{"topics":["orders","orders.>","$alerts.orders.>"]}`)
		tb.await(t, "live")
		tabs = append(tabs, tb)
	}
	if !value[bool](t, tabs[0], `client.leads`) || value[bool](t, tabs[1], `client.leads`) {
		t.Fatal("the first tab does not hold the stream")
	}
	tabs[1].eval(t, `import('/alarm.js').then(({ TidingsAlarm }) => {
		const alarm = new TidingsAlarm();
		alarm.setAttribute('topics', 'orders.>');
		alarm.tidings = client;
		document.body.append(alarm);
	})`)
	tabs[1].taps(t, `document.querySelector('tidings-alarm')`)
	s.awaitHearings(t, "tab that would be heard", isAble)
	s.awaitSubscribers(t, 1)
	if value[bool](t, tabs[0], `client.leads`) || !value[bool](t, tabs[1], `client.leads`) {
		t.Error("the tab with the alarm does not hold the stream")
	}
	s.publish(t, "orders.eu", 3)
	s.check(t, "", tabs...)
}

// TestConsoleHears: the connections show who would hear an alarm, and the shift and the other pages that nobody does; a
// person signs off there, and undoes it.
func TestConsoleHears(t *testing.T) {
	t.Parallel()
	s, p := newSite(t, "--heartbeat", "3s"), newProfile(t)
	s.ask(t, http.MethodPut, "/v1/alerts/orders", "application/json",
		`{"topics":["orders.>"],"unheard_after_seconds":1}`, nil)
	tb := p.openShift(t, s, "/#/shift", 1)[0]
	tb.eval(t, `Object.assign(within('[part=name]')[0], { value: 'Ana' }).dispatchEvent(new Event('change'))`)
	const unheard = `within('.note span').some(e => e.textContent.startsWith('Nobody hears orders (since '))`
	e2e.Eventually(t, "sentence that nobody hears", func() bool { return value[bool](t, tb, unheard) })
	tb.holds(t, mends("Click here, and leave this page open.")) // there are no steps
	tb.eval(t, `location.hash = '#/log'`)
	e2e.Eventually(t, "bar that says so", func() bool {
		return value[string](t, tb, `$('.alarm-bar').innerText`) == "Nobody hears orders"
	})
	tb.eval(t, `location.hash = '#/connections'`)
	tb.sees(t, "tbody", "not heard: the browser blocks sound")
	tb.sees(t, "tbody", "no alarm on the page")
	tb.sees(t, "tbody", "in view, no notifications")

	tb.eval(t, `location.hash = '#/shift'`)
	tb.presses(t, "Closed for 12 hours: orders")
	tb.sees(t, ".listened", "Nobody is on duty until ")
	tb.holds(t, `!(`+unheard+`)`)
	tb.presses(t, "Reopen: orders")
	tb.sees(t, ".listened", "Unheard since ")
	tb.taps(t, `$('h1')`)
	tb.sees(t, ".listened", "Somebody must be there during its hours.")
	tb.answered(t, "orders: somebody hears again", "Nobody hears orders: there is nowhere to report it",
		"Ana undid the sign-off of orders", "orders: somebody signed off, so nobody needs to hear", "Ana signed off orders until", "Nobody hears orders: there is nowhere to report it")
	tb.eval(t, `location.hash = '#/connections'`)
	tb.sees(t, "tbody", "would be heard")
}
