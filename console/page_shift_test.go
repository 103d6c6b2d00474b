package console_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"tidings/internal/auth"
	"tidings/internal/e2e"
)

// ringing is the early script of a page that reports each change of its alarm, with the time, and has a list of its
// AudioContexts.
const ringing = `
	globalThis.contexts = [];
	globalThis.AudioContext = class extends AudioContext { constructor() { super(); contexts.push(this); } };
	for (const name of ['start', 'stop']) {
		const act = AudioBufferSourceNode.prototype[name];
		AudioBufferSourceNode.prototype[name] = function () { report('bell', { name, loop: this.loop, state: this.context.state }); act.call(this); };
	}
	globalThis.alarm = () => document.querySelector('tidings-alarm');
	globalThis.within = selector =>
		[...alarm().shadowRoot.querySelectorAll(selector)].filter(element => element.checkVisibility());
	customElements.whenDefined('tidings-alarm').then(() => new MutationObserver((_, observer) => {
		if (!alarm()) return;
		observer.disconnect();
		alarm().addEventListener('ring', ({ detail }) => report('ring', { ...detail, at: Date.now() }));
	}).observe(document, { childList: true, subtree: true }));`

// bell is what the alarm of a page reports about itself.
type bell struct {
	Known, Ringing, Audible, Rings bool
	Alerts                         int
}

// bell asks without the user activation that holds would cause.
func (tb *tab) bell(t *testing.T) bell {
	t.Helper()
	// A page that got nothing for long while the processor was busy believes that its stream is held up, and polls.
	return value[bell](t, tb, `(a => a?.hearing && {
		Known: ['live', 'polling'].includes(document.querySelector('.connection')?.dataset.state),
		Ringing: a.ringing, Audible: a.audible, Rings: a.hearing.rings, Alerts: a.alerts.length })(alarm()) || {}`)
}

// bells returns those of several tabs once they are as wanted.
func bells(t *testing.T, what string, tabs []*tab, wanted func([]bell) bool) {
	t.Helper()
	var got []bell
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s: last seen %+v", what, got)
		}
	})
	e2e.Eventually(t, what, func() bool {
		got = nil
		for _, tb := range tabs {
			got = append(got, tb.bell(t))
		}
		return wanted(got)
	})
}

func count(bells []bell, is func(bell) bool) (n int) {
	for _, b := range bells {
		if is(b) {
			n++
		}
	}
	return n
}

// oneRings reports whether all know of n alerts, and one of them rings.
func oneRings(n int) func([]bell) bool {
	return func(all []bell) bool {
		return count(all, func(b bell) bool { return b.Ringing }) == 1 &&
			count(all, func(b bell) bool { return b.Alerts == n }) == len(all)
	}
}

// openShift opens the shift's page, where nobody has clicked yet.
func (p *profile) openShift(t *testing.T, s *site, path string, n int) (tabs []*tab) {
	t.Helper()
	for range n {
		tabs = append(tabs, p.openConsole(t, s, path, ringing))
	}
	bells(t, "tabs that are live", tabs, func(all []bell) bool {
		return count(all, func(b bell) bool { return b.Known }) == len(all) &&
			count(all, func(b bell) bool { return b.Rings }) == 1
	})
	return tabs
}

// order publishes an order that demands an answer.
func (s *site) order(t *testing.T) (id string) {
	t.Helper()
	s.ask(t, http.MethodPut, "/v1/alerts/orders", "application/json",
		`{"topics":["orders.>"],"types":["order.created"]}`, nil)
	return s.post(t, "orders.eu", "order.created", "application/json", shopOrder)
}

// shift creates an alert in each state, once.
func (s *site) shift(t *testing.T) {
	t.Helper()
	if slices.ContainsFunc(s.log(t, ""), func(e map[string]any) bool { return e["topic"] == "orders.shift" }) {
		return
	}
	s.order(t)
	for _, answers := range [][]string{{}, {"snooze"}, {"claim"}, {"claim", "done"}} {
		id := s.post(t, "orders.shift", "order.created", "application/json", shopOrder)
		handle := ""
		for _, answer := range answers {
			handle = s.answer(t, id, answer, handle)
		}
	}
}

