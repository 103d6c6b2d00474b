package api_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"tidings/api"
	"tidings/internal/sse"
	"tidings/store"
)

// follower reads a stream in the background until it is cut, as a page does.
type follower struct {
	st     *stream
	done   chan struct{}
	lastID string
	got    []string
	gaps   int
	byes   map[string]int // by reason
}

// follow opens a stream with the cursor and further headers, over the pipe that cut closes.
func (s *piped) follow(query, cursor string, headers ...string) (f *follower, cut func()) {
	s.t.Helper()
	text := "GET /v1/stream?" + query + " HTTP/1.1\r\nHost: localhost\r\n"
	if cursor != "" {
		text += "Last-Event-ID: " + cursor + "\r\n"
	}
	for _, h := range headers {
		if h != "" {
			text += h + "\r\n"
		}
	}
	conn, r := s.send(text + "\r\n")
	f = &follower{done: make(chan struct{}), lastID: cursor, byes: make(map[string]int)}
	f.st = s.read(r)
	go func() {
		defer close(f.done)
		for {
			e, err := f.st.Next()
			if err != nil {
				return // it was cut
			}
			f.see(e)
		}
	}()
	return f, func() {
		conn.Close()
		<-f.done
	}
}

func (f *follower) see(e sse.Event) {
	if id := f.st.LastEventID(); id != "" { // a response without any ID leaves the cursor alone
		f.lastID = id
	}
	switch {
	case e.Type == "tidings.gap":
		f.gaps++
	case e.Type == "tidings.bye":
		var bye struct{ Reason string }
		if err := json.Unmarshal(e.Data, &bye); err == nil {
			f.byes[bye.Reason]++
		}
	case !isControl(e):
		f.got = append(f.got, e.ID)
	}
}

// TestQuietSubscriberIsNotLeftBehind: a subscriber whose topic is quiet for an hour, on a busy log
// that keeps five minutes, resumes without a gap, because heartbeats have moved its cursor.
func TestQuietSubscriberIsNotLeftBehind(t *testing.T) {
	bubble(t, api.Options{Heartbeat: 15 * time.Second}, func(t *testing.T, s *piped) {
		f, cut := s.follow("topic=orders", "")
		order := appendTo(t, s.log, "orders").String()
		for range 360 {
			time.Sleep(10 * time.Second) // the bubble's clock
			appendTo(t, s.log, "noise")
			if _, err := s.log.Trim(t.Context(), store.All(),
				store.FirstIDAt(time.Now().Add(-5*time.Minute))); err != nil {
				t.Fatal(err)
			}
		}
		cut()
		if f.lastID <= order || !slices.Equal(f.got, []string{order}) {
			t.Fatalf("cursor %s after the event %s, got %v", f.lastID, order, f.got)
		}
		missed := appendTo(t, s.log, "orders").String()
		again, cut := s.follow("topic=orders", f.lastID)
		time.Sleep(time.Second)
		cut()
		if again.gaps != 0 || !slices.Equal(again.got, []string{missed}) {
			t.Errorf("after the return: %d gaps, got %v, want %s alone", again.gaps,
				again.got, missed)
		}
	})
}

// TestCheckpointsNeverSkip: over random schedules of publishing, waiting and cutting, whatever ID a client reconnects
// with, of an event or of a heartbeat, it gets every matching event once, in order.
func TestCheckpointsNeverSkip(t *testing.T) {
	moved := 0 // how often a client reconnected with a heartbeat's ID
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			// A tail that is sometimes in step and sometimes behind by more than a heartbeat.
			behind := time.Duration(seed%3) * 700 * time.Millisecond
			bubbleBehind(t, api.Options{Heartbeat: time.Second}, behind,
				func(t *testing.T, s *piped) {
					rng := rand.New(rand.NewPCG(seed, 1))
					var want, got []string
					f, cut := s.follow("topic=orders.*", "")
					time.Sleep(time.Millisecond)
					for range 200 {
						switch rng.IntN(5) {
						case 0, 1:
							want = append(want, appendTo(t, s.log, "orders.eu").String())
						case 2:
							appendTo(t, s.log, "noise")
						case 3:
							time.Sleep(time.Duration(rng.IntN(1500)) * time.Millisecond)
						case 4:
							cut()
							got = append(got, f.got...)
							if len(got) > 0 && f.lastID > got[len(got)-1] {
								moved++
							}
							f, cut = s.follow("topic=orders.*", f.lastID)
						}
					}
					time.Sleep(5 * time.Second)
					cut()
					if got = append(got, f.got...); !slices.Equal(got, want) {
						t.Errorf("got %d events, want %d: %v, %v", len(got), len(want), got, want)
					}
				})
		})
	}
	if moved < 30 {
		t.Errorf("a heartbeat moved the cursor %d times: the schedules test too little", moved)
	}
}
