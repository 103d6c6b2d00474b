package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func linesFile(t *testing.T, content string) string {
	name := filepath.Join(t.TempDir(), "events.ndjson")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func jsonPost(topic, query, body string) post {
	return post{Path: "/v1/topics/" + topic + "/events", Query: query,
		ContentType: "application/json", Body: body}
}

func TestPublishLines(t *testing.T) {
	const content = `{"topic":"orders","type":"created","data":{ "n" : 1.0, "e":1e400, "s":"\u00e9<\/>&" }}
{"data":[1,2],"topic":"a.b"}

  { "topic" : "c" , "data" : null }  ` + "\r\n" + `{"topic":"c","type":"","data":"x"}`
	want := []post{
		jsonPost("orders", "type=created", `{ "n" : 1.0, "e":1e400, "s":"\u00e9<\/>&" }`),
		jsonPost("a.b", "", "[1,2]"),
		jsonPost("c", "", "null"),
		jsonPost("c", "", `"x"`),
	}
	check := func(t *testing.T, got outcome, rec *recorder, want []post) {
		t.Helper()
		got.want(t, exitOK, fmt.Sprintf("published %d events\n", len(want)), "")
		if diff := cmp.Diff(want, rec.posts); diff != "" {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
		if rec.conns != 1 {
			t.Errorf("%d connections, want 1", rec.conns)
		}
	}
	t.Run("file", func(t *testing.T) {
		rec := newRecorder(t)
		check(t, runCLI(t, "publish", "--url", rec.url, "--ndjson",
			linesFile(t, content)), rec, want)
	})
	t.Run("standard input", func(t *testing.T) {
		rec := newRecorder(t)
		got := runWith(t.Context(), nil, strings.NewReader(content), "publish", "--url",
			rec.url, "--ndjson=-")
		check(t, got, rec, want)
	})
	t.Run("skip lines", func(t *testing.T) {
		rec := newRecorder(t)
		got := runCLI(t, "publish", "--url", rec.url, "--ndjson", linesFile(t, content),
			"--skip-lines=3")
		check(t, got, rec, want[2:])
	})
}

func TestPublishEmptyFile(t *testing.T) {
	runCLI(t, "publish", "--ndjson", linesFile(t, "")).want(t, exitOK, "published 0 events\n", "")
}

// The line before a read error may be torn: it is not published, even if it looks complete.
func TestPublishLinesReadError(t *testing.T) {
	rec := newRecorder(t)
	stdin := io.MultiReader(strings.NewReader(`{"topic":"a","data":1}`),
		iotest.ErrReader(errors.New("disk is gone")))
	runWith(t.Context(), nil, stdin, "publish", "--url", rec.url, "--ndjson=-").
		want(t, exitFailure, "", "line 1: disk is gone; published 0 events before it")
	if len(rec.posts) != 0 {
		t.Errorf("published %q", rec.posts)
	}
}

func TestPublishBadLines(t *testing.T) {
	tests := []struct{ name, line, stderr string }{
		{"no JSON", `{"topic"`, "not a JSON object"},
		{"no object", `[1]`, "not a JSON object"},
		{"member twice", `{"topic":"a","topic":"b","data":1}`,
			`not a JSON object with unique names: member "topic" occurs twice`},
		{"two objects", `{"topic":"a","data":1} {}`, "not a JSON object"},
		{"unknown member", `{"topic":"a","data":1,"typ":"x"}`, `unknown member "typ"`},
		{"wrong case", `{"Topic":"a","data":1}`, `unknown member "Topic"`},
		{"no data", `{"topic":"a"}`, `no "data"`},
		{"no topic", `{"data":1}`, "invalid topic"},
		{"bad topic", `{"topic":"a/b","data":1}`, `invalid topic "a/b"`},
		{"type is no string", `{"topic":"a","type":1,"data":1}`,
			"type: expected a string but got 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec := newRecorder(t)
			const good = `{"topic":"a","data":1}` + "\n"
			file := linesFile(t, good+"\n"+tt.line+"\n"+good)
			got := runCLI(t, "publish", "--url", rec.url, "--ndjson", file)
			got.want(t, exitFailure, "", "line 3: "+tt.stderr)
			got.want(t, exitFailure,
				"", "published 1 events before it; continue with --skip-lines 2\n")
			if len(rec.posts) != 1 {
				t.Errorf("%d requests, want 1", len(rec.posts))
			}
		})
	}
}

func TestPublishLinesStopsAtFailure(t *testing.T) {
	const content = `{"topic":"a","data":1}` + "\n" + `{"topic":"a","data":2}` + "\n" +
		`{"topic":"a","data":3}` + "\n"
	created := func(w http.ResponseWriter) {
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, `{"id":"01K5ZM00000000000000000000"}`)
	}
	tests := []struct {
		name   string
		second http.HandlerFunc
		stderr string
	}{
		{"refused", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "", http.StatusForbidden)
		},
			"line 2: the server answered 403 Forbidden; published 1 events before it; continue with --skip-lines 1\n"},
		{"no answer", func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		}, "continue with --skip-lines 1, which may repeat the line, or 2, which may lose it\n"},
		{"unknown outcome", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusInternalServerError)
			io.WriteString(w, `{"outcome":"unknown"}`)
		}, "continue with --skip-lines 1, which may repeat the line, or 2, which may lose it\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var requests atomic.Int32
			url := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if requests.Add(1) == 2 {
					tt.second(w, r)
					return
				}
				created(w)
			})
			runCLI(t, "publish", "--url", url, "--ndjson", linesFile(t, content)).want(t,
				exitFailure, "", tt.stderr)
			if requests.Load() != 2 {
				t.Errorf("%d requests, want 2", requests.Load())
			}
		})
	}

	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		var requests atomic.Int32
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if requests.Add(1) == 2 {
				cancel(errors.New("interrupted by test")) // the pending event is still waited for
			}
			created(w)
		})
		runWith(ctx, nil, nil, "publish", "--url", url, "--ndjson", linesFile(t, content)).
			want(t, exitFailure, "",
				"line 3: interrupted by test; published 2 events before it; continue with --skip-lines 2\n")
	})
}
