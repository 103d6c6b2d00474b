package api_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tidings/api"
	"tidings/internal/auth"
	"tidings/replay"
	"tidings/store"
)

const events = "a1 b1 a2 b2 a3" // of most tests

// TestScriptBegins: the head of a stream, and what follows it up to live, from each kind of start.
func TestScriptBegins(t *testing.T) {
	for _, c := range []struct {
		name  string
		start func(s *scene) replay.Start
		want  string
	}{
		{"latest", func(*scene) replay.Start { return replay.Latest() },
			"retry+open@a3 live@a3 15s"},
		{"earliest", func(*scene) replay.Start { return replay.Earliest() },
			"retry+open@0 a1+a2+a3 live@a3 15s"},
		{"resume", func(s *scene) replay.Start { return s.after("a1") },
			"retry+open@a1,resumed a2+a3 live@a3 15s"},
		{"resume with nothing to come", func(s *scene) replay.Start { return s.after("a3") },
			"retry+open@a3,resumed live@a3 15s"},
		{"expired", func(s *scene) replay.Start { s.trim("a3", "a"); return s.after("a1") },
			"retry+gap:expired@a2+open@a1,resumed a3 live@a3 15s"},
		{"expired, and nothing is left", func(s *scene) replay.Start {
			s.publish("b3")
			s.trim("b3", ">")
			return s.after("a1")
		}, "retry+gap:expired@a3+open@a1,resumed live@b3 15s"},
		{"malformed", func(*scene) replay.Start { return replay.After("42") },
			"retry+gap:malformed@a3+open@a3 live@a3 15s"},
		{"ahead", func(*scene) replay.Start { return replay.After(store.MaxID.String()) },
			"retry+gap:ahead@a3+open@a3 live@a3 15s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, api.Options{}, events, func(s *scene) {
				s.subscribe("a", c.start(s))
				s.plays(c.want)
			})
		})
	}
}

// TestScriptLooksBeforeItWaits: an event that is committed between a stream's first look and its first step is not left
// to the next wake-up: its own may have come before anybody waited.
func TestScriptLooksBeforeItWaits(t *testing.T) {
	onStage(t, api.Options{}, events, func(s *scene) {
		s.subscribe("a", replay.Latest())
		s.publish("a4")
		s.plays("retry+open@a3 live@a3 a4 15s")
	})
}

// TestScriptFollows: events are sent as they arrive, from memory, and each silence ends with a heartbeat whose ID is
// how far the stream has looked. Silence is measured from the last write.
func TestScriptFollows(t *testing.T) {
	onStage(t, api.Options{Heartbeat: 10 * time.Second}, events, func(s *scene) {
		s.subscribe("a", replay.Latest())
		s.plays("retry+open@a3 live@a3 10s")
		s.publish("a4 a5")
		s.plays("a4+a5 10s")
		s.now = s.now.Add(4 * time.Second)
		s.publish("b3")
		s.plays("6s") // woken, or not: it was not for this stream
		s.now = s.now.Add(6 * time.Second)
		s.plays("heartbeat@b3 10s")
		s.now = s.now.Add(10 * time.Second)
		s.publish("a6")
		s.plays("a6 10s") // an event breaks the silence as well as a heartbeat
		s.now = s.now.Add(9 * time.Second)
		s.plays("1s")
		s.now = s.now.Add(time.Second)
		s.plays("heartbeat@a6 10s")
	})
}

// TestScriptCountsFromTheWrite: a client that accepted a write slowly does not get a heartbeat at once.
func TestScriptCountsFromTheWrite(t *testing.T) {
	onStage(t, api.Options{}, events, func(s *scene) {
		s.subscribe("a", s.after("a2"))
		for range 3 { // head, event, live
			s.step(nil)
			s.now = s.now.Add(time.Minute)
		}
		s.plays("15s")
	})
}

// TestScriptReadsTheLog: what the tail does not hold comes from the log, page by page, each announced. live comes
// after everything that was committed before the stream began, however far the tail is behind.
func TestScriptReadsTheLog(t *testing.T) {
	var many strings.Builder
	for i := range 600 {
		fmt.Fprintf(&many, "a%03d ", i)
	}
	onStage(t, api.Options{}, "", func(s *scene) {
		s.log.deaf = true
		s.tail.Close() // it stays where it was before it knew the events
		s.publish(many.String())
		s.subscribe("a", replay.Earliest())
		names := list(many.String())
		page := func(from, to int) string { return strings.Join(names[from:to], "+") }
		s.plays("retry+open@0 " + page(0, 256) + " log " + page(256, 512) + " log " +
			page(512, 600) + " log live@a599 log 15s")
	})
}

