package deliver_test

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tidings/deliver"
	"tidings/internal/outbound"
	"tidings/internal/seal"
	"tidings/internal/webpush/pushtest"
	"tidings/store"
)

// browser is a browser subscribed at a push service: it alone can read what is pushed to it.
type browser struct {
	*pushtest.Browser
	endpoint string
}

func newBrowser(name string) *browser {
	return &browser{pushtest.NewBrowser(), "https://push.example.com/send/" + name}
}

func (b *browser) registration(owner string, patterns ...string) deliver.Registration {
	f, err := store.NewFilter(patterns...)
	if err != nil {
		panic(err)
	}
	return deliver.Registration{Owner: owner, Endpoint: b.endpoint, P256dh: b.P256dh(), Auth: b.Auth(), Topics: f,
		Page: "https://shop.example.com/orders"}
}

func (b *browser) read(t *testing.T, body string) pushtest.Message {
	t.Helper()
	m, err := b.Read([]byte(body))
	if err != nil {
		t.Fatalf("the browser cannot read it: %v", err)
	}
	return m
}

// pushing is a log with devices, and their push service. Time is synctest's.
type pushing struct {
	*deliver.Devices
	t       *testing.T
	log     *counting
	key     string
	service *receiver
	options deliver.PushOptions

	mu      sync.Mutex
	visible map[string]string // patterns of the page that a person sees
	asked   func()            // called once, at the next question who sees what; may be nil
}

func testPush(t *testing.T, f func(t *testing.T, s *pushing)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &pushing{t: t, log: newLog(), key: filepath.Join(t.TempDir(), "secrets.key"), service: &receiver{},
			visible: make(map[string]string)}
		s.open()
		f(t, s)
		s.Close()
		s.log.Close()
	})
}

func (s *pushing) open() {
	s.t.Helper()
	o := s.options
	o.Guard, o.Key, o.Client = outbound.New(outbound.Options{}), seal.NewFile(s.key), &http.Client{Transport: s.service}
	o.Contact, o.Version = "mailto:ops@example.com", "1"
	o.Visible = func(owner string, topics store.Filter) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if asked := s.asked; asked != nil {
			s.asked = nil
			asked()
		}
		f, err := store.NewFilter(strings.Fields(s.visible[owner])...)
		return err == nil && f.Covers(topics)
	}
	devices, err := deliver.NewDevices(s.log, o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Devices = devices
}

// kill is a close that writes nothing.
func (s *pushing) kill() {
	s.log.fail(store.ErrClosed)
	s.Close()
	s.log.fail(nil)
	s.open()
}

// see gives a person a page of some topics; "": none.
func (s *pushing) see(owner, patterns string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.visible[owner] = patterns
}

func (s *pushing) register(r deliver.Registration) deliver.Device {
	s.t.Helper()
	d, _, err := s.Register(s.t.Context(), r)
	if err != nil {
		s.t.Fatalf("register: %v", err)
	}
	return d
}

// publish appends n events at once, and returns the ID of the last.
func (s *pushing) publish(n int, topics ...string) string {
	s.t.Helper()
	var drafts []store.Draft
	for i := range n {
		drafts = append(drafts, store.Draft{Topic: topics[i%len(topics)], Type: "order.created",
			ContentType: "application/json", Data: []byte(`{"customer":"Ana"}`)})
	}
	all, err := store.Append(s.t.Context(), s.log, drafts)
	if err != nil {
		s.t.Fatal(err)
	}
	return all[n-1].String()
}

// after waits, and returns the requests that came meanwhile.
func (s *pushing) after(d time.Duration) []got {
	time.Sleep(d)
	synctest.Wait()
	return s.service.take()
}

