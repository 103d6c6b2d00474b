package examples_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestInbox: a person's notices are on all devices, whatever was killed in between, and marked read on all when they
// are read on one. Nobody else sees them.
func TestInbox(t *testing.T) {
	t.Parallel()
	s := newPlace(t)
	env := []string{"TIDINGS_JWT_KEY=" + jwtKey}
	app := startProgram(t, "inbox", append(env, "TIDINGS_URL="+s.url()))
	s.start(t, env, "--cors-origin", app)
	notify(t, app, "42", "order-1001-shipped", "Your order is on its way")

	laptop, phone, other := newProfile(t).open(t, app+"/login/42"),
		newProfile(t).open(t, app+"/login/42"), newProfile(t).open(t, app+"/login/43")
	other.await(t, textOf("state"), "live")
	for _, device := range []*tab{laptop, phone} {
		device.await(t, linesOf("notices"), "Your order is on its way")
		device.await(t, textOf("badge"), "1")
	}

	var wg sync.WaitGroup
	s.Kill()
	// waits for the server
	wg.Go(func() { notify(t, app, "42", "order-1001-delivered", "It <b>arrived</b>") })
	laptop.await(t, textOf("state"), "connecting")
	s.start(t, env, "--cors-origin", app)
	wg.Wait()
	notify(t, app, "42", "order-1001-delivered", "It <b>arrived</b>") // sent twice
	for _, device := range []*tab{laptop, phone} {
		device.await(t, linesOf("notices"), "It <b>arrived</b>\nYour order is on its way")
		device.await(t, textOf("badge"), "2")
	}

	laptop.do(t, chromedp.Click("#read"))
	for _, device := range []*tab{laptop, phone} {
		device.await(t, textOf("badge"), "")
		device.await(t, "document.querySelectorAll('.unread').length", "0")
	}
	phone.do(t, chromedp.Reload())
	phone.await(t, linesOf("notices"), "It <b>arrived</b>\nYour order is on its way")
	notify(t, app, "42", "", "How was it?")
	for _, device := range []*tab{laptop, phone} {
		device.await(t, textOf("badge"), "1")
		device.await(t, "[...document.querySelectorAll('.unread')].map(li => li.textContent)",
			"How was it?")
	}

	notify(t, app, "43", "", "Hello")
	other.await(t, linesOf("notices"), "Hello")
	other.await(t, textOf("badge"), "1")
}

// TestInboxGrants: a user's token opens this user's inbox, for reading, and nothing else.
func TestInboxGrants(t *testing.T) {
	t.Parallel()
	s := newPlace(t)
	env := []string{"TIDINGS_JWT_KEY=" + jwtKey}
	app := startProgram(t, "inbox", append(env, "TIDINGS_URL="+s.url()))
	s.start(t, env)
	for _, user := range []string{"", ">", "*", "42.reads"} {
		if resp, _ := send(t, http.MethodGet, app+"/session", http.Header{"Cookie": {"user=" +
			user}}, ""); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("user %q is answered %s", user, resp.Status)
		}
		if resp, _ := send(t, http.MethodPost, app+"/notify/"+url.PathEscape("x"+user), nil,
			"text"); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("to notify user %q is answered %s", user, resp.Status)
		}
	}
	_, content := send(t, http.MethodGet, app+"/session", http.Header{"Cookie": {"user=42"}}, "")
	var session struct{ Token string }
	if err := json.Unmarshal(content, &session); err != nil {
		t.Fatal(err)
	}
	bearer := http.Header{"Authorization": {"Bearer " + session.Token}}
	for _, row := range []struct {
		method, path string
		want         int
	}{
		{http.MethodGet, "/v1/topics/users.42/events", http.StatusOK},
		{http.MethodGet, "/v1/topics/users.43/events", http.StatusForbidden},
		{http.MethodGet, "/v1/events?topic=users.*", http.StatusForbidden},
		{http.MethodPost, "/v1/topics/users.42.reads/events", http.StatusCreated},
		{http.MethodPost, "/v1/topics/users.42/events", http.StatusForbidden},
		{http.MethodPost, "/v1/topics/users.43.reads/events", http.StatusForbidden},
		{http.MethodGet, "/v1/subscribers", http.StatusForbidden},
	} {
		if resp, _ := send(t, row.method, s.url()+row.path, bearer,
			"{}"); resp.StatusCode != row.want {
			t.Errorf("%s %s is answered %s, want %d", row.method, row.path, resp.Status, row.want)
		}
	}
}

// notify makes the app notify a user, and may be called from any goroutine.
func notify(t *testing.T, app, user, key, text string) {
	resp, err := http.Post(app+"/notify/"+user+"?key="+key, "text/plain", strings.NewReader(text))
	if err != nil {
		t.Error(err)
		return
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		t.Errorf("to notify user %s is answered %s", user, resp.Status)
	}
}