// TestScriptLimitsItsWrites: a step is about 64 KiB at most, unless a single event is larger, whether from memory or
// from a page of the log, whose rest is served from memory. (scene.step checks the sizes.)
func TestScriptLimitsItsWrites(t *testing.T) {
	onStage(t, api.Options{}, "a1", func(s *scene) {
		s.subscribe("a", s.after("a1"))
		s.plays("retry+open@a1,resumed live@a1 15s")
		large := strings.Repeat("x", 40<<10)
		s.publish("a2-" + large + " a3-" + large + " a4-" + large + large)
		s.plays("a2-" + large + " a3-" + large + " a4-" + large + large + " 15s")
	})
	onStage(t, api.Options{}, "", func(s *scene) {
		for i := range 256 { // a page full in number and in bytes, whose frames are larger
			s.publish(fmt.Sprintf("a%0250d", i))
		}
		s.subscribe("a", replay.Earliest())
		s.step(nil) // head
		first, _ := s.step(nil)
		rest, _ := s.step(nil)
		if first.Events+rest.Events != 256 || rest.Events == 0 {
			t.Errorf("%d and %d events in the two steps of a page", first.Events, rest.Events)
		}
	})
}

// TestScriptScans: while there is more of the log to search the stream does not wait, is not live, and its heartbeats
// move the cursor.
func TestScriptScans(t *testing.T) {
	onStage(t, api.Options{}, "b1 b2 b3 a1", func(s *scene) {
		s.log.scanning = true
		s.subscribe("a", replay.Earliest())
		var words []string
		for range 4 {
			_, word := s.step(nil)
			words = append(words, word)
			s.now = s.now.Add(8 * time.Second)
		}
		if got, want := strings.Join(words, " "), "retry+open@0 log log heartbeat@b3"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		s.plays("log a1 live@a1 15s")
	})
}

// TestScriptGapInMidStream: what is trimmed or found damaged while the stream runs is reported before the first event
// after the hole.
func TestScriptGapInMidStream(t *testing.T) {
	t.Run("expired", func(t *testing.T) {
		onStage(t, api.Options{}, events, func(s *scene) {
			s.subscribe("a", s.after("a1"))
			s.plays("retry+open@a1,resumed a2+a3 live@a3 15s")
			s.publish("a4 a5 b3")
			s.trim("a5", "a")
			s.plays("log gap:expired@a4 a5 15s")
		})
	})
	t.Run("expired, and nothing is left", func(t *testing.T) {
		onStage(t, api.Options{}, events, func(s *scene) {
			s.subscribe("a", s.after("a3"))
			s.plays("retry+open@a3,resumed live@a3 15s")
			s.publish("a4 b3")
			s.trim("b3", "a")
			s.plays("log gap:expired@a4 15s")
			s.now = s.now.Add(15 * time.Second)
			s.plays("heartbeat@b3 15s")
		})
	})
	t.Run("corrupt", func(t *testing.T) {
		onStage(t, api.Options{}, events, func(s *scene) {
			s.log.scanning, s.log.damaged = true, map[string]bool{"a2": true}
			s.subscribe("a", replay.Earliest())
			s.plays("retry+open@0 a1 log log gap:corrupt@a2 log log a3 live@a3 15s")
		})
	})
}

