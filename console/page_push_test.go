package console_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/serviceworker"
	"github.com/chromedp/chromedp"

	"tidings/internal/auth"
	"tidings/internal/e2e"
	"tidings/internal/webpush/pushtest"
)

// subscribing gives a page a PushManager whose push service is the test's: the real ones are out of reach. What a page
// and its worker do with a push is the browser's own behaviour.
func subscribing(endpoint string, b *pushtest.Browser) string {
	return fmt.Sprintf(`(() => {
		const kept = 'test subscription', { stringify } = JSON;
		const json = { endpoint: %q, expirationTime: null, keys: { p256dh: %q, auth: %q } };
		const subscription = applicationServerKey => ({ options: { applicationServerKey }, toJSON: () => json,
			unsubscribe: async () => { localStorage.removeItem(kept); return true; } });
		PushManager.prototype.getSubscription = async () => {
			const key = JSON.parse(localStorage.getItem(kept));
			return key && subscription(Uint8Array.from(key).buffer);
		};
		PushManager.prototype.subscribe = async ({ userVisibleOnly, applicationServerKey: key }) => {
			if (!userVisibleOnly) throw new TypeError('userVisibleOnly');
			localStorage.setItem(kept, stringify([...key]));
			return subscription(key.buffer);
		};
	})()`, endpoint, b.P256dh(), b.Auth())
}

// shownPushes returns the worker's notifications.
const shownPushes = `navigator.serviceWorker.getRegistration('/tidings/').then(r => r?.getNotifications() ?? []).then(all =>
	all.map(({ title, body, tag, data }) => [title, body, tag, data.navigate, data.count].join('|')).join('\n'))`

// notifiedProfile returns a browser that shows a site's notifications.
func notifiedProfile(t *testing.T, s *site) *profile {
	t.Helper()
	p := &profile{e2e.WindowProfile(t)}
	p.permit(t, s, browser.PermissionSettingGranted)
	return p
}

const turnPushes = "Notify this device while the console is closed"

// awaitDevices waits until a subject has N devices.
func (s *site) awaitDevices(t *testing.T, subject string, n int) {
	t.Helper()
	var list struct{ Devices []struct{ ID string } }
	e2e.Eventually(t, fmt.Sprintf("%d devices of %s", n, subject), func() bool {
		s.ask(t, http.MethodGet, "/v1/devices?subject="+subject, "", "", &list)
		return len(list.Devices) == n
	})
}

