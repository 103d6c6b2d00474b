package deliver_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidings/deliver"
	"tidings/internal/outbound"
	"tidings/internal/seal"
	"tidings/replay"
	"tidings/store"
)

// wanting restarts with Options.Wants.
func (s *scene) wanting(wants func(string, *store.Event) bool) {
	s.t.Helper()
	s.close()
	s.begin(wants)
}

func (s *scene) begin(wants func(string, *store.Event) bool) {
	s.t.Helper()
	s.tail = replay.NewTail(s.log, replay.TailOptions{})
	sender, err := deliver.New(s.log, s.tail, deliver.Options{Guard: outbound.New(s.guard), Key: seal.NewFile(s.key),
		Client: &http.Client{Transport: s.receiver}, Version: "1", Wants: wants})
	if err != nil {
		s.t.Fatal(err)
	}
	s.Sender = sender
}

// TestWantsHalts: a delivery that passes over events can be paused, and ended with the server, at once.
func TestWantsHalts(t *testing.T) {
	for name, halt := range map[string]func(s *scene){
		"pause": func(s *scene) { s.Pause(s.t.Context(), "shop") },
		"close": func(s *scene) { s.Sender.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			test(t, func(t *testing.T, s *scene) {
				s.wanting(func(string, *store.Event) bool { time.Sleep(time.Second); return false })
				s.publish(200, "orders")
				set := settings("orders")
				set.From = &store.ID{}
				s.put("shop", set)
				time.Sleep(5 * time.Second)
				began := time.Now()
				halt(s)
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// TestWantsEnd: the same for a replay that is ended.
func TestWantsEnd(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		var slow atomic.Bool
		s.wanting(func(string, *store.Event) bool {
			if slow.Load() {
				time.Sleep(time.Second)
			}
			return false
		})
		s.put("shop", settings("orders"))
		s.publish(200, "orders")
		synctest.Wait()
		slow.Store(true)
		if _, err := s.Replay("shop", deliver.Replay{Start: replay.Earliest()}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		began := time.Now()
		_, err := s.EndRun("shop")
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the end took %v (%v), and it is %s", took, err, s.get("shop").Run.State)
		}
	})
}

// TestWantsPace: events that are not for a chat do not hold up others; those that were sent do, for the chat's pace.
func TestWantsPace(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.wanting(func(_ string, e *store.Event) bool { return e.Topic != "tickets" })
		to := s.team(deliver.Recipient{}, false)
		time.Sleep(time.Hour)
		s.publish(1, "tickets")
		synctest.Wait()
		s.publish(1, "orders.eu")
		if texts, _ := to.take(); len(texts) != 1 {
			t.Errorf("at once: %q", texts)
		}
		s.publish(2, "tickets", "orders.us")
		time.Sleep(time.Second - time.Millisecond)
		if texts, _ := to.take(); len(texts) != 0 {
			t.Errorf("within the pace: %q", texts)
		}
		time.Sleep(time.Millisecond)
		if texts, _ := to.take(); len(texts) != 1 || !strings.Contains(texts[0], "orders.us") {
			t.Errorf("after the pace: %q", texts)
		}
	})
}

// jsonKind is a service that takes JSON by a template.
func (s *scene) jsonKind(template string, key string) deliver.Settings {
	set := settings("orders")
	set.URL, set.Secret = "https://ntfy.example.com/", key
	set.Kind, set.Template = deliver.Custom, json.RawMessage(template)
	return set
}

// TestIncompleteKeepsSecret: a template cannot get the existing secret, whatever else is set.
func TestIncompleteKeepsSecret(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.put("any", s.jsonKind(`{"text":"{{text}}"}`, "hidden-token"))
		with := deliver.Settings{Recipient: deliver.Recipient{Template: json.RawMessage(`{"text":"{{secret}}"}`)}}
		if _, _, err := s.Put(t.Context(), "any", with); err == nil {
			t.Error("taken without incomplete")
		}
		with.Incomplete = true
		_, _, err := s.Put(t.Context(), "any", with)
		if err == nil {
			s.publish(1, "orders")
			for _, g := range s.takeAll() {
				t.Errorf("with incomplete it is taken, and sends %s", g.body)
			}
		}
	})
}

