package api_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tidings/api"
	"tidings/store"
)

// TestReturnAfterBye: whatever reason the server ends a stream for, its client reconnects with its last ID and has
// missed nothing, and got nothing twice. An event is published every second throughout.
func TestReturnAfterBye(t *testing.T) {
	for name, c := range map[string]struct {
		options api.Options
		reason  string
		tokens  bool
	}{
		"lifetime":      {api.Options{MaxLifetime: 20 * time.Second}, "lifetime", false},
		"expired token": {api.Options{}, "expired-token", true},
		"overloaded":    {api.Options{MaxStreams: 1}, "overloaded", false},
	} {
		t.Run(name, func(t *testing.T) {
			bubbleOf(t, func(t *testing.T) api.Options {
				o := c.options
				if c.tokens {
					o.Now = time.Now
					o = keyed(t, o)
				}
				return o
			}, func(t *testing.T, s *piped) {
				var want []string
				var publishing atomic.Bool
				publishing.Store(true)
				stopped := make(chan struct{})
				go func() {
					defer close(stopped)
					for publishing.Load() {
						want = append(want, appendTo(t, s.log, "orders").String())
						time.Sleep(time.Second)
					}
				}()
				if c.reason == "overloaded" { // somebody else has the seat for a minute
					_, cut := s.follow("", "")
					time.AfterFunc(time.Minute, cut)
				}
				byes := 0
				visit := func(got []string, cursor string) ([]string, string) {
					header := ""
					if c.tokens {
						header = bearer(holder{subscribe: ">", publish: ">",
							expires: 15 * time.Second}.token(t))
					}
					f, cut := s.follow("since=earliest", cursor, header)
					select {
					case <-f.done: // the server ended it
						byes += f.byes[c.reason]
						time.Sleep(3 * time.Second) // as long as retry may ask for
					case <-time.After(30 * time.Second):
						cut()
					}
					return append(got, f.got...), f.lastID
				}
				var got []string
				cursor := ""
				for begin := time.Now(); time.Since(begin) < 3*time.Minute; {
					got, cursor = visit(got, cursor)
				}
				publishing.Store(false)
				<-stopped
				got, _ = visit(got, cursor)
				if !slices.Equal(got, want) {
					t.Errorf("got %d events, want %d", len(got), len(want))
				}
				if byes < 2 {
					t.Errorf("%d byes for %q: the test shows nothing", byes, c.reason)
				}
			})
		})
	}
}

// TestReadMarkOfSeveralDevices: whatever several devices do, a mark is where the furthest of them has read, and its
// number of unread events is what a recount finds.
func TestReadMarkOfSeveralDevices(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := start(t)
		ids := []string{store.ID{}.String()}
		furthest := 0
		check := func(a answer) {
			var m struct {
				ID     string
				Unread int
			}
			a.decode(t, &m)
			if recount := len(s.page("topic=users.me&limit=1000&after=" +
				m.ID).Events); m.ID != ids[furthest] || m.Unread != recount {
				rt.Fatalf("%s: want %s, and %d unread", a.body, ids[furthest], recount)
			}
		}
		s.do("PUT", "/v1/cursors/inbox", fmt.Sprintf(`{"id":%q,"topics":["users.me"]}`, ids[0]))
		rt.Repeat(map[string]func(*rapid.T){
			"publish": func(rt *rapid.T) {
				ids = append(ids, s.publish(rapid.SampledFrom(list("users.me users.you")).Draw(rt,
					"topic"), "1"))
			},
			"read": func(rt *rapid.T) { // any device, up to anywhere
				at := rapid.IntRange(0, len(ids)-1).Draw(rt, "up to")
				furthest = max(furthest, at)
				check(s.do("PUT", "/v1/cursors/inbox", fmt.Sprintf(`{"id":%q}`, ids[at])))
			},
			"trim": func(rt *rapid.T) { s.trim(rapid.SampledFrom(ids).Draw(rt, "before"), ">") },
			"look": func(rt *rapid.T) { check(s.do("GET", "/v1/cursors/inbox", "")) },
		})
	})
}