// answer answers an alert, as Bo, and returns the handle.
func (s *site) answer(t *testing.T, id, answer, handle string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.server.URL()+"/v1/events/"+id+"/"+answer,
		strings.NewReader(`{"name":"Bo","seconds":300}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if handle != "" {
		req.Header.Set("If-Match", strconv.Quote(handle))
	}
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var alert struct{ Handle string }
	if err := json.NewDecoder(resp.Body).Decode(&alert); err != nil || resp.StatusCode >= 300 {
		t.Fatalf("%s: %s, %v", answer, resp.Status, err)
	}
	return alert.Handle
}

// noted waits until the alarm shows a sentence.
func (tb *tab) noted(t *testing.T, text string) {
	t.Helper()
	e2e.Eventually(t, "sentence "+text, func() bool {
		return value[bool](t, tb, `within('p, span').some(e => e.textContent === `+quote(text)+`)`)
	})
}

// taps clicks as a finger does, in the middle of what a script finds.
func (tb *tab) taps(t *testing.T, element string) {
	t.Helper()
	at := value[[]float64](t, tb, `(async () => { // once it has stayed in place for some frames
		for (let last, still = 0; ;) {
			const e = `+element+`;
			e?.scrollIntoView({ block: 'center', behavior: 'instant' });
			const { x, y, width, height } = e?.getBoundingClientRect() ?? {}, at = [x + width / 2, y + height / 2];
			still = e && String(at) === last ? still + 1 : 0;
			if (still > 5) return at;
			last = String(at);
			await new Promise(requestAnimationFrame);
		}
	})()`)
	tb.do(t, chromedp.MouseClickXY(at[0], at[1]))
}

// TestAlarmOneTabRings: of a browser's tabs one rings, whichever page it shows; it says that it may not sound before a
// person has clicked, and the tab where they click takes over the ring. A claim in one browser ends it in all. Whoever
// was slower learns who has it.
func TestAlarmOneTabRings(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tabs := newProfile(t).openShift(t, s, "/#/shift", 3)
	others := newProfile(t).openShift(t, s, "/#/log", 2)
	id := s.order(t)
	bells(t, "one that rings of three", tabs, oneRings(1))
	bells(t, "one that rings of two", others, oneRings(1))
	for _, tb := range tabs {
		text := "The tab that rings may not sound yet: click here to let this tab ring."
		if b := tb.bell(t); b.Audible {
			t.Fatal("the browser lets the page sound: the test shows nothing")
		} else if b.Rings {
			text = "The browser allows sound on this page only after a click."
		}
		tb.noted(t, text)
	}
	if bar := value[string](t, others[0], `$('.alarm-bar').innerText`); bar != "1 alert rings: take it" {
		t.Errorf("on the page of the log the bar is %q", bar)
	}

	tabs[2].taps(t, `$('h1')`)
	bells(t, "ring that is heard, in the tab that was clicked", tabs, func(all []bell) bool {
		return all[2].Ringing && all[2].Audible && oneRings(1)(all)
	})
	isHeard(t, tabs[2])
	claim(t, others[0], id, "Bo")
	bells(t, "silence", append(tabs, others...), func(all []bell) bool {
		return count(all, func(b bell) bool { return b.Ringing }) == 0
	})
	s.endedWith(t, tabs[2])

	claim(t, tabs[0], id, "Ana")
	tabs[0].noted(t, "Bo was faster and has it.")
	tabs[0].noted(t, "Bo has it")
	others[1].holds(t, `!$('.alarm-bar').innerText && document.title === '(1) Log · Tidings'`)
}

func claim(t *testing.T, tb *tab, id, name string) {
	t.Helper()
	tb.eval(t, fmt.Sprintf(`localStorage.setItem('tidings-alarm name', %q); alarm().claim(%q)`, name, id))
}

// isHeard waits until a tab rings, and checks that it makes sound.
func isHeard(t *testing.T, tb *tab) {
	t.Helper()
	tb.await(t, "bell", "name", "start", "loop", true)
	tb.await(t, "ring", "ringing", true, "audible", true)
	const played = `contexts.at(-1).state === 'running' ? contexts.at(-1).currentTime : 0`
	before := value[float64](t, tb, played)
	e2e.Eventually(t, "sound that goes on", func() bool { return value[float64](t, tb, played) > before })
}

// endedWith expects that a tab's ring ended with a claim, and logs how long that took.
func (s *site) endedWith(t *testing.T, tb *tab) {
	t.Helper()
	tb.await(t, "bell", "name", "stop", "loop", true)
	silent := tb.await(t, "ring", "ringing", false, "audible", true)
	var answers struct {
		Events []struct {
			Type string
			Time time.Time
		}
	}
	s.ask(t, http.MethodGet, "/v1/events?topic=$alerts.>&last=1", "", "", &answers)
	if len(answers.Events) != 1 || answers.Events[0].Type != "alert.claimed" {
		t.Fatalf("the answers are %v", answers)
	}
	took := time.UnixMilli(int64(silent.Detail["at"].(float64))).Sub(answers.Events[0].Time)
	t.Logf("it is silent %v after the claim in another browser", took)
	if os.Getenv("TIDINGS_FULL") == "1" && took > time.Second {
		t.Errorf("it rings for %v after the claim", took)
	}
}

// TestAlarmResumes: while nobody has claimed an alert, the ring outlives a reload, and the tab that rang: closed,
// frozen, or stuck.
func TestAlarmResumes(t *testing.T) {
	t.Parallel()
	for _, strike := range []string{"reload", "close", "freeze", "hang"} {
		t.Run(strike, func(t *testing.T) {
			t.Parallel()
			s, p := newSite(t), newProfile(t)
			tabs := p.openShift(t, s, "/#/shift", 2)
			s.order(t)
			bells(t, "one that rings", tabs, oneRings(1))
			rang, other := tabs[0], tabs[1]
			if other.bell(t).Ringing {
				rang, other = other, rang
			}
			switch strike {
			case "reload":
				rang.do(t, chromedp.Reload())
				bells(t, "one that rings after the reload", tabs, oneRings(1))
				return
			case "close":
				rang.close(t)
			case "freeze":
				rang.eval(t, `Object.defineProperty(document, 'visibilityState', { value: 'hidden' })`) // like a tab that a browser freezes
				rang.freeze(t)
			case "hang":
				wake := rang.hang(t)
				defer wake()
			}
			bells(t, "other that rings", []*tab{other}, oneRings(1))
			if strike == "freeze" {
				rang.thaw(t)
				other.close(t)
				bells(t, "ring after the thaw", []*tab{rang}, oneRings(1))
			}
		})
	}
}

// TestAlarmBehindOthers: an alert rings, and can be claimed, behind any number of older ones that somebody has.
func TestAlarmBehindOthers(t *testing.T) {
	t.Parallel()
	const claimed = 100 // as many as the list has
	s, p := newSite(t), newProfile(t)
	for range claimed {
		s.answer(t, s.order(t), "claim", "")
	}
	tb := p.openShift(t, s, "/#/shift", 1)[0]
	tb.holds(t, fmt.Sprintf(`alarm().alerts.length === %d && !alarm().ringing`, claimed))
	id := s.order(t)
	isHeard(t, tb)
	tb.holds(t, fmt.Sprintf(`alarm().alerts.length === %d && alarm().alerts.at(-1).id === %s`, claimed, quote(id)))
	claim(t, tb, id, "Ana")
	s.endedWith(t, tb)
}

// TestAlarmOfAClerk: a clerk of one region sees, hears and claims that region's alerts and no others.
func TestAlarmOfAClerk(t *testing.T) {
	t.Parallel()
	s, p := newGuardedSite(t), newProfile(t)
	s.ask(t, http.MethodPut, "/v1/alerts/orders", "application/json",
		`{"topics":["orders.>"],"types":["order.created"]}`, nil)
	us := s.post(t, "orders.us", "order.created", "application/json", shopOrder)
	clerk := auth.Grant{Subject: "ana", Subscribe: filter("orders.eu"), Answer: filter("orders.eu")}
	tb := p.openConsole(t, s, "/#token="+s.mint(t, clerk), ringing)
	tb.isLive(t)
	tb.eval(t, `location.hash = '#/shift'`)
	tb.holds(t, `alarm()?.hearing?.rings && within('h2').length && !alarm().ringing && !alarm().alerts.length`)
	eu := s.post(t, "orders.eu", "order.created", "application/json", shopOrder)
	tb.holds(t, `alarm().ringing && alarm().alerts.map(({ id }) => id).join() === `+quote(eu))
	s.post(t, "orders.us", "order.created", "application/json", shopOrder)
	tb.eval(t, `alarm().claim(`+quote(us)+`).catch(() => {})`)
	tb.taps(t, `within('[part~=claim]')[0]`)
	tb.noted(t, "You have it")
	tb.holds(t, `!alarm().ringing && alarm().alerts.length === 1`)
	var open struct{ Alerts []struct{ ID, State string } }
	s.ask(t, http.MethodGet, "/v1/open", "", "", &open)
	if len(open.Alerts) != 3 || open.Alerts[0].ID != us || open.Alerts[0].State != "open" ||
		open.Alerts[1].State != "claimed" {
		t.Errorf("open is %+v", open)
	}
}

// TestAlarmAnswers: each answer has a button, also by keyboard, and the page says who gave it. The focus is never on a
// button that a second press would use for something else.
func TestAlarmAnswers(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	tb := p.openConsole(t, s, "/#/shift", ringing)
	tb.holds(t, `alarm().hearing`)
	first, second := s.order(t), s.order(t)
	tb.holds(t, `within('li').length === 2 && within('h3')[0].textContent === 'Order 1001'`)
	tb.eval(t, `Object.assign(within('[part=name]')[0], { value: 'Ana' }).dispatchEvent(new Event('change'))`)
	press := func(keys string) {
		t.Helper()
		tb.do(t, chromedp.KeyEvent(keys))
	}
	tb.eval(t, `within('[part~=claim]')[0].focus()`)
	press(kb.ArrowDown)
	press(kb.Enter)
	tb.holds(t, `within('.state').map(e => e.textContent).join() === 'Nobody has it,You have it'`)
	tb.holds(t, `alarm().shadowRoot.activeElement === within('li')[1]`)
	press(kb.Enter) // it is claimed: nothing more happens
	press(kb.ArrowUp)
	tb.holds(t, `alarm().shadowRoot.activeElement === within('[part~=claim]')[0]`)
	tb.taps(t, `within('[part~=snooze]')[0]`)
	tb.holds(t, `/^Snoozed for [45]:\d\d$/.test(within('.state')[0].textContent) && !alarm().ringing`)
	tb.taps(t, `within('[part~=hand]')[0]`)
	tb.holds(t, `alarm().shadowRoot.activeElement.matches('[part=to]')`)
	press("Bo")
	press(kb.Enter)
	tb.noted(t, "Bo has it")
	tb.taps(t, `within('[part~=take]')[0]`)
	tb.taps(t, `within('[part~=claim]').at(-1)`)
	tb.noted(t, "You have it")
	tb.taps(t, `within('[part~=finish]')[0]`)
	tb.noted(t, "Done by Ana")
	tb.taps(t, `within('[part~=undo]')[0]`)
	tb.holds(t, `alarm().ringing && within('[part~=claim]').length === 2`)
	tb.answered(t, "Ana reopened it", "Ana marked it done", "Ana took it", "Ana handed it over to Bo",
		"Ana snoozed it until", "Ana took it")
	if first >= second {
		t.Fatalf("%s is not before %s", first, second)
	}
	tb.holds(t, `alarm().alerts.map(({ id }) => id).join() === `+quote(first+","+second))
}

// answered expects the page's list of who took what, newest first: how each entry begins.
func (tb *tab) answered(t *testing.T, want ...string) {
	t.Helper()
	tb.holds(t, fmt.Sprintf(`$$('.answered li').length === %d`, len(want)))
	for i, got := range tb.texts(t, ".answered strong") {
		if !strings.HasPrefix(got, want[i]) {
			t.Errorf("answer %d is %q, want %q", i, got, want[i])
		}
	}
}

// TestAlarmSays: whatever may keep an alert from being noticed is a sentence: that the server is away, that nobody has
// heard the device yet, that a token may not answer. Events are shown as text, whatever they contain.
func TestAlarmSays(t *testing.T) {
	t.Parallel()
	s, p := newGuardedSite(t), newProfile(t)
	tb := p.openConsole(t, s, "/#token="+s.mint(t, auth.Grant{Subject: "ada", Subscribe: filter("orders.>")}), ringing)
	tb.isLive(t)
	tb.eval(t, `location.hash = '#/shift'`)
	s.order(t)
	s.post(t, "orders.eu", "order.created", "application/json", `{"title":"<img src=x onerror=ran('title')>"}`)
	tb.holds(t, `within('h3')[1].textContent.startsWith('<img')`)
	tb.taps(t, `within('[part~=claim]')[0]`)
	tb.holds(t, `within('.said')[0].textContent.startsWith('That did not work: ')`)

	tb.noted(t, "Nobody has heard this device yet. A page cannot know mute and volume: test the sound.")
	tb.taps(t, `within('[part~=test]')[0]`)
	tb.taps(t, `within('button[part~=heard]')[0]`)
	tb.holds(t, `within('[part=heard]')[0].textContent.startsWith('Heard on this device 0:0')`)
	tb.do(t, chromedp.Reload())
	tb.holds(t, `within('[part=heard]')[0].textContent.startsWith('Heard on this device')`)

	s.set(cut)
	tb.eval(t, `alarm().refresh()`)
	tb.holds(t, `within('.note span').some(e => e.textContent.startsWith('Offline since'))`)
	s.set(none)
	tb.holds(t, `within('li').length === 2 && !within('.note span').some(e => e.textContent.startsWith('Offline'))`)
}
