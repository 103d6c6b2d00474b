package deliver_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidings/deliver"
	"tidings/store"
)

// signed reports whether one of the signatures is by the secret (Standard Webhooks 1.0).
func signed(g got, secret string) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		panic(err)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(g.id + "." + g.header.Get("Webhook-Timestamp") + "." + g.body))
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for _, s := range strings.Fields(g.header.Get("Webhook-Signature")) {
		if s == want {
			return true
		}
	}
	return false
}

// TestRotation: a replaced secret signs too, for as long as set.
func TestRotation(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.put("shop", settings("orders"))
		send := func(what string, signs, not []string) {
			t.Helper()
			all := s.expectSent(s.publish(1, "orders"))
			for _, secret := range signs {
				if !signed(all[0], secret) {
					t.Errorf("%s: not signed by %s", what, secret)
				}
			}
			for _, secret := range not {
				if signed(all[0], secret) {
					t.Errorf("%s: signed by %s", what, secret)
				}
			}
		}
		second, third := newSecret('2'), newSecret('3')
		send("at first", []string{secret}, []string{second})
		changed := s.get("shop").SecretChanged
		time.Sleep(time.Hour)
		s.put("shop", deliver.Settings{Secret: second})
		send("replaced", []string{secret, second}, nil)
		if !s.get("shop").SecretChanged.After(changed) {
			t.Error("nobody is told of the change")
		}
		s.put("shop", deliver.Settings{Secret: second}) // the same again changes nothing
		s.close()
		s.open()
		send("after a restart", []string{secret, second}, nil)
		time.Sleep(24 * time.Hour)
		send("a day later", []string{second}, []string{secret})
		none := time.Duration(0)
		s.put("shop", deliver.Settings{Secret: third, Overlap: &none})
		send("at once", []string{third}, []string{secret, second})
	})
}

// TestForms: the content of a request, in both forms, and that nothing of an event can add a header.
func TestForms(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.put("whole", settings("a"))
		data := settings("a")
		data.Format = deliver.Data
		for _, d := range []store.Draft{
			{Topic: "a", Type: "order.created", ContentType: "application/json", Data: []byte(`{"a": 1}`)},
			{Topic: "a", Type: "单 50% ", ContentType: "text/plain; charset=utf-8", Data: []byte("naïve")},
			{Topic: "a", Type: "x\r\nEvil: 1", ContentType: "text/x\r\nEvil: 1", Data: []byte{0, 1}},
			{Topic: "a"},
		} {
			s.put("whole", settings("a"))
			all := send(t, s, d)
			var event struct{ ID, Type, Topic, Sequence string }
			if err := json.Unmarshal([]byte(all.body), &event); err != nil || event.ID != all.id ||
				event.Topic != "a" || event.Sequence != all.id ||
				all.header.Get("Content-Type") != "application/cloudevents+json" {
				t.Errorf("sent %s as %s (%v)", all.body, all.header.Get("Content-Type"), err)
			}
			if err := s.Delete(t.Context(), "whole"); err != nil {
				t.Fatal(err)
			}
			s.put("data", data)
			all = send(t, s, d)
			if all.body != string(d.Data) || !signed(all, secret) {
				t.Errorf("sent %q, want %q", all.body, d.Data)
			}
			if err := s.Delete(t.Context(), "data"); err != nil {
				t.Fatal(err)
			}
			for name, want := range map[string]string{"Tidings-Delivery": "data", "Tidings-Topic": "a",
				"User-Agent": "Tidings/1",
				"Evil":       "", "Content-Type": map[string]string{"application/json": "application/json",
					"text/plain; charset=utf-8": "text/plain; charset=utf-8", "": ""}[d.ContentType],
				"Tidings-Type": map[string]string{"order.created": "order.created", "": "message",
					"单 50% ": "%E5%8D%95 50%25%20"}[d.Type]} {
				if strings.Contains(d.Type, "\n") && (name == "Tidings-Type" || name == "Content-Type") {
					want = map[string]string{"Tidings-Type": "x%0D%0AEvil: 1",
						"Content-Type": "application/octet-stream"}[name]
				}
				if got := all.header.Get(name); got != want {
					t.Errorf("%q: header %s is %q, want %q", d.Type, name, got, want)
				}
			}
		}
	})
}

func send(t *testing.T, s *scene, d store.Draft) got {
	t.Helper()
	if _, err := store.Append(t.Context(), s.log, []store.Draft{d}); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	all := s.receiver.take()
	if len(all) != 1 {
		t.Fatalf("%d requests, want 1", len(all))
	}
	return all[0]
}

// TestTest: it goes out whatever the delivery does, is signed, and moves nothing.
func TestTest(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.put("shop", settings("orders"))
		if _, err := s.Pause(t.Context(), "shop"); err != nil {
			t.Fatal(err)
		}
		before := s.get("shop")
		s.receiver.set(func(int, got) *http.Response {
			time.Sleep(time.Second)
			return status(401)
		})
		result, err := s.Test(t.Context(), "shop")
		if err != nil || result.Status != 401 || result.Took != time.Second ||
			!strings.Contains(result.Error, "secret") {
			t.Errorf("result %+v (%v)", result, err)
		}
		s.receiver.set(nil)
		if result, err := s.Test(t.Context(), "shop"); err != nil || result.Status != 200 || result.Error != "" {
			t.Errorf("result %+v (%v)", result, err)
		}
		for _, g := range s.receiver.take() {
			if !strings.HasPrefix(g.id, "test-") || !signed(g, secret) ||
				!strings.Contains(g.body, `"tidings.test"`) {
				t.Errorf("sent %s: %s", g.id, g.body)
			}
		}
		if after := s.get("shop"); after.At != before.At || after.Due != "" || after.State != deliver.Paused {
			t.Errorf("status %+v", after)
		}
	})
}
