package console_test

import (
	"crypto/rand"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"tidings/internal/auth"
	"tidings/internal/e2e"
)

// cookies returns the browser's cookies for the page.
func (tb *tab) cookies(t *testing.T) []*network.Cookie {
	t.Helper()
	result, err := chromedp.Call(tb.ctx, network.GetCookies, network.GetCookiesParams{})
	if err != nil {
		t.Fatal(err)
	}
	return result.Cookies
}

// asksForToken waits until the page asks for a token, with the reason if there is one.
func (tb *tab) asksForToken(t *testing.T, reason string) {
	t.Helper()
	tb.holds(t,
		`document.title === 'Sign in · Tidings' && document.activeElement === $('#token') && $('#token-problem').innerText.startsWith(`+
			quote(reason)+`)`)
	if n := value[int](t, tb, `$$('nav, .feed, [popover] button').length`); n != 0 {
		t.Error("who is not signed in sees more than the form")
	}
}

// TestConsoleSignIn: a pasted token goes into a cookie that no script reads and that expires with it; signing out ends
// everything.
func TestConsoleSignIn(t *testing.T) {
	t.Parallel()
	s, p := newGuardedSite(t), newProfile(t)
	s.publish(t, "orders", 2)
	token := s.mint(t, auth.Grant{Subject: "ada", Subscribe: filter(">")})
	tb := p.openConsole(t, s, "/#/topics")
	tb.asksForToken(t, "")
	for _, row := range []struct{ token, says string }{
		{"no.token at all", "This is not a token"},
		{"no.token.atall", "The server does not accept this token: not a signed JWT"},
		{token[:len(token)-4] + "AAAA", "The server does not accept this token: "},
	} {
		tb.enters(t, "#token", row.token)
		tb.presses(t, "Sign in")
		tb.asksForToken(t, row.says)
		if cookies := tb.cookies(t); len(cookies) != 0 {
			t.Errorf("a token that is refused leaves %v", cookies)
		}
		tb.eval(t, `$('#token-problem').replaceChildren()`)
	}
	tb.enters(t, "#token", " "+token+"\n")
	tb.presses(t, "Sign in")
	tb.sees(t, ".topics .state", "1 topic")
	tb.isLive(t)
	cookies := tb.cookies(t)
	if len(cookies) != 1 {
		t.Fatalf("the browser has the cookies %v, want one", cookies)
	}
	c := cookies[0]
	left := time.Until(time.Unix(int64(c.Expires), 0))
	if !c.HTTPOnly || c.SameSite != network.CookieSameSiteStrict || c.Value != token || left <= 0 ||
		left > time.Hour {
		t.Errorf("the cookie is %+v, which leaves %v", c, left)
	}
	everywhere := `JSON.stringify([document.cookie, Object.entries(localStorage), Object.entries(sessionStorage), location.href, document.documentElement.outerHTML])`
	if strings.Contains(value[string](t, tb, everywhere), token[:40]) {
		t.Error("a script finds the token in the page")
	}
	tb.presses(t, "Settings")
	tb.sees(t, "#settings", "Signed in as ada")
	tb.presses(t, "Sign out")
	tb.asksForToken(t, "")
	if cookies := tb.cookies(t); len(cookies) != 0 {
		t.Errorf("signing out leaves %v", cookies)
	}
	s.awaitSubscribers(t, 0)
	tb.do(t, chromedp.Reload())
	tb.asksForToken(t, "")
}

