package deliver_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidings/deliver"
	"tidings/internal/outbound"
	"tidings/internal/seal"
	"tidings/store"
)

// TestGap: deleted events are reported once, before what follows them, under one ID however often it is tried.
func TestGap(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.put("shop", settings("orders"))
		first := s.publish(1, "orders")
		s.expectSent(first)
		s.receiver.set(always(500))
		id := strings.Fields(s.publish(10, "orders"))
		time.Sleep(time.Hour)
		trim := func(before string) {
			at, _ := store.ParseID(before)
			if _, err := s.log.Trim(t.Context(), store.All(), at); err != nil {
				t.Fatal(err)
			}
		}
		trim(id[4])
		s.receiver.take()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		gap := "gap-" + first + "-" + id[3]
		all := s.receiver.take()
		if len(all) < 2 || ids(all) != strings.TrimSpace(strings.Repeat(gap+" ", len(all))) {
			t.Fatalf("sent %q, want %s alone", ids(all), gap)
		}
		trim(id[6]) // more is deleted meanwhile
		s.kill()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		all = s.receiver.take()
		if len(all) < 2 || ids(all) != strings.TrimSpace(strings.Repeat(gap+" ", len(all))) {
			t.Fatalf("after a kill %q, want the same gap", ids(all))
		}
		var event struct {
			Type, Source string
			Data         struct{ Reason, Requested, Through string }
		}
		if err := json.Unmarshal([]byte(all[0].body), &event); err != nil || event.Type != "tidings.gap" ||
			event.Source != "/v1/deliveries/shop" || event.Data.Reason != "expired" ||
			event.Data.Requested != first || event.Data.Through != id[3] {
			t.Errorf("the gap is %s (%v)", all[0].body, err)
		}
		s.receiver.set(nil)
		time.Sleep(time.Hour)
		s.expectSent(gap + " gap-" + first + "-" + id[5] + " " + strings.Join(id[6:], " "))
		s.kill()
		time.Sleep(time.Hour)
		s.expectSent("")
	})
}

// TestGapIsKept: a gap is the same after a kill during its first attempt, and is not reported again while what follows
// it fails.
func TestGapIsKept(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.put("shop", settings("orders"))
		first := s.publish(1, "orders")
		time.Sleep(2 * time.Second)
		s.expectSent(first)
		s.close()
		id := strings.Fields(s.publish(10, "orders"))
		trim := func(before string) {
			at, _ := store.ParseID(before)
			if _, err := s.log.Trim(t.Context(), store.All(), at); err != nil {
				t.Fatal(err)
			}
		}
		trim(id[4])
		s.receiver.set(always(500))
		s.open()
		gap := "gap-" + first + "-" + id[3]
		s.expectSent(gap)
		trim(id[6])
		s.kill()
		s.expectSent(gap)
		trim(id[6])
		s.receiver.set(func(_ int, r got) *http.Response {
			return status(map[bool]int{true: 200, false: 500}[strings.HasPrefix(r.id, "gap-")])
		})
		time.Sleep(time.Hour)
		s.kill()
		time.Sleep(time.Hour)
		synctest.Wait()
		all := s.receiver.take()
		if len(all) < 4 || !strings.HasPrefix(ids(all), gap+" gap-"+first+"-"+id[5]+" "+id[6]) ||
			strings.Count(ids(all), "gap-") != 2 {
			t.Errorf("sent %s", ids(all))
		}
	})
}

// TestIdentity: a copy of a log sends nothing until an administrator confirms it.
func TestIdentity(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.put("shop", settings("orders"))
		s.put("mail", settings("orders"))
		list, err := s.log.Deliveries()
		if err != nil {
			t.Fatal(err)
		}
		s.close()
		s.log.Close()
		s.log = newLog() // another identity
		if err := s.log.SetDeliveries(t.Context(), list, false); err != nil {
			t.Fatal(err)
		}
		s.open()
		id := s.publish(1, "orders")
		time.Sleep(time.Hour)
		s.expectSent("")
		if r := s.expect("shop", deliver.Held).Reason; !strings.Contains(r, "resume --all") {
			t.Errorf("held for %q", r)
		}
		s.put("new", settings("orders")) // belongs to this log
		s.put("mail", deliver.Settings{GiveUpAfter: time.Hour})
		more := s.publish(1, "orders")
		s.expectSent(more)
		s.expect("mail", deliver.Held)
		if n, err := s.ResumeAll(t.Context()); n != 2 || err != nil {
			t.Errorf("resumed %d (%v), want 2", n, err)
		}
		synctest.Wait()
		if n := len(s.receiver.take()); n != 4 {
			t.Errorf("%d requests once resumed, want 4 of %s %s", n, id, more)
		}
		s.kill()
		s.expect("shop", deliver.Running)
	})
}

// TestSecretsKey: without it only sending stalls, and continues when the file is back.
func TestSecretsKey(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.put("shop", settings("orders"))
		s.put("mail", settings("mails"))
		list, _ := s.log.Deliveries()
		for _, part := range []string{"capability", "/hooks", secret, strings.TrimPrefix(secret, "whsec_")} {
			if strings.Contains(fmt.Sprintf("%s", list), part) {
				t.Errorf("the log has %q: %s", part, list)
			}
		}
		s.close()
		away := s.key + ".away"
		if err := os.Rename(s.key, away); err != nil {
			t.Fatal(err)
		}
		s.open()
		id := s.publish(1, "orders")
		time.Sleep(time.Hour)
		s.expectSent("")
		if r := s.expect("shop", deliver.Locked).Reason; !strings.Contains(r, s.key) {
			t.Errorf("locked for %q, want the name of the file", r)
		}
		_, _, err := s.Put(t.Context(), "new", settings("orders"))
		if _, found := os.Stat(s.key); !errors.Is(err, deliver.ErrKey) || found == nil {
			t.Errorf("a new one without the key: %v, want ErrKey and no other key", err)
		}
		if err := os.Rename(away, s.key); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		s.expectSent(id)
		s.expect("shop", deliver.Running)
	})
}