// mark moves a person's read mark to an ID.
func (s *pushing) mark(owner, id string, patterns ...string) {
	s.t.Helper()
	f, err := store.NewFilter(patterns...)
	if err == nil {
		_, err = s.log.SetMark(s.t.Context(), owner, "inbox", store.Mark{ID: *parseID(s.t, id), Topics: f})
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *pushing) list(owner string) []deliver.Device { return s.List(owner, "", 100) }

// TestPush: a lone event is pushed at once, with the headers of RFC 8030; events within the pace go together, and none
// goes twice. No field of an event is included.
func TestPush(t *testing.T) {
	testPush(t, func(t *testing.T, s *pushing) {
		ana := newBrowser("ana")
		s.publish(1, "orders.eu") // before
		s.register(ana.registration("ana", "orders.>"))
		id := s.publish(1, "orders.eu")
		s.publish(1, "tickets")
		all := s.after(time.Second)
		if len(all) != 1 {
			t.Fatalf("%d pushes, want 1", len(all))
		}
		h := all[0].header
		for name, want := range map[string]string{"Ttl": "86400", "Urgency": "normal", "Topic": "tidings",
			"Content-Encoding": "aes128gcm", "User-Agent": "Tidings/1"} {
			if h.Get(name) != want {
				t.Errorf("%s: %q, want %q", name, h.Get(name), want)
			}
		}
		if !strings.HasPrefix(h.Get("Authorization"), "vapid t=") || all[0].url.String() != ana.endpoint {
			t.Errorf("%s %v", all[0].url, h)
		}
		p := ana.read(t, all[0].body)
		if n := p.Notification; p.WebPush != 8030 || n.Title != "orders.eu: 1 new event about orders" || n.Body != "" ||
			n.Navigate != "https://shop.example.com/orders" || n.Data.ID != id || n.Lang != "en" ||
			!n.Renotify || p.Badge != nil {
			t.Errorf("%+v", p)
		}
		for i := range 12 {
			s.publish(1, "orders.eu", "orders.us")
			if i == 0 {
				synctest.Wait()
			}
		}
		s.publish(1, "orders.us")
		if got := s.after(10 * time.Second); len(got) != 0 {
			t.Errorf("%d pushes within the pace", len(got))
		}
		all = s.after(time.Minute)
		if len(all) != 1 {
			t.Fatalf("a burst is %d pushes", len(all))
		}
		if n := ana.read(t, all[0].body).Notification; n.Title != "13 new events in 2 topics" ||
			n.Body != "orders.eu: 12 new events about orders\norders.us: 1 new event about orders" {
			t.Errorf("%+v", n)
		}
		s.publish(200, "orders.eu")
		n := ana.read(t, s.after(time.Minute)[0].body).Notification
		if n.Title != "200 new events" || n.Body != "orders.eu" {
			t.Errorf("%+v", n)
		}
		if got := s.after(48 * time.Hour); len(got) != 0 {
			t.Errorf("%d pushes of nothing", len(got))
		}
	})
}

// TestPushOverKill: a kill loses nothing, and repeats nothing pushed more than a second before; what is due while the
// server is down is pushed when it is back.
func TestPushOverKill(t *testing.T) {
	testPush(t, func(t *testing.T, s *pushing) {
		ana, ben := newBrowser("ana"), newBrowser("ben")
		s.register(ana.registration("ana", "orders"))
		r := ben.registration("ben", ">")
		r.Language, r.Urgency, r.Name = "zh", "high", "Ben's phone"
		before := s.register(r)
		s.publish(1, "orders")
		if all := s.after(5 * time.Second); len(all) != 2 {
			t.Fatalf("%d pushes", len(all))
		}
		s.kill()
		if all := s.after(time.Hour); len(all) != 0 {
			t.Errorf("%d pushes are repeated", len(all))
		}
		if after := s.list("ben")[0]; after.ID != before.ID || after.Name != "Ben's phone" || after.Urgency != "high" {
			t.Errorf("%+v", after)
		}
		s.log.fail(store.ErrClosed)
		s.Close()
		s.publish(3, "tickets")
		s.log.fail(nil)
		s.open()
		all := s.after(time.Minute)
		if len(all) != 1 || all[0].header.Get("Urgency") != "high" {
			t.Fatalf("%d pushes", len(all))
		}
		if n := ben.read(t, all[0].body).Notification; n.Title != "tickets：3 条工单动态" {
			t.Errorf("%+v", n)
		}
		s.publish(1, "orders")
		s.kill() // before anything was sent or written
		if all := s.after(time.Minute); len(all) != 2 {
			t.Errorf("%d pushes after a kill, want 2", len(all))
		}
	})
}

// TestPushFails: 5xx is retried with growing pauses, Retry-After is obeyed, also over a kill; 404 and 410 remove the
// device; after a day undelivered events are skipped.
func TestPushFails(t *testing.T) {
	testPush(t, func(t *testing.T, s *pushing) {
		ana := newBrowser("ana")
		d := s.register(ana.registration("ana", "orders"))
		s.service.set(always(503, "Retry-After", "3600"))
		s.publish(1, "orders")
		if n := len(s.after(time.Minute)); n != 1 {
			t.Errorf("%d attempts", n)
		}
		if d := s.list("ana")[0]; d.State != deliver.DeviceFailing || !strings.Contains(d.Failure, "503") ||
			strings.Contains(d.Failure, "send/") {
			t.Errorf("%+v", d)
		}
		s.kill()
		if n := len(s.after(50 * time.Minute)); n != 0 {
			t.Errorf("%d attempts before the time", n)
		}
		s.service.set(always(500))
		if n := len(s.after(30 * time.Minute)); n < 2 || n > 12 {
			t.Errorf("%d attempts", n)
		}
		s.service.set(nil)
		all := s.after(2 * time.Hour)
		if len(all) != 1 || ana.read(t, all[0].body).Notification.Data.Count != 1 {
			t.Errorf("%d attempts", len(all))
		}
		s.service.set(always(403))
		s.publish(1, "orders")
		s.after(26 * time.Hour)
		if d := s.list("ana")[0]; d.State != deliver.DeviceActive {
			t.Errorf("after a day it is %s", d.State)
		}
		for _, code := range []int{404, 410} {
			s.service.set(always(code))
			s.publish(1, "orders")
			s.after(time.Minute)
			if stats := s.Stats(); len(s.list("ana")) != 0 || stats.Gone != 1 {
				t.Errorf("%d: %+v", code, stats)
			}
			s.kill()
			if len(s.list("ana")) != 0 {
				t.Errorf("%d: it is back", code)
			}
			s.service.set(nil)
			if again := s.register(ana.registration("ana", "orders")); again.ID != d.ID {
				t.Error("the same browser is another device")
			}
		}
	})
}

// TestDeviceLimits: an owner has a limited number of devices, whoever has an endpoint has the browser, and a device
// ends some time after its grant.
func TestDeviceLimits(t *testing.T) {
	testPush(t, func(t *testing.T, s *pushing) {
		for i := range deliver.DefaultDevicesPerOwner {
			s.register(newBrowser(fmt.Sprint(i)).registration("ana", "orders"))
		}
		last := newBrowser("last")
		_, _, err := s.Register(t.Context(), last.registration("ana", "orders"))
		if !errors.Is(err, deliver.ErrDeviceLimit) {
			t.Errorf("one more: %v", err)
		}
		r := last.registration("ben", "orders")
		r.Expires = time.Now().Add(time.Hour)
		s.register(r)
		s.register(last.registration("cem", "tickets")) // in the same browser
		if len(s.list("ben")) != 0 || len(s.list("cem")) != 1 {
			t.Error("the browser of another is still ben's")
		}
		r = last.registration("cem", "tickets")
		r.Expires = time.Now().Add(time.Hour)
		s.register(r)
		time.Sleep(2 * time.Hour)
		if d := s.list("cem")[0]; d.State != deliver.DeviceExpired {
			t.Errorf("it is %s", d.State)
		}
		s.publish(1, "tickets")
		if n := len(s.after(time.Minute)); n != 1 {
			t.Errorf("%d pushes within the grace", n)
		}
		time.Sleep(deliver.DefaultPushGrace)
		s.publish(1, "tickets")
		if n := len(s.after(2 * time.Hour)); n != 0 || len(s.list("cem")) != 0 || s.Stats().Expired != 1 {
			t.Errorf("%d pushes after it, %+v", n, s.Stats())
		}
	})
}

// deepTopics are few patterns of many segments.
func deepTopics() store.Filter {
	var patterns []string
	for i := range 10 {
		patterns = append(patterns, fmt.Sprintf("a%d.%s*", i, strings.Repeat("b.", 11)))
	}
	f, err := store.NewFilter(patterns...)
	if err != nil {
		panic(err)
	}
	return f
}

// TestDeviceRefused: what no browser sends, and addresses that may not be reached.
func TestDeviceRefused(t *testing.T) {
	testPush(t, func(t *testing.T, s *pushing) {
		for what, x := range map[string]struct {
			field string
			spoil func(*deliver.Registration)
		}{
			"no endpoint":    {"subscription", func(r *deliver.Registration) { r.Endpoint = "" }},
			"no key":         {"subscription", func(r *deliver.Registration) { r.P256dh = "AAAA" }},
			"no secret":      {"subscription", func(r *deliver.Registration) { r.Auth = "" }},
			"no topics":      {"topics", func(r *deliver.Registration) { r.Topics = store.Filter{} }},
			"deep topics":    {"topics", func(r *deliver.Registration) { r.Topics = deepTopics() }},
			"no page":        {"page", func(r *deliver.Registration) { r.Page = "" }},
			"a script":       {"page", func(r *deliver.Registration) { r.Page = "javascript:alert(1)" }},
			"a password":     {"page", func(r *deliver.Registration) { r.Page = "https://a:b@example.com/" }},
			"a long page":    {"page", func(r *deliver.Registration) { r.Page += strings.Repeat("x", 1024) }},
			"two lines":      {"name", func(r *deliver.Registration) { r.Name = "a\nb" }},
			"a language":     {"language", func(r *deliver.Registration) { r.Language = "tlh" }},
			"an urgency":     {"urgency", func(r *deliver.Registration) { r.Urgency = "now" }},
			"the metadata":   {"", func(r *deliver.Registration) { r.Endpoint = "https://169.254.169.254/" }},
			"this machine":   {"", func(r *deliver.Registration) { r.Endpoint = "https://[::ffff:127.0.0.1]/" }},
			"without TLS":    {"", func(r *deliver.Registration) { r.Endpoint = "http://push.example.com/" }},
			"another scheme": {"subscription", func(r *deliver.Registration) { r.Endpoint = "ftp://a.example/" }},
		} {
			r := newBrowser("x").registration("ana", "orders")
			x.spoil(&r)
			_, _, err := s.Register(t.Context(), r)
			var invalid *deliver.InvalidError
			var refused *outbound.Refused
			if x.field == "" && !errors.As(err, &refused) ||
				x.field != "" && (!errors.As(err, &invalid) || invalid.Field != x.field) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if len(s.list("ana")) != 0 {
			t.Error("something was registered")
		}
	})
}