// TestEscapedSecret: an escape does not hide that a template has the secret.
func TestEscapedSecret(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.put("any", s.jsonKind(`{"text":"{{text}}"}`, "hidden-token"))
		with := deliver.Settings{Recipient: deliver.Recipient{Template: json.RawMessage(`{"text":"{{\u0073ecret}}"}`)}}
		if _, _, err := s.Put(t.Context(), "any", with); err == nil {
			s.publish(1, "orders")
			for _, g := range s.takeAll() {
				t.Errorf("taken, and sends %s, and the header %q", g.body, g.header.Get("Authorization"))
			}
		}
	})
}

// TestRunWants: runs beside the cursor ask Wants before each attempt, too.
func TestRunWants(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		var claimed atomic.Bool
		s.wanting(func(string, *store.Event) bool { return !claimed.Load() })
		set := settings("orders")
		set.OnGiveUp, set.GiveUpAfter = deliver.SetAside, time.Minute
		s.put("shop", set)
		s.publish(1, "orders")
		synctest.Wait()
		s.receiver.set(always(503))
		s.Replay("shop", deliver.Replay{Start: replay.Earliest()})
		synctest.Wait()
		claimed.Store(true)
		s.receiver.take()
		time.Sleep(30 * time.Second)
		if all := s.takeAll(); len(all) > 0 {
			t.Errorf("replay: %d attempts at what is not wanted any more", len(all))
		}
		time.Sleep(time.Hour)
		claimed.Store(false)
		s.publish(1, "orders")
		time.Sleep(time.Hour)
		s.receiver.set(nil)
		claimed.Store(true)
		s.receiver.take()
		if _, err := s.Redrive("shop", nil); err != nil {
			t.Fatal(err)
		}
		if all := s.takeAll(); len(all) > 0 {
			t.Errorf("redrive: %d requests for what is not wanted any more", len(all))
		}
	})
}

// TestRunOfDeadChat: a run to a chat that is gone ends at once.
func TestRunOfDeadChat(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.team(deliver.Recipient{}, false)
		s.publish(100, "orders.eu")
		time.Sleep(time.Hour)
		s.receiver.take()
		s.receiver.set(func(int, got) *http.Response { return answered(404, "no_service") })
		s.Replay("team", deliver.Replay{Start: replay.Earliest()})
		if n := len(s.takeAll()); n > 1 {
			t.Errorf("%d requests to a webhook that is gone; run %+v", n, s.get("team").Run)
		}
	})
}

// TestIncompleteChange: a delivery that waits for its secret can be changed meanwhile.
func TestIncompleteChange(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		set := s.jsonKind(`{"key":"{{secret}}"}`, "")
		set.URL, set.Incomplete = "", true
		s.put("any", set)
		if _, _, err := s.Put(t.Context(), "any", deliver.Settings{GiveUpAfter: time.Hour}); err != nil {
			t.Errorf("%v", err)
		}
	})
}

// TestLostKeyKeepsSecret: without the key a URL alone does not drop the secret.
func TestLostKeyKeepsSecret(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.put("any", s.jsonKind(`{"text":"{{text}}"}`, "hidden-token"))
		s.close()
		s.key += ".lost"
		s.open()
		status, _, err := s.Put(t.Context(), "any", deliver.Settings{URL: "https://ntfy.example.com/"})
		if err != nil {
			return
		}
		s.publish(1, "orders")
		for _, g := range s.takeAll() {
			t.Errorf("secret set: %v; Authorization %q", !status.SecretChanged.IsZero(), g.header.Get("Authorization"))
		}
	})
}

// TestWantsClock: a message that has lost some of its events keeps its clock.
func TestWantsClock(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		var gone atomic.Pointer[string]
		none := ""
		gone.Store(&none)
		s.wanting(func(_ string, e *store.Event) bool { return e.ID.String() > *gone.Load() })
		s.team(deliver.Recipient{}, true) // gives up after an hour
		s.Pause(t.Context(), "team")
		ids := strings.Fields(s.publish(8, "orders.eu"))
		s.receiver.set(always(500))
		s.Resume(t.Context(), "team")
		for _, id := range ids[:7] {
			time.Sleep(40 * time.Minute)
			gone.Store(&id)
		}
		time.Sleep(20 * time.Minute)
		status := s.get("team")
		if status.Dead == 0 {
			t.Errorf("after 5 h of an hour nothing is set aside; it is %s since %v", status.State, time.Since(status.First))
		}
	})
}

