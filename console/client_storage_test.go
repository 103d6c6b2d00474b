package console_test

import (
	"net/url"
	"testing"

	"github.com/chromedp/chromedp"
)

// Early scripts that take storage away from the page, but leave it to its reports.
const (
	storageDisabled = `
		globalThis.kept = sessionStorage;
		for (const name of ['localStorage', 'sessionStorage']) {
			Object.defineProperty(globalThis, name, { get() { throw new DOMException('disabled', 'SecurityError'); } });
		}`
	storageFull = `
		const { setItem } = Storage.prototype;
		globalThis.kept = {
			getItem: name => sessionStorage.getItem(name),
			setItem: (name, text) => setItem.call(sessionStorage, name, text),
		};
		Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); };`
)

// TestNoStorage: without storage the client works, and says that it will not remember.
func TestNoStorage(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, script string
		promises     bool // at first, that it will remember
	}{
		{"disabled", storageDisabled, false},
		{"full", storageFull, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s, p := newSite(t), newProfile(t)
			tb := p.openClient(t, s, `{"name":"me"}`, row.script)
			other := p.openClient(t, s, `{"name":"me"}`, row.script)
			tb.await(t, "made", "persistent", row.promises)
			tb.await(t, "live")
			other.await(t, "live")
			s.publish(t, "orders", 10)
			s.check(t, "", tb, other)
			if value[bool](t, tb, `client.persistent`) {
				t.Error("the client says that it is persistent")
			}
			if n := len(s.subscribers(t)); n != 1 {
				t.Errorf("the server has %d subscribers, want 1", n)
			}

			tb.do(t, chromedp.Reload())
			tb.await(t, "made", "cursor", nil)
			tb.await(t, "live")
			s.publish(t, "orders", 1)
			s.check(t, "", other)
		})
	}
}

// TestPersistent: only a client with a name and with storage remembers.
func TestPersistent(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for options, want := range map[string]bool{`{"name":"me"}`: true, `{}`: false} {
		tb := newProfile(t).openClient(t, s, options)
		tb.await(t, "live")
		if got := value[bool](t, tb, `client.persistent`); got != want {
			t.Errorf("with the options %s the client is persistent: %v, want %v",
				options, got, want)
		}
		if got := value[int](t, tb, `Object.keys(localStorage).length`); (got > 0) != want {
			t.Errorf("with the options %s there are %d entries in storage", options, got)
		}
	}
}

// TestSandbox: in a page without an origin, which has neither storage nor locks, each tab is on its own.
func TestSandbox(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	var tabs []*tab
	for range 2 {
		tb := p.open(t, s.URL+"/test/sandbox?"+url.PathEscape(`{"name":"me"}`))
		tb.await(t, "made", "persistent", false)
		tb.await(t, "live")
		tabs = append(tabs, tb)
	}
	s.publish(t, "orders", 10)
	s.check(t, "", tabs...)
	if n := len(s.subscribers(t)); n != 2 {
		t.Errorf("the server has %d subscribers, want 2", n)
	}
}