// TestConsoleTokenInAddress: a link may bring a token, which afterwards is in neither the address nor the history.
func TestConsoleTokenInAddress(t *testing.T) {
	t.Parallel()
	s, p := newGuardedSite(t), newProfile(t)
	ada, bob := s.mint(t, auth.Grant{Subject: "ada", Subscribe: filter(">")}),
		s.mint(t, auth.Grant{Subject: "bob", Subscribe: filter(">")})
	tb := p.openConsole(t, s, "/#token=wrong")
	tb.asksForToken(t, "The server does not accept this token: ")
	tb.eval(t, `location.hash = 'token=`+ada+`'`)
	tb.isLive(t)
	tb.holds(t, `$('#settings').textContent.includes('Signed in as ada')`)
	link := `location.hash = 'token=` + bob + `'` // another person, in the same browser
	tb.eval(t, link)
	tb.holds(t, `document.activeElement.textContent === 'Stay signed in' && $('main').textContent.includes('Signed in as ada')`)
	tb.presses(t, "Stay signed in")
	tb.isLive(t)
	tb.holds(t, `$('#settings').textContent.includes('Signed in as ada')`)
	tb.eval(t, link)
	tb.presses(t, "Use the link’s token")
	tb.holds(t, `$('#settings').textContent.includes('Signed in as bob')`)
	s.awaitStreamsOf(t, "bob") // ada's end
	result, err := chromedp.Call(tb.ctx, page.GetNavigationHistory, cdp.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range result.Entries {
		if strings.Contains(entry.URL, "token=") {
			t.Errorf("the history has %s", entry.URL)
		}
	}
}

// awaitStreamsOf waits until only one person's console is connected: for the feed, and for the shift.
func (s *site) awaitStreamsOf(t *testing.T, subject string) {
	t.Helper()
	var subjects []string
	defer func() {
		if t.Failed() {
			t.Logf("connected are %v", subjects)
		}
	}()
	e2e.Eventually(t, "console of "+subject+" alone", func() bool {
		subjects = nil
		for _, text := range s.subscribers(t) {
			var one struct{ Subject string }
			if err := json.Unmarshal(text, &one); err != nil {
				t.Fatal(err)
			}
			subjects = append(subjects, one.Subject)
		}
		return slices.Equal(subjects, []string{subject, subject})
	})
}

// late is the early script of a page that learns who is signed in only when released: by then the answer may be
// outdated.
const late = `{
	const answered = fetch;
	globalThis.release = [];
	globalThis.fetch = async (url, options) => {
		const answer = await answered(url, options);
		if (globalThis.isLate && /session$/.test(url)) await new Promise(go => release.push(go));
		options?.signal?.throwIfAborted();
		return answer;
	};
}`

// TestConsoleLateAnswer: a late answer about who was signed in, from before somebody else signed in, is not shown.
func TestConsoleLateAnswer(t *testing.T) {
	t.Parallel()
	s, p := newGuardedSite(t), newProfile(t)
	ada, bob := s.mint(t, auth.Grant{Subject: "ada", Subscribe: filter(">")}),
		s.mint(t, auth.Grant{Subject: "bob", Subscribe: filter(">")})
	tb := p.openConsole(t, s, "/", clock(t), late, `globalThis.isLate = true`)
	follows := func(token string) { // while a response is pending
		t.Helper()
		tb.holds(t, `release.length === 1`)
		tb.eval(t, `isLate = false; location.hash = 'token=`+token+`'`)
	}
	stays := func(subject string) {
		t.Helper()
		tb.holds(t, `$('#settings').textContent.includes('Signed in as `+subject+`')`)
		tb.isLive(t)
		tb.eval(t, `$('section.page').kept = true; pass(1000)`)
		value[string](t, tb, `release.pop()(); fetch('/healthz').then(answer => answer.text())`)
		tb.holds(t, `$('section.page').kept && $('#settings').textContent.includes('Signed in as `+subject+`')`)
		s.awaitStreamsOf(t, subject)
	}
	follows(ada) // after the console has found nobody
	stays("ada")

	tb.eval(t, `isLate = true; new BroadcastChannel('tidings session ' + new URL('/', location)).postMessage(null)`)
	follows(bob) // after another tab has said that ada signed in
	tb.presses(t, "Use the link’s token")
	stays("bob")
}

// TestConsoleSignInOvertaken: a link that got no response from the server is not retried once another one was followed.
func TestConsoleSignInOvertaken(t *testing.T) {
	t.Parallel()
	s := newGuardedSite(t)
	ada, bob := s.mint(t, auth.Grant{Subject: "ada", Subscribe: filter(">")}),
		s.mint(t, auth.Grant{Subject: "bob", Subscribe: filter(">")})
	tb := newProfile(t).openConsole(t, s, "/#token="+ada, astray, clock(t),
		`globalThis.away = /session/; globalThis.status = 404`)
	tb.sees(t, "main", "The server does not respond. Retrying…")
	tb.eval(t, `globalThis.away = undefined; location.hash = 'token=`+bob+`'`)
	tb.isLive(t)
	value[string](t, tb, `$('section.page').kept = true; pass(3000); fetch('/healthz').then(answer => answer.text())`)
	tb.holds(t, `$('section.page').kept && $('#settings').textContent.includes('Signed in as bob')`)
	s.awaitStreamsOf(t, "bob")
}

// TestConsoleSessionEnds: when the cookie has expired with its token, or the server no longer accepts it, the page asks
// for another one and continues where it was.
func TestConsoleSessionEnds(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		end  func(t *testing.T, s *site, tb *tab)
	}{
		{"expired", func(t *testing.T, s *site, tb *tab) {
			// as the browser does
			if _, err := chromedp.Call(tb.ctx, network.ClearBrowserCookies,
				cdp.Empty{}); err != nil {
				t.Fatal(err)
			}
			s.set(cut) // as the server does
			s.set(none)
		}},
		{"taken back", func(t *testing.T, s *site, _ *tab) {
			s.server.Kill()
			s.key = []byte(rand.Text() + rand.Text())
			s.options.Args = []string{"--jwt-key", string(s.key)}
			s.start(t)
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s, p := newGuardedSite(t), newProfile(t)
			tb := p.openConsole(t, s, "/#token="+s.mint(t,
				auth.Grant{Subject: "ada", Subscribe: filter(">")}))
			tb.isLive(t)
			tb.eval(t, `location.hash = '#/try'`) // makes no request by itself
			tb.sees(t, ".try", "Nothing has been published from here yet.")
			row.end(t, s, tb)
			tb.asksForToken(t, "You are signed out: the token has expired or was revoked.")
			s.publish(t, "orders", 3)
			tb.enters(t, "#token", s.mint(t, auth.Grant{Subject: "ada", Subscribe: filter(">")}))
			tb.presses(t, "Sign in")
			tb.sees(t, ".try", "Nothing has been published from here yet.")
			tb.holds(t, `document.title === '(3) Try it · Tidings'`)
		})
	}
}