// TestOtherSecretsKey: the same under another key, until the right file is put back.
func TestOtherSecretsKey(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.put("shop", settings("orders"))
		s.close()
		away := s.key + ".away"
		if err := os.Rename(s.key, away); err != nil {
			t.Fatal(err)
		}
		if _, err := seal.NewFile(s.key).Seal(nil, "something else"); err != nil {
			t.Fatal(err)
		}
		s.open()
		id := s.publish(1, "orders")
		time.Sleep(time.Hour)
		s.expectSent("")
		if r := s.expect("shop", deliver.Locked).Reason; !strings.Contains(r, seal.ErrOtherKey.Error()) {
			t.Errorf("locked for %q, want another key", r)
		}
		if _, _, err := s.Put(t.Context(), "new", settings("orders")); !errors.Is(err, deliver.ErrKey) {
			t.Errorf("a new one under another key: %v, want ErrKey", err)
		}
		if err := os.Rename(away, s.key); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		s.expectSent(id)
		s.expect("shop", deliver.Running)
	})
}

// TestSecretsKeyLost: with the right key lost, each delivery can be set again under another key; then new ones can be
// created.
func TestSecretsKeyLost(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.put("shop", settings("orders"))
		s.put("mail", settings("mails"))
		s.close()
		s.key += ".other"
		if _, err := seal.NewFile(s.key).Seal(nil, "something else"); err != nil {
			t.Fatal(err)
		}
		s.open()
		for _, name := range []string{"shop", "mail", "new"} {
			s.put(name, settings("orders"))
			s.expect(name, deliver.Running)
		}
	})
}

// TestSettings: a wrong setting is refused by name and changes nothing; an omitted one stays.
func TestSettings(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		minute := -time.Minute
		for field, wrong := range map[string]func(*deliver.Settings){
			"url":            func(set *deliver.Settings) { set.URL = "" },
			"topics":         func(set *deliver.Settings) { set.Topics = store.Filter{} },
			"secret":         func(set *deliver.Settings) { set.Secret = "" },
			"secret ":        func(set *deliver.Settings) { set.Secret = "whsec_c2hvcnQ=" },
			"secret  ":       func(set *deliver.Settings) { set.Secret = strings.TrimPrefix(secret, "whsec_") },
			"url ":           func(set *deliver.Settings) { set.URL = "ftp://shop.example.com" },
			"format":         func(set *deliver.Settings) { set.Format = "xml" },
			"give_up_after":  func(set *deliver.Settings) { set.GiveUpAfter = time.Second - time.Millisecond },
			"give_up_after ": func(set *deliver.Settings) { set.GiveUpAfter = -time.Second },
			"secret_overlap": func(set *deliver.Settings) { set.Overlap = &minute },
		} {
			set := settings("orders")
			wrong(&set)
			var invalid *deliver.InvalidError
			if _, _, err := s.Put(t.Context(), "shop", set); !errors.As(err, &invalid) ||
				invalid.Field != strings.TrimSpace(field) || strings.Contains(err.Error(), "c2hvcnQ") {
				t.Errorf("%s: %v, want it refused", field, err)
			}
		}
		set := settings("orders")
		set.URL = "https://169.254.169.254/latest/meta-data/"
		var refused *outbound.Refused
		if _, _, err := s.Put(t.Context(), "shop", set); !errors.As(err, &refused) {
			t.Errorf("a metadata address: %v, want a refusal", err)
		}
		set = settings("orders")
		set.May = func(f store.Filter) error { return errors.New("not " + f.String()) }
		if _, _, err := s.Put(t.Context(), "shop", set); err == nil || err.Error() != "not orders" {
			t.Errorf("without the grant: %v", err)
		}
		if len(s.List("", 10)) != 0 {
			t.Fatal("something was made")
		}
		s.put("shop", settings("orders"))
		if _, _, err := s.Put(t.Context(), "shop", deliver.Settings{From: &store.ID{}}); err == nil {
			t.Error("from of one that is there is taken")
		}
		if _, _, err := s.Put(t.Context(), "shop", deliver.Settings{May: set.May}); err == nil {
			t.Error("topics that were there are changed without the grant")
		}
		s.put("shop", deliver.Settings{GiveUpAfter: time.Hour})
		status := s.get("shop")
		if status.GiveUpAfter != time.Hour || status.Topics[0] != "orders" || status.CreatedBy != "admin" ||
			status.Origin != "https://shop.example.com" {
			t.Errorf("status %+v", status)
		}
		id := s.publish(1, "orders")
		s.expectSent(id)
	})
}

// TestRefusedWhenDialled: an address that may no longer be reached is a failure that names the flag.
func TestRefusedWhenDialled(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.close()
		s.guard = outbound.Options{Allow: loopback, HTTP: true}
		s.open()
		set := settings("orders")
		set.URL = "http://127.0.0.1:9/hook"
		s.put("shop", set)
		s.close()
		s.guard = outbound.Options{HTTP: true}
		s.open()
		s.publish(1, "orders")
		s.expectSent("")
		if f := s.expect("shop", deliver.Failing).Failure; !strings.Contains(f, "--deliver-to 127.0.0.1/32") {
			t.Errorf("it fails with %q, want the flag", f)
		}
	})
}
