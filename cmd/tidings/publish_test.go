package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// post is a request that a recorder received.
type post struct {
	Path, Query, ContentType, Authorization, Body string
	IfMatch, IfNoneMatch                          string
}

// recorder is a server that answers 201 to every publish and records it.
type recorder struct {
	url   string
	posts []post
	conns int
}

func newRecorder(t *testing.T) *recorder {
	rec := &recorder{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter,
		r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost {
			t.Errorf("%s, body: %v", r.Method, err)
		}
		rec.posts = append(rec.posts, post{r.URL.EscapedPath(), r.URL.RawQuery,
			r.Header.Get("Content-Type"), r.Header.Get("Authorization"), string(body),
			r.Header.Get("If-Match"), r.Header.Get("If-None-Match")})
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w,
			`{"id":"01K5ZM00000000000000000000","topic":"t","type":"message","time":"2026-01-01T00:00:00Z"}`)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			rec.conns++
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	rec.url = server.URL
	return rec
}

// TestPublishRefusesSlips: input that was most likely meant to be other data does not become an event.
func TestPublishRefusesSlips(t *testing.T) {
	for _, c := range []struct {
		name  string
		args  []string
		stdin string
		want  string
	}{
		{"JSON that was cut", []string{`{"x":`}, "", "unexpected end of JSON input; with --content-type"},
		{"an array that was cut", nil, " [1, 2", "unexpected end of JSON input"},
		{"lines of JSON", nil, "{\"a\":1}\n{\"a\":2}\n", "after top-level value"},
		{"nothing on standard input", nil, "", "nothing on standard input"},
		{"nothing on standard input, of a type", []string{"--content-type=text/plain"}, "",
			"nothing on standard input"},
		{"a variable that is not set", []string{""}, "", "the data is empty"},
		{"a condition that is none", []string{"1", "--if-newest=*"}, "",
			"--if-newest: expected an ID or none"},
		{"negative number", []string{"-5"}, "", "put an argument that begins with - after --"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := newRecorder(t)
			args := append([]string{"publish", "orders", "--url", rec.url}, c.args...)
			runWith(t.Context(), nil, strings.NewReader(c.stdin), args...).want(t, exitUsage, "",
				c.want)
			if len(rec.posts) > 0 {
				t.Errorf("it was published: %v", rec.posts)
			}
		})
	}
}

func TestPublish(t *testing.T) {
	const text, octets = "text/plain; charset=utf-8", "application/octet-stream"
	tests := []struct {
		name  string
		args  []string
		stdin string
		want  post
	}{
		{"argument", []string{`{"n":1.0}`}, "unread",
			post{ContentType: "application/json", Body: `{"n":1.0}`}},
		{"standard input", nil, "{\"n\": 1}\n",
			post{ContentType: "application/json", Body: "{\"n\": 1}\n"}},
		{"empty argument", []string{"", "--content-type=text/plain"}, "unread",
			post{ContentType: "text/plain"}},
		{"text that begins as JSON", []string{"{", "--content-type=text/plain"}, "",
			post{ContentType: "text/plain", Body: "{"}},
		{"negative number", []string{"--", "-5"}, "",
			post{ContentType: "application/json", Body: "-5"}},
		{"text", []string{"hello é"}, "", post{ContentType: text, Body: "hello é"}},
		{"no text", nil, "\xff", post{ContentType: octets, Body: "\xff"}},
		{"content type", []string{"<a/>", "--content-type=text/xml"}, "",
			post{ContentType: "text/xml", Body: "<a/>"}},
		{"type", []string{"1", "--type=order created&x"},
			"", post{Query: "type=order+created%26x", ContentType: "application/json", Body: "1"}},
		{"token", []string{"1", "--token=secret"},
			"", post{ContentType: "application/json", Authorization: "Bearer secret", Body: "1"}},
		{"newest event", []string{"1", "--if-newest=01K5ZM00000000000000000000"}, "",
			post{ContentType: "application/json", Body: "1",
				IfMatch: `"01K5ZM00000000000000000000"`}},
		{"no event yet", []string{"1", "--if-newest=none"}, "",
			post{ContentType: "application/json", Body: "1", IfNoneMatch: "*"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec := newRecorder(t)
			args := append([]string{"publish", "orders.eu", "--url", rec.url}, tt.args...)
			runWith(t.Context(), nil, strings.NewReader(tt.stdin), args...).
				want(t, exitOK, "01K5ZM00000000000000000000\n", "")
			tt.want.Path = "/v1/topics/orders.eu/events"
			if diff := cmp.Diff([]post{tt.want}, rec.posts); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPublishFailures(t *testing.T) {
	tests := []struct {
		name   string
		answer http.HandlerFunc
		stderr string
	}{
		{"problem", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusConflict)
			io.WriteString(w,
				`{"title":"Topic ended","detail":"orders ended\u001b[2J","code":"topic_ended","outcome":"not_stored"}`)
		},
			`the server answered 409 Topic ended: orders ended\x1b[2J (code topic_ended, outcome not_stored)` +
				"\n"},
		{"no problem document", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "upstream is gone", http.StatusBadGateway)
		}, "the server answered 502 Bad Gateway: upstream is gone\n"},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere.invalid/", http.StatusMovedPermanently)
		},
			"answered 301 Moved Permanently: redirects are not followed; set --url for https://elsewhere.invalid/"},
		{"another server", func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "<html>")
		}, "is it a Tidings server?"},
		{"no answer", func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		}, "the event may or may not have been stored: EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var requests atomic.Int32
			url := serve(t, func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				tt.answer(w, r)
			})
			runCLI(t, "publish", "orders", "1", "--url", url).want(t, exitFailure, "", tt.stderr)
			if requests.Load() != 1 {
				t.Errorf("%d requests, want 1: a publish is not repeated", requests.Load())
			}
		})
	}
}

func TestPublishWithoutServer(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	runCLI(t, "publish", "orders", "1", "--url", server.URL).want(t, exitFailure, "",
		"nothing was stored: dial tcp")
}

// Nobody types the end of file here: only the interrupt ends the wait for standard input.
func TestPublishIsInterruptedWhileReading(t *testing.T) {
	for _, args := range [][]string{{"publish", "orders"}, {"publish", "--ndjson=-"}} {
		ctx, cancel := context.WithCancelCause(t.Context())
		stdin, typing := io.Pipe()
		go func() {
			io.WriteString(typing, `{"topic`) // returns when it is read
			cancel(errors.New("interrupted by test"))
		}()
		runWith(ctx, nil, stdin, args...).want(t, exitFailure, "", "interrupted by test")
		stdin.Close() // ends the read that was left behind
	}
}