// TestConsoleNoKeys: without keys there is nobody to sign in, and the page says what that means.
func TestConsoleNoKeys(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	tb := p.openConsole(t, s, "/")
	tb.sees(t, ".notice", "No key is configured: anyone on this machine can read and write.")
	tb.presses(t, "Settings")
	if text := value[string](t, tb, `$('#settings').innerText`); strings.Contains(text, "Sign") {
		t.Errorf("there is nobody to sign out, and the menu has\n%s", text)
	}
	if got := tb.texts(t, "nav a"); len(got) != 9 {
		t.Errorf("the pages are %v, want all nine", got)
	}
}

// TestConsoleOtherTabs: what one tab does to its session applies to the others, which have the same cookie.
func TestConsoleOtherTabs(t *testing.T) {
	t.Parallel()
	s, p := newGuardedSite(t), newProfile(t)
	s.publish(t, "orders", 1)
	ada := s.mint(t, auth.Grant{Subject: "ada", Subscribe: filter(">")})
	bob := s.mint(t, auth.Grant{Subject: "bob", Subscribe: filter(">")})
	one, other := p.openConsole(t, s, "/"), p.openConsole(t, s, "/#/topics")
	is := func(tb *tab, subject string) {
		t.Helper()
		tb.holds(t, `$('#settings').textContent.includes('Signed in as `+subject+`')`)
		tb.isLive(t)
	}
	other.asksForToken(t, "")
	one.asksForToken(t, "")
	one.enters(t, "#token", ada)
	one.presses(t, "Sign in")
	is(one, "ada")
	is(other, "ada")
	other.sees(t, ".topics .state", "1 topic")

	// For the same person nothing is shown again.
	other.eval(t, `$('section.page').kept = true; globalThis.asked = 0; const ask = fetch;
		fetch = async (...request) => { const answer = await ask(...request); asked += /session$/.test(request[0]); return answer; }`)
	one.eval(t, `location.hash = 'token=`+s.mint(t, auth.Grant{Subject: "ada",
		Subscribe: filter(">")})+`'`)
	one.presses(t, "Use the link’s token")
	is(one, "ada")
	other.holds(t, `asked === 1 && $('section.page').kept`)
	one.eval(t, `location.hash = 'token=`+bob+`'`)
	one.presses(t, "Use the link’s token")
	is(one, "bob")
	is(other, "bob")
	other.sees(t, ".topics .state", "1 topic")

	other.presses(t, "Settings")
	other.presses(t, "Sign out")
	other.asksForToken(t, "")
	one.asksForToken(t, "")
	s.awaitSubscribers(t, 0)
}