// TestScriptEnds: why a stream ends, what its client gets, and that nothing more is read.
func TestScriptEnds(t *testing.T) {
	gone := errors.New("the client is gone")
	for _, c := range []struct {
		name string
		cut  error
		want string
	}{
		{"shutdown", api.ByeShutdown, "bye:shutdown+end"},
		{"disconnected", api.ByeDisconnected, "bye:disconnected+end"},
		{"wrapped", fmt.Errorf("admin: %w", api.ByeDisconnected), "bye:disconnected+end"},
		{"the client is gone", gone, "end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, api.Options{}, events, func(s *scene) {
				s.subscribe("a", replay.Earliest())
				if _, head := s.step(c.cut); head != "retry+open@0" {
					t.Errorf("the head is %s, and comes in any case", head)
				}
				s.ends(c.cut, c.want) // events or not
			})
			onStage(t, api.Options{}, events, func(s *scene) {
				s.subscribe("a", replay.Latest())
				s.plays("retry+open@a3 live@a3 15s")
				s.trim("a3", "a")
				if _, word := s.step(nil); word != "15s" {
					t.Errorf("got %s, want to wait", word)
				}
				s.publish("a4")
				s.trim("a4", ">") // above the position: memory is no longer sufficient
				s.ends(c.cut, c.want)
			})
		})
	}
	onStage(t, api.Options{}, events, func(s *scene) {
		s.subscribe("a", replay.Latest())
		s.plays("retry+open@a3 live@a3 15s")
		s.publish("a4 b3")
		s.trim("b3", ">")
		if _, word := s.step(nil); word != "log" {
			t.Errorf("got %s, want an announcement", word)
		}
		s.readsLog = false // not any more
		s.ends(api.ByeShutdown, "bye:shutdown+end")
	})
}

// TestScriptEndsInTime: a script knows its lifetime and its token's, waits no longer, and ends with whichever comes
// first.
func TestScriptEndsInTime(t *testing.T) {
	const lifetime = time.Minute // less up to a tenth
	for _, c := range []struct {
		name     string
		expires  time.Duration // and up to auth.Leeway
		min, max time.Duration
		want     string
	}{
		{"lifetime", time.Hour, lifetime * 9 / 10, lifetime, "bye:lifetime+end"},
		{"token", 30 * time.Second, 30 * time.Second, 30*time.Second + auth.Leeway,
			"bye:expired-token+end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, api.Options{MaxLifetime: lifetime, Heartbeat: time.Hour}, events,
				func(s *scene) {
					begin := s.now
					s.subscribeAs(auth.Grant{Expires: begin.Add(c.expires)}, "a", replay.Latest())
					s.step(nil) // head
					s.step(nil) // live
					st, _ := s.step(nil)
					if d := st.Until.Sub(begin); d < c.min || d > c.max {
						t.Fatalf("it waits for %v, want %v to %v", d, c.min, c.max)
					}
					s.publish("a4")
					s.now = st.Until.Add(-1)
					s.plays("a4 1ns")
					s.publish("a5")
					s.now = st.Until
					s.ends(nil, c.want)
				})
		})
	}
}

// TestScriptRefuses: retry and bye are the whole response to a client that cannot have a stream.
func TestScriptRefuses(t *testing.T) {
	for word, reason := range map[string]error{"overloaded": api.ByeOverloaded,
		"shutdown": api.ByeShutdown} {
		st := api.Refusal(2731).Next(time.Now(), reason)
		want := "retry: 2731\nevent: tidings.bye\ndata: {\"reason\":\"" + word + "\"}\n\n"
		if got := string(bytes.Join(st.Frames, nil)); got != want || st.End != reason {
			t.Errorf("got %q and %v, want %q", got, st.End, want)
		}
	}
}

// TestScriptOfEndedTopics: the ends are delivered, a heartbeat moves the cursor past them, and the stream ends; a
// wildcard's continues.
func TestScriptOfEndedTopics(t *testing.T) {
	onStage(t, api.Options{}, "a1 b1", func(s *scene) {
		s.subscribe("a b", s.after("a1"))
		s.plays("retry+open@a1,resumed b1 live@b1 15s")
		s.publish("a-end")
		s.plays("a-end 15s")
		s.publish("b-end c1")
		s.plays("b-end heartbeat@c1+end")
	})
	onStage(t, api.Options{}, "a1 a-end", func(s *scene) {
		s.subscribe("a", replay.Earliest())
		s.plays("retry+open@0 a1+a-end live@a-end heartbeat@a-end+end")
		s.subscribe("*", replay.Earliest())
		s.plays("retry+open@0 a1+a-end live@a-end 15s")
	})
}

// TestScriptOfClosedLog: an error of the log ends the stream without a bye: what is missing is not known.
func TestScriptOfClosedLog(t *testing.T) {
	onStage(t, api.Options{}, events, func(s *scene) {
		s.log.scanning = true
		s.subscribe("a", replay.Earliest())
		if err := s.log.Close(); err != nil {
			t.Fatal(err)
		}
		s.plays("retry+open@0 a1 log end")
	})
}