// TestWantsInOrder: in each order, with kills and failures, all wanted events come, in order within their topic, and
// nothing else.
func TestWantsInOrder(t *testing.T) {
	for _, order := range []deliver.Order{deliver.Strict, deliver.ByTopic, deliver.Parallel} {
		for seed := range uint64(4) {
			t.Run(fmt.Sprint(order, seed), func(t *testing.T) {
				test(t, func(t *testing.T, s *scene) {
					random, kills := rand.New(rand.NewPCG(seed, 6)), rand.New(rand.NewPCG(seed, 7))
					var mu sync.Mutex
					wants := func(_ string, e *store.Event) bool { return !strings.ContainsAny(string(e.Data), "357") }
					s.wanting(wants)
					s.receiver.set(func(_ int, r got) *http.Response {
						mu.Lock()
						n := random.IntN(8)
						mu.Unlock()
						switch n {
						case 0:
							return nil
						case 1:
							return status(500)
						}
						return slow(time.Duration(n)*50*time.Millisecond)(0, r)
					})
					set := ordered(order, "orders.>")
					set.InFlight = 3
					s.put("shop", set)
					all := strings.Fields(s.publish(200, "orders.a", "orders.b", "orders.c", "orders.a", "orders.d"))
					for range 8 {
						time.Sleep(time.Duration(kills.IntN(12)) * time.Second)
						s.log.fail(store.ErrClosed)
						s.close()
						s.log.fail(nil)
						s.begin(wants)
					}
					time.Sleep(24 * time.Hour)
					synctest.Wait()
					taken, last := map[string]bool{}, map[string]string{}
					for _, g := range s.receiver.take() {
						topic := g.header.Get("Tidings-Topic")
						if order == deliver.Strict {
							topic = ""
						}
						if g.id > last[topic] {
							if order != deliver.Parallel && last[topic] != "" && !taken[last[topic]] {
								t.Errorf("%s overtakes", g.id)
							}
							last[topic] = g.id
						}
						taken[g.id] = taken[g.id] || g.ok
					}
					want := 0
					for i, id := range all {
						wanted := !strings.ContainsAny(fmt.Sprint(i), "357")
						if wanted {
							want++
						}
						if wanted != taken[id] {
							t.Errorf("%d: wanted %v, taken %v", i, wanted, taken[id])
						}
					}
					st := s.get("shop")
					if st.At.String() != all[len(all)-1] || s.rows() != 1 || len(taken) != want {
						t.Errorf("at %s want %s, %d rows, %d of %d", st.At, all[len(all)-1], s.rows(), len(taken), want)
					}
				})
			})
		}
	}
}

// TestPeopleHaveOneOrder: a chat gets everything present in one message, so no other order is accepted.
func TestPeopleHaveOneOrder(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.team(deliver.Recipient{}, false)
		for _, set := range []deliver.Settings{{Order: deliver.ByTopic}, {Order: deliver.Parallel}, {InFlight: 2}} {
			_, _, err := s.Put(t.Context(), "team", set)
			if invalid := (*deliver.InvalidError)(nil); !errors.As(err, &invalid) || invalid.Field != "order" {
				t.Errorf("%+v: %v", set, err)
			}
		}
	})
}

// TestReplayToPeople: a replay to a chat keeps the pace of its service.
func TestReplayToPeople(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		to := s.team(deliver.Recipient{}, false)
		s.publish(200, "orders.eu")
		time.Sleep(time.Hour)
		to.take()
		if _, err := s.Replay("team", deliver.Replay{Start: replay.Earliest()}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if texts, refused := to.take(); len(texts) != 200 || refused > 0 {
			t.Errorf("%d messages, and %d refused for the rate", len(texts), refused)
		}
	})
}
