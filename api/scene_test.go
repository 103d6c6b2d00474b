package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidings/api"
	"tidings/internal/auth"
	"tidings/internal/sse"
	"tidings/replay"
	"tidings/store"
	"tidings/store/storetest"
)

// These tests drive a stream's script: the stream has no network, no timer and no goroutine. Events are named by
// their topic and a number; a stream is shown as its steps, one word each, "+" between the frames of a step:
//
//	retry+open@a1 log a2+a3 live 15s
//
// is the head, whose open frame has the ID of a1; an announcement that the log will be read; two events in one write;
// live; and a wait of 15 seconds.

// scriptLog is a log with some of the faults and circumstances that a stream must cope with.
type scriptLog struct {
	*storetest.Model
	scanning bool            // a reader sees one event at a time, whether it matches or not
	damaged  map[string]bool // by data; seen while scanning
	deaf     bool            // it never reports that the head has moved
}

func (l *scriptLog) Wait(ctx context.Context, after store.ID) error {
	if l.deaf {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return l.Model.Wait(ctx, after)
}

func (l *scriptLog) NewReader(f store.Filter, after store.ID) store.Reader {
	if !l.scanning {
		return l.Model.NewReader(f, after)
	}
	return &scanner{l.Model.NewReader(store.All(), after), f, l.damaged}
}

type scanner struct {
	all     store.Reader
	filter  store.Filter
	damaged map[string]bool
}

func (s *scanner) Next(int) (store.Page, error) {
	page, err := s.all.Next(1)
	for _, e := range page.Events {
		switch {
		case s.damaged[string(e.Data)]:
			page.Corrupt, page.Events = e.ID, nil
		case !s.filter.Match(e.Topic):
			page.Events = nil
		}
	}
	return page, err
}

func (s *scanner) Release() { s.all.Release() }

// scene is a log, and one stream of it.
type scene struct {
	t     *testing.T
	log   *scriptLog
	tail  *replay.Tail
	api   *api.Server
	names map[string]string // of events by their ID
	ids   map[string]store.ID
	now   time.Time // the script's now

	script   *api.Script
	readsLog bool // what the last step announced
}

// onStage runs the test on a log with the events, and on a clock on which nothing happens by itself.
func onStage(t *testing.T, o api.Options, events string, test func(s *scene)) {
	synctest.Test(t, func(t *testing.T) {
		s := &scene{t: t, log: &scriptLog{Model: storetest.NewModel(storetest.Options{})},
			names: map[string]string{store.ID{}.String(): "0"}, ids: make(map[string]store.ID),
			now: time.Now()}
		s.tail = replay.NewTail(s.log, replay.TailOptions{})
		s.api = api.New(s.log, s.tail, o)
		s.publish(events)
		test(s)
		s.tail.Close()
	})
}

// publish appends the events, and lets the tail notice them.
func (s *scene) publish(names string) {
	s.t.Helper()
	for _, name := range list(names) {
		d := store.Draft{Topic: name[:1], Data: []byte(name)}
		if strings.HasSuffix(name, "-end") {
			d.Type = store.TypeEnd
		}
		ids, err := store.Append(s.t.Context(), s.log, []store.Draft{d})
		if err != nil {
			s.t.Fatal(err)
		}
		s.ids[name], s.names[ids[0].String()] = ids[0], name
	}
	synctest.Wait()
}

func (s *scene) trim(before string, pattern string) {
	s.t.Helper()
	f, err := store.NewFilter(pattern)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.log.Trim(s.t.Context(), f, s.ids[before]); err != nil {
		s.t.Fatal(err)
	}
}

// subscribe starts the stream.
func (s *scene) subscribe(topics string, start replay.Start) {
	s.subscribeAs(auth.Grant{}, topics, start)
}

func (s *scene) subscribeAs(g auth.Grant, topics string, start replay.Start) {
	s.t.Helper()
	f, err := store.NewFilter(list(topics)...)
	if err != nil {
		s.t.Fatal(err)
	}
	format := &replay.Format{Name: "test", AppendFrame: func(dst []byte, e *store.Event) []byte {
		return sse.AppendEvent(dst, e.ID.String(), e.Type, e.Data)
	}}
	sub, err := s.tail.Subscribe(f, format, start)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(sub.Close)
	if s.script, err = s.api.NewScript(sub, g); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) after(name string) replay.Start { return replay.After(s.ids[name].String()) }

// step takes one step and returns it with its word.
func (s *scene) step(cut error) (api.ScriptStep, string) {
	s.t.Helper()
	before := s.tail.Stats().LogReads
	st := s.script.Next(s.now, cut)
	if read := s.tail.Stats().LogReads - before; read > 1 || read == 1 && !s.readsLog {
		s.t.Errorf("the step read %d pages of the log; announced: %t", read, s.readsLog)
	}
	s.readsLog = st.ReadsLog
	var words []string
	events := 0
	for _, e := range s.decode(st.Frames, &words) {
		if !isControl(e) {
			events++
		}
		words = append(words, s.word(e))
	}
	if events != st.Events || (st.Gap != nil) != strings.Contains(strings.Join(words, "+"), "gap") {
		s.t.Errorf("%v: the step counts %d events, and the gap %v", words, st.Events, st.Gap)
	}
	if size := len(bytes.Join(st.Frames, nil)); size > 65<<10 && len(words) > 1 {
		s.t.Errorf("%v: %d bytes in a step of several frames", words, size)
	}
	switch {
	case st.End != nil:
		words = append(words, "end")
	case st.ReadsLog:
		words = append(words, "log")
	case !st.Until.IsZero():
		if len(words) > 0 {
			s.t.Errorf("%v, and it waits", words)
		}
		words = append(words, st.Until.Sub(s.now).String())
	}
	return st, strings.Join(words, "+")
}

func (s *scene) decode(frames [][]byte, words *[]string) (events []sse.Event) {
	s.t.Helper()
	d := sse.NewDecoder(bytes.NewReader(bytes.Join(frames, nil)), 0)
	for {
		e, err := d.Next()
		if _, ok := d.Retry(); ok && len(*words) == 0 {
			*words = append(*words, "retry")
		}
		if err == io.EOF {
			return events
		}
		if err != nil {
			s.t.Fatal(err)
		}
		events = append(events, e)
	}
}

// word names one frame.
func (s *scene) word(e sse.Event) string {
	s.t.Helper()
	if !isControl(e) {
		return string(e.Data)
	}
	var data struct {
		Reason, Through, Last string
		Resume                bool
	}
	if err := json.Unmarshal(e.Data, &data); err != nil {
		s.t.Fatal(err)
	}
	word := strings.TrimPrefix(e.Type, "tidings.")
	if e.ID != "" && e.Type != "tidings.open" && e.Type != "tidings.heartbeat" {
		s.t.Errorf("%s moves the cursor to %s", e.Type, e.ID)
	}
	switch e.Type {
	case "tidings.gap":
		word += ":" + data.Reason + "@" + s.names[data.Through]
	case "tidings.live":
		word += "@" + s.names[data.Last]
	case "tidings.bye":
		word += ":" + data.Reason
	default:
		word += "@" + s.names[e.ID]
	}
	if data.Resume {
		word += ",resumed"
	}
	return word
}

// plays takes steps until one waits or ends the stream, and compares them with want.
func (s *scene) plays(want string) {
	s.t.Helper()
	var words []string
	for {
		st, word := s.step(nil)
		words = append(words, word)
		if st.End != nil || !st.Until.IsZero() {
			break
		}
	}
	if got := strings.Join(words, " "); got != want {
		s.t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// ends takes the step after a cut, which must be the last.
func (s *scene) ends(cut error, want string) {
	s.t.Helper()
	if st, word := s.step(cut); word != want || st.End == nil {
		s.t.Errorf("got %s and %v, want %s", word, st.End, want)
	}
}
