package api_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"tidings/api"
)

// unfinished is a body that begins with text and has no end before the response.
type unfinished struct {
	text *strings.Reader
	end  <-chan struct{}
}

func (u unfinished) Read(p []byte) (int, error) {
	if n, err := u.text.Read(p); n > 0 {
		return n, err
	}
	<-u.end
	return 0, errors.New("the answer has come")
}

// TestUnreadRows: rows 170 to 172 of docs/ERRORS.md. The response arrives although the body never ends.
func TestUnreadRows(t *testing.T) {
	const ndjson = "application/x-ndjson"
	const batch, envelope = "application/cloudevents-batch+json", "application/cloudevents+json"
	const many, mark = "POST /v1/events", "PUT /v1/cursors/m"
	const ce = `{"specversion":"1.0","id":"1","source":"/s","type":"t","topic":"a"`
	const line = `{"topic":"a","data":1}` + "\n"
	none, some := holder{}.token(t), holder{publish: "a", subscribe: "a"}.token(t)
	s := newServer(t, newLog(t), 0, keyed(t, api.Options{}))
	c := newContract(t, s)
	for _, r := range []struct {
		name, token, request, mediaType, body string
		status                                int
		code                                  string
	}{
		{"row 170: lines of who publishes nothing", none, many, ndjson, "", 403,
			"topic-forbidden"},
		{"row 170: CloudEvents of who publishes nothing", none, many, batch, "[", 403,
			"topic-forbidden"},
		{"row 170: one event of who publishes nothing", none, "POST /v1/topics/a/events",
			"text/plain", "", 403, "topic-forbidden"},
		{"row 170: an envelope of who publishes nothing", none, "POST /v1/topics/a/events",
			envelope, "", 403, "topic-forbidden"},
		{"row 170: an end of who publishes nothing", none, "POST /v1/topics/a/end", "", "", 403,
			"topic-forbidden"},
		{"row 170: a mark of who reads nothing", none, mark, "application/json", "", 403,
			"topic-forbidden"},
		{"row 170: a line for another topic", some, many, ndjson,
			line + `{"topic":"b","data":1}` + "\n", 403, "topic-forbidden"},
		{"row 170: a CloudEvent for another topic", some, many, batch,
			"[" + ce + "}," + strings.Replace(ce, `"a"`, `"b"`, 1) + "},", 403, "topic-forbidden"},
		{"row 171: a batch of numbers", some, many, batch, "[0,0,0,", 400, "json-invalid"},
		{"row 171: lines of numbers", some, many, ndjson, "0\n0\n", 400, "json-invalid"},
		{"row 171: 1,001 CloudEvents", some, many, batch,
			"[" + strings.Repeat(ce+"},", 1001), 413, "batch-too-large"},
		{"row 171: 1,001 lines", some, many, ndjson, strings.Repeat(line, 1001), 413,
			"batch-too-large"},
		{"row 172: a line with an unknown member", some, many, ndjson,
			`{"topic":"a","x":1}` + "\n", 400, "member-invalid"},
		{"row 172: a CloudEvent with many members", some, many, batch,
			"[" + ce + manyMembers(), 413, "body-too-large"},
		{"row 172: a line without end", some, many, ndjson,
			`{"topic":"a","data":"` + strings.Repeat("x", 7<<20), 413, "body-too-large"},
		{"row 172: a CloudEvent without end", some, many, batch,
			"[" + ce + `,"data":"` + strings.Repeat("x", 7<<20), 413, "body-too-large"},
		{"row 45: deeper than any parser goes, in a batch", some, many, batch,
			"[" + ce + `,"data":` + strings.Repeat("[", 100_000), 422, "json-too-deep"},
	} {
		t.Run(r.name, func(t *testing.T) {
			method, path, _ := strings.Cut(r.request, " ")
			length := 1 << 20 // for one event, otherwise for a batch
			if r.request == many {
				length = 16 << 20
			}
			header := http.Header{"Authorization": {"Bearer " + r.token},
				"Content-Type": {r.mediaType}, "Content-Length": {strconv.Itoa(length)}}
			for _, send := range []func(*testing.T, *server, string, string, http.Header,
				string) answer{unfinished1, unfinished2} {
				a := send(t, s, method, path, header, r.body)
				if a.status != r.status || a.problem(t).Code != r.code || !s.log.Head().IsZero() {
					t.Errorf("%d %s, want %d %s and nothing stored", a.status, a.body, r.status,
						r.code)
				}
				c.response(t, method, path, a)
			}
		})
	}
}

// unfinished1 sends a request with a part of its body over HTTP/1.1, and returns the response.
func unfinished1(t *testing.T, s *server, method, path string, header http.Header,
	body string) answer {
	t.Helper()
	conn := s.connect()
	defer conn.Close()
	var head strings.Builder
	fmt.Fprintf(&head, "%s %s HTTP/1.1\r\nHost: localhost\r\n", method, path)
	_ = header.Write(&head) // a strings.Builder accepts everything
	// the server may answer and close before everything is sent
	go func() { _, _ = io.WriteString(conn, head.String()+"\r\n"+body) }()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return answerOf(t, resp)
}

// unfinished2 is unfinished1 over HTTP/2.
func unfinished2(t *testing.T, s *server, method, path string, header http.Header,
	body string) answer {
	t.Helper()
	end := make(chan struct{})
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path,
		unfinished{strings.NewReader(body), end})
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	if r.ContentLength, err = strconv.ParseInt(header.Get("Content-Length"), 10, 64); err != nil {
		t.Fatal(err)
	}
	resp, err := h2c(t).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() // waits for the request's body
	defer close(end)
	return answerOf(t, resp)
}

// answerOf reads a response to its end.
func answerOf(t *testing.T, resp *http.Response) answer {
	t.Helper()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

// manyMembers returns the members of an envelope with more than any event may have.
func manyMembers() string {
	var b strings.Builder
	for _, one := range "abcdefghijklmnopqrstuvwxyz" {
		for _, other := range "abcdefghijklmnopqrstuvwxyz" {
			fmt.Fprintf(&b, `,"x%c%c":"%s"`, one, other, strings.Repeat("x", 100))
		}
	}
	return b.String()
}
