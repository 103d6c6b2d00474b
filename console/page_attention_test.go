package console_test

import (
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"

	"tidings/internal/e2e"
)

// attention reports what would be shown and heard, for a window that a person does not look at.
const attention = `
	globalThis.Notification = new Proxy(Notification, { construct: (_, [title, options]) => report('notification', { title, ...options }) ?? { close() {} } });
	const { createOscillator } = AudioContext.prototype;
	AudioContext.prototype.createOscillator = function () { report('sound', {}); return createOscillator.call(this); };
	document.hasFocus = () => false;`

// permit lets the browser show a site's notifications, or not.
func (p *profile) permit(t *testing.T, s *site, setting browser.PermissionSetting) {
	t.Helper()
	_, err := chromedp.CallBrowser(p.ctx, browser.SetPermission, browser.SetPermissionParams{
		Permission: &browser.PermissionDescriptor{Name: "notifications"}, Setting: setting,
		Origin: s.URL, BrowserContextID: chromedp.FromContext(p.ctx).BrowserContextID,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestConsoleNotifications: a person turns notifications and sound on once; events in quick succession make one of
// each, in only one of the tabs.
func TestConsoleNotifications(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), &profile{e2e.WindowProfile(t)}
	s.publish(t, "orders", 3) // old events notify nobody
	p.permit(t, s, browser.PermissionSettingDenied)
	tb := p.openConsole(t, s, "/", attention)
	tb.isLive(t)
	tb.presses(t, "Settings")
	tb.presses(t, "Desktop notifications")
	tb.holds(t,
		`!$('#settings input').checked && shown('The browser does not allow them for this site.', '#settings')`)

	p.permit(t, s, browser.PermissionSettingGranted)
	tb.presses(t, "Desktop notifications")
	tb.presses(t, "Sound for new alerts")
	tb.await(t, "sound") // so that the person hears it
	tb.holds(t, `$$('#settings input').every(({ checked }) => checked)`)
	tb.do(t, chromedp.Reload())
	tb.isLive(t)
	tb.holds(t,
		`$$('#settings input').length === 2 && $$('#settings input').every(({ checked }) => checked)`)
	beside := p.openConsole(t, s, "/#/server", attention)
	beside.isLive(t)

	s.post(t, "orders", "", "application/json", shopOrder)
	tb.await(t, "sound")
	tb.await(t, "notification", "title", "Order 1001", "body", "")
	s.publish(t, "orders", 5)
	tb.await(t, "notification", "title", "5 new alerts", "body", "message\nmessage\nmessage",
		"tag", "tidings", "renotify", true) // replaces the last one, and not silently
	if n := len(tb.given("notification")); n != 2 {
		t.Errorf("there are %d notifications, want 2", n)
	}

	tb.presses(t, "Settings")
	tb.presses(t, "Desktop notifications")
	s.post(t, "orders", "", "application/json", shopOrder)
	tb.await(t, "sound")
	tb.presses(t, "Sound for new alerts")
	tb.presses(t, "Mark all read")
	tb.holds(t, `document.title === 'Alerts · Tidings'`)
	if n := len(tb.given("notification")); n != 2 {
		t.Errorf("turned off, there are %d notifications", n-2)
	}
	if given := beside.given("notification", "sound"); given != nil {
		t.Errorf("the tab beside calls too: %v", given)
	}
}

// askingOthers counts the answers of other tabs, and puts the end of the wait for them, 250 ms, under the test's
// control.
const askingOthers = `
	globalThis.answers = 0;
	globalThis.unanswered = null;
	const later = setTimeout;
	globalThis.setTimeout = (run, ms, ...args) =>
		(ms === 250 ? void (unanswered = () => run(...args)) : later(run, ms, ...args));
	const { set } = Object.getOwnPropertyDescriptor(BroadcastChannel.prototype, 'onmessage');
	Object.defineProperty(BroadcastChannel.prototype, 'onmessage', { set(take) {
		set.call(this, event => {
			take(event);
			if (event.data === 'here') answers++;
		});
	} });`

// TestConsoleSeenInAnotherTab: a person who looks at the console in another tab is not notified, unless that tab shows
// other topics.
func TestConsoleSeenInAnotherTab(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	const wanted = `
		Object.defineProperty(Notification, 'permission', { value: 'granted' });
		localStorage.setItem('tidings notify', 'on');`
	tb := p.openConsole(t, s, "/", attention, wanted, askingOthers)
	tb.isLive(t)
	beside := p.openConsole(t, s, "/", attention, wanted, `document.hasFocus = () => true`)
	beside.isLive(t)
	s.post(t, "orders", "", "application/json", `{"title":"Seen"}`)
	tb.says(t, "Seen")
	beside.says(t, "Seen")
	tb.holds(t, `globalThis.answers === 1`)
	tb.eval(t, `unanswered = null`)
	beside.enters(t, "#watched", "orders")
	beside.presses(t, "Watch")
	beside.isLive(t)
	s.post(t, "tickets", "", "application/json", `{"title":"Not seen"}`)
	tb.holds(t, `unanswered`)
	tb.eval(t, `unanswered()`)
	tb.await(t, "notification", "title", "Not seen")
	if n := len(tb.given("notification")); n != 1 {
		t.Errorf("there are %d notifications, want 1", n)
	}
}

// says waits until a screen reader gets a text.
func (tb *tab) says(t *testing.T, text string) {
	t.Helper()
	tb.holds(t, `$$('[role=status]').some(({ textContent }) => textContent === `+quote(text)+`)`)
}

// TestConsoleSilent: while the browser blocks sound on a page that nobody has clicked, the page says so; missed sounds
// are one tone afterwards.
func TestConsoleSilent(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	tb := p.openConsole(t, s, "/", attention, `
		localStorage.setItem('tidings sound', 'on');
		globalThis.blocked = true;
		Object.defineProperty(AudioContext.prototype, 'state', { get: () => blocked ? 'suspended' : 'running' });
		AudioContext.prototype.resume = async function () { if (!blocked) this.onstatechange(); };`)
	tb.isLive(t)
	tb.sees(t, ".silent", "Click anywhere to hear alerts")
	for _, title := range []string{"One", "Two", "Three"} {
		s.post(t, "orders", "", "application/json", `{"title":"`+title+`"}`)
		tb.says(t, title)
	}
	tb.eval(t, `blocked = false; document.body.click()`)
	tb.await(t, "sound")
	tb.holds(t, `!$('.silent').innerText`)
	s.post(t, "orders", "", "application/json", `{"title":"Four"}`)
	tb.await(t, "sound")
	if n := len(tb.given("sound")); n != 2 {
		t.Errorf("there are %d sounds, want 2", n)
	}
}

// TestConsoleSoundAfterReload: the same with the browser's own rule, which allows sound once a person has clicked or
// typed in the page, and forgets that on a reload. holds would count as a person.
func TestConsoleSoundAfterReload(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	tb := p.openConsole(t, s, "/", attention, `
		globalThis.contexts = [];
		globalThis.AudioContext = class extends AudioContext { constructor() { super(); contexts.push(this); } };`)
	holds := func(expression string) {
		t.Helper()
		e2e.Eventually(t, expression, func() bool {
			return value[bool](t, tb, `(() => { try { return !!(`+expression+`) } catch { return false } })()`)
		})
	}
	clicks := func(selector string) {
		t.Helper()
		at := value[[]float64](t, tb, `(({ x, y, width, height }) => [x + width / 2, y + height / 2])($('`+
			selector+`').getBoundingClientRect())`)
		tb.do(t, chromedp.MouseClickXY(at[0], at[1]))
	}
	const live = `$('.connection').dataset.state === 'live'`
	holds(live)
	holds(`press('Settings') && $$('#settings label.option').length`)
	holds(`$$('#settings label.option').find(o => o.innerText.trim() === 'Sound for new alerts').id = 'sound'`)
	clicks("#sound")
	tb.await(t, "sound")

	tb.do(t, chromedp.Reload())
	holds(live)
	holds(`shown('Click anywhere to hear alerts', '.silent')`)
	says := func(title string, sounds int) {
		t.Helper()
		s.post(t, "orders", "", "application/json", `{"title":"`+title+`"}`)
		holds(`$$('[role=status]').some(({ textContent }) => textContent === '` + title + `')`)
		if n := len(tb.given("sound")); n != sounds {
			t.Errorf("there are %d sounds when it says %s, want %d", n, title, sounds)
		}
	}
	says("One", 1)
	says("Two", 1)
	if state := value[string](t, tb, `[...new Set(contexts.map(({ state }) => state))].join()`); state != "suspended" {
		t.Errorf("the browser lets the page sound (%s): the test shows nothing", state)
	}
	clicks("h1")
	tb.await(t, "sound")
	holds(`!$('.silent').innerText && contexts.every(({ state }) => state === 'running')`)
	says("Three", 3)
}