// TestConsolePush: a person turns pushes on in the settings, the worker shows what arrived, the person reads, and turns
// pushes off. What the worker gets is what the server has pushed, decrypted.
func TestConsolePush(t *testing.T) {
	t.Parallel()
	b := pushtest.NewBrowser()
	var bodies record[[]byte]
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			bodies.add(body)
		}
		w.WriteHeader(http.StatusCreated)
	}))
	t.Cleanup(service.Close)
	s := newSite(t, "--push-contact", "mailto:ops@example.com", "--push-to", "127.0.0.1/32")
	p := notifiedProfile(t, s)
	tb := p.openConsole(t, s, "/", subscribing(service.URL+"/send/1", b))
	tb.isLive(t)
	var workers record[*serviceworker.Registration]
	err := chromedp.Listen(tb.ctx, func(event any) {
		if e, ok := event.(*serviceworker.EventWorkerRegistrationUpdated); ok {
			for _, r := range e.Registrations {
				workers.add(r)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(tb.ctx, serviceworker.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}

	tb.presses(t, "Settings")
	tb.presses(t, turnPushes)
	var devices struct {
		Devices []struct {
			Topics            []string
			Mark              string `json:"read_mark"`
			Urgency, Language string
		}
	}
	e2e.Eventually(t, "device", func() bool {
		s.ask(t, http.MethodGet, "/v1/devices", "", "", &devices)
		return len(devices.Devices) == 1
	})
	if devices.Devices[0].Mark != "console" || devices.Devices[0].Topics[0] != ">" {
		t.Fatalf("the devices are %+v", devices)
	}
	if control := value[bool](t, tb, `!!navigator.serviceWorker.controller`); control {
		t.Error("the worker is in charge of the page")
	}

	tb.do(t, chromedp.Navigate(s.URL+"/healthz")) // the console is closed
	s.post(t, "orders", "", "application/json", shopOrder)
	bodies.await(t, "push", func(all [][]byte) bool { return len(all) > 0 })
	message, err := b.Read(bodies.all()[0])
	if err != nil {
		t.Fatal(err)
	}
	if message.Badge == nil || *message.Badge != 1 || message.Notification.Navigate != s.URL+"/" {
		t.Errorf("pushed %+v", message)
	}
	told := &message.Notification
	text := fmt.Sprintf(`{"web_push":8030,"app_badge":1,"notification":{"title":%q,"lang":"en","navigate":%q,"tag":"tidings","renotify":true,`+
		`"data":{"id":%q,"count":1}}}`, told.Title, told.Navigate, told.Data.ID)
	workers.await(t, "worker", func(all []*serviceworker.Registration) bool { return len(all) > 0 })
	e2e.Eventually(t, "worker that takes messages", func() bool {
		return value[bool](t, tb, `navigator.serviceWorker.getRegistration('/tidings/').then(r => r?.active?.state === 'activated')`)
	})
	var delivered string
	deliver := func(text string) {
		t.Helper()
		delivered = text
		_, err := chromedp.Call(tb.ctx, serviceworker.DeliverPushMessage, serviceworker.DeliverPushMessageParams{
			Origin: s.URL, RegistrationID: workers.all()[0].RegistrationID, Data: text})
		if err != nil {
			t.Fatal(err)
		}
	}
	shows := func(want string) {
		t.Helper()
		got := ""
		defer func() {
			if got != want {
				t.Errorf("it shows %q", got)
			}
		}()
		since := time.Now()
		e2e.Eventually(t, "notification "+want, func() bool {
			got = value[string](t, tb, shownPushes)
			if got == "" && want != "" && time.Since(since) > 20*time.Second {
				since = time.Now()
				deliver(delivered) // a busy browser drops a push whose worker starts too slowly
			}
			return got == want
		})
	}
	deliver(text)
	shows("orders: 1 new event about orders||tidings|" + s.URL + "/|1")
	tb.do(t, chromedp.Navigate(s.URL+"/"))
	tb.isLive(t)
	tb.presses(t, "Mark all read")
	shows("")
	deliver("what no server of ours says")
	shows("Tidings||" + "|" + s.URL + "/|")
	value[bool](t, tb, `navigator.serviceWorker.getRegistration('/tidings/').then(r => r.getNotifications())
		.then(all => all.forEach(n => n.close())).then(() => true)`)
	shows("")
	deliver(strings.Replace(text, s.URL, "https://elsewhere.example.com", 1))
	shows("orders: 1 new event about orders||tidings|" + s.URL + "/|1")

	tb.do(t, chromedp.Reload())
	tb.isLive(t)
	tb.holds(t, `($('#settings').matches(':popover-open') || press('Settings'), $('#settings .part input').checked)`)
	tb.presses(t, turnPushes)
	tb.holds(t, `!$('#settings .part input').checked`)
	e2e.Eventually(t, "end of the device", func() bool {
		s.ask(t, http.MethodGet, "/v1/devices", "", "", &devices)
		return len(devices.Devices) == 0
	})
}

// TestConsolePushOwner: what one person turned on is renewed only for them, even if the browser has dropped its
// subscription, and ends when they sign out, or somebody else signs in.
func TestConsolePushOwner(t *testing.T) {
	t.Parallel()
	s := newGuardedSite(t, "--push-contact", "mailto:ops@example.com", "--push-to", "127.0.0.1/32")
	p := notifiedProfile(t, s)
	ada, bob := s.mint(t, auth.Grant{Subject: "ada", Subscribe: filter(">")}),
		s.mint(t, auth.Grant{Subject: "bob", Subscribe: filter(">")})
	const subscribed = `!!localStorage.getItem('test subscription')`
	tb := p.openConsole(t, s, "/#token="+ada, subscribing("http://127.0.0.1:9/send/1", pushtest.NewBrowser()))
	turnOn := func() {
		t.Helper()
		tb.isLive(t)
		tb.presses(t, "Settings")
		tb.presses(t, turnPushes)
		s.awaitDevices(t, "ada", 1)
		tb.holds(t, `localStorage.getItem('tidings push') === 'ada'`)
	}
	turnOn()

	tb.eval(t, `localStorage.removeItem('test subscription')`) // as browsers may do
	s.ask(t, http.MethodDelete, "/v1/devices?subject=ada", "", "", nil)
	tb.do(t, chromedp.Reload())
	s.awaitDevices(t, "ada", 1)
	tb.holds(t, subscribed)

	tb.isLive(t)
	tb.presses(t, "Settings")
	tb.presses(t, "Sign out")
	tb.asksForToken(t, "")
	s.awaitDevices(t, "ada", 0)
	tb.holds(t, `!`+subscribed[2:])

	tb.enters(t, "#token", ada)
	tb.presses(t, "Sign in")
	turnOn()
	tb.do(t, chromedp.Navigate(s.URL+"/healthz"))
	tb.eval(t, `fetch('/v1/session', { method: 'PUT', headers: { 'Content-Type': 'application/json' }, body: `+
		quote(`{"token":"`+bob+`"}`)+` })`)
	tb.do(t, chromedp.Navigate(s.URL+"/"))
	tb.isLive(t)
	tb.holds(t, `!`+subscribed[2:])
	s.awaitDevices(t, "bob", 0)
}

// TestConsolePushOff: if the server sends no pushes there is no switch.
func TestConsolePushOff(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), &profile{e2e.WindowProfile(t)}
	tb := p.openConsole(t, s, "/")
	tb.isLive(t)
	tb.presses(t, "Settings")
	s.requests.await(t, "question whether it pushes", func(all []request) bool {
		for _, r := range all {
			if strings.HasSuffix(r.Path, "/v1/push") {
				return true
			}
		}
		return false
	})
	tb.holds(t, `$('#settings .part') && !$('#settings .part').childElementCount`)
}
