package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"testing"
	"time"

	"tidings/api"
)

// TestHTTP covers the rows 1 to 27 of docs/ERRORS.md, "HTTP layer", on raw connections. Where there is no code, Go's
// own server answers, in plain text, before a handler sees the request; the connection then closes.
func TestHTTP(t *testing.T) {
	const post, get = "POST /v1/topics/a/events HTTP/1.1\r\n", "GET /v1/log HTTP/1.1\r\n"
	const host, last = "Host: localhost\r\n", "Host: localhost\r\nConnection: close\r\n"
	const chunked = post + last + "Transfer-Encoding: chunked\r\n\r\n"
	for _, c := range []struct {
		name    string
		request string
		status  int
		code    string
	}{
		{"row 1: no Host", get + "\r\n", 400, ""},
		{"row 1: two Hosts", get + host + "Host: localhost\r\n\r\n", 400, ""},
		{"row 1: Host with a space", get + "Host: a b\r\n\r\n", 400, ""},
		{"row 2: foreign Host", get + "Host: evil.example\r\nConnection: close\r\n\r\n",
			421, "host-not-allowed"},
		{"row 3: HTTP/1.0 without Host", "GET /v1/log HTTP/1.0\r\n\r\n", 421, "host-not-allowed"},
		{"row 4: absolute form of another host",
			"POST http://evil/v1/topics/a/events HTTP/1.1\r\n" + last +
				"Content-Length: 1\r\n\r\n1", 421, "host-not-allowed"},
		{"row 5: two lengths", post + host +
			"Content-Length: 1\r\nContent-Length: 2\r\n\r\n1", 400, ""},
		{"row 5: negative length", post + host + "Content-Length: -1\r\n\r\n1", 400, ""},
		{"row 5: length with a sign", post + host + "Content-Length: +2\r\n\r\n11", 400, ""},
		{"row 5: length with a letter", post + host + "Content-Length: 2x\r\n\r\n11", 400, ""},
		{"row 5: length beyond 64 bits",
			post + host + "Content-Length: 99999999999999999999\r\n\r\n1", 400, ""},
		{"row 6: length declared too large", post + host + "Content-Length: 99999999999\r\n\r\n",
			413, "body-too-large"},
		{"row 8: a byte too many", post + host +
			"Content-Type: text/plain\r\nContent-Length: 65\r\n\r\n" + strings.Repeat("x", 65), 413,
			"body-too-large"},
		{"row 9: a byte too many, in chunks",
			chunked + "41\r\n" + strings.Repeat("1", 65) + "\r\n0\r\n\r\n", 413, "body-too-large"},
		{"row 10: bad chunk size", chunked + "x\r\n1\r\n0\r\n\r\n", 400, "bad-body"},
		{"row 10: chunk lines that end with LF", chunked + "1\n1\n0\n\n", 400, "bad-body"},
		{"row 10: long chunk extension",
			chunked + "1;" + strings.Repeat("x", 20_000) + "\r\n1\r\n0\r\n\r\n", 400, "bad-body"},
		{"row 13: compressed and chunked",
			post + host + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, ""},
		{"row 13: identity", post + host + "Transfer-Encoding: identity\r\n\r\n1", 501, ""},
		{"row 14: gzip", post + last + "Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\n1", 415,
			"encoding-unsupported"},
		{"row 14: br", post + last + "Content-Encoding: br\r\nContent-Length: 1\r\n\r\n1",
			415, "encoding-unsupported"},
		{"row 14: deflate", post + last + "Content-Encoding: deflate\r\nContent-Length: 1\r\n\r\n1",
			415, "encoding-unsupported"},
		{"row 14: gzip twice", post + last +
			"Content-Encoding: gzip,gzip\r\nContent-Length: 1\r\n\r\n1", 415,
			"encoding-unsupported"},
		{"row 14: identity, then gzip",
			post + last +
				"Content-Encoding: identity\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\n1",
			415,
			"encoding-unsupported"},
		{"row 15: headers of 21 KiB", get + host + "X: " + strings.Repeat("x",
			21<<10) + "\r\n\r\n", 431, ""},
		{"row 15: 10,000 headers", get + host + strings.Repeat("X: x\r\n",
			10_000) + "\r\n", 431, ""},
		{"row 15: URL of 40 KiB", "GET /" + strings.Repeat("x",
			40<<10) + " HTTP/1.1\r\n" + host + "\r\n", 431, ""},
		{"row 16: NUL in a header", get + host + "X: a\x00b\r\n\r\n", 400, ""},
		{"row 16: CR in a header", get + host + "X: a\rb\r\n\r\n", 400, ""},
		{"row 16: space before the colon", get + host + "X : a\r\n\r\n", 400, ""},
		{"row 16: malformed name", get + host + "X(: a\r\n\r\n", 400, ""},
		{"row 17: unknown expectation",
			post + host + "Expect: 200-ok\r\nContent-Length: 1\r\n\r\n1", 417, ""},
		{"row 19: HTTP/2.0 as text", "GET /v1/log HTTP/2.0\r\n" + host + "\r\n", 505, ""},
		{"row 19: HTTP/3.7", "GET /v1/log HTTP/3.7\r\n" + host + "\r\n", 505, ""},
		{"row 20: TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, ""},
		{"row 20: garbage", "\x00\xff\xfegarbage\r\n\r\n", 400, ""},
		{"row 21: PUT", "PUT /v1/topics/a/events HTTP/1.1\r\n" + last + "\r\n", 405,
			"method-not-allowed"},
		{"row 21: DELETE", "DELETE /v1/topics/a/events HTTP/1.1\r\n" + last + "\r\n", 405,
			"method-not-allowed"},
		{"row 21: PATCH", "PATCH /v1/topics/a/events HTTP/1.1\r\n" + last + "\r\n", 405,
			"method-not-allowed"},
		{"row 21: TRACE", "TRACE /v1/topics/a/events HTTP/1.1\r\n" + last + "\r\n", 405,
			"method-not-allowed"},
		{"row 21: lower case", "post /v1/topics/a/events HTTP/1.1\r\n" +
			last + "Content-Length: 1\r\n\r\n1", 405, "method-not-allowed"},
		{"row 24: unknown path", "GET /v2/log HTTP/1.1\r\n" + last + "\r\n", 404, "not-found"},
		{"row 25: two slashes", "POST /v1//topics/a/events HTTP/1.1\r\n" + last + "\r\n",
			400, "bad-path"},
		{"row 25: two dots", "POST /v1/topics/../events HTTP/1.1\r\n" + last + "\r\n", 400,
			"topic-invalid"},
		{"row 25: two dots before an unknown path",
			"GET /v1/topics/../x HTTP/1.1\r\n" + last + "\r\n", 400, "bad-path"},
		{"row 25: no topic", "POST /v1/topics//events HTTP/1.1\r\n" + last + "\r\n",
			400, "bad-path"},
		{"row 26: bad escape in the path", "GET /v1/%zz HTTP/1.1\r\n" + host + "\r\n", 400, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, newLog(t), 0, api.Options{MaxEventBytes: 64})
			got := s.exchange(c.request)
			a := parse(t, got)
			if a.status != c.status {
				t.Fatalf("%d, want %d:\n%s", a.status, c.status, got)
			}
			if head := s.log.Head(); !head.IsZero() {
				t.Error("something was stored")
			}
			if c.code == "" {
				if kind := a.header.Get("Content-Type"); kind != "text/plain; charset=utf-8" &&
					kind != "" {
					t.Errorf("Content-Type %q: this is not Go's own answer", kind)
				}
				return
			}
			p := a.problem(t)
			if p.Code != c.code {
				t.Errorf("%s, want %s", p.Code, c.code)
			}
			switch c.code {
			case "body-too-large":
				if p.MaxBytes != 64 || p.Outcome != "not_stored" {
					t.Errorf("%s, want max_bytes 64 and not_stored", a.body)
				}
			case "encoding-unsupported":
				if a.header.Get("Accept-Encoding") != "identity" {
					t.Errorf("Accept-Encoding %q, want identity", a.header.Get("Accept-Encoding"))
				}
			case "method-not-allowed":
				if a.header.Get("Allow") != "GET, HEAD, POST" {
					t.Errorf("Allow %q, want GET, HEAD, POST", a.header.Get("Allow"))
				}
			}
		})
	}
	t.Run("row 11: chunks without an end", func(t *testing.T) {
		s := start(t)
		conn := s.connect()
		defer conn.Close()
		fmt.Fprint(conn, chunked+"1\r\n1\r\n")
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(conn)
		if err != nil {
			t.Fatal(err)
		}
		if p := parse(t, string(got)).problem(t); p.Code != "bad-body" ||
			p.Outcome != "not_stored" {
			t.Errorf("%s", got)
		}
		if head := s.log.Head(); !head.IsZero() {
			t.Error("half a body was stored")
		}
	})
	t.Run("row 12: both lengths", func(t *testing.T) {
		s := start(t)
		both := post + host +
			"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n1234\r\n0\r\n\r\n"
		got := s.exchange(both + get + host + "\r\n") // and the connection ends
		if n := strings.Count(got, "HTTP/1.1 "); n != 1 {
			t.Errorf("%d answers:\n%s", n, got)
		}
		a := parse(t, got)
		var event struct{ Data json.Number }
		s.do("GET", "/v1/events/"+path.Base(a.header.Get("Location")), "").decode(t, &event)
		if a.status != 201 || event.Data != "1234" {
			t.Errorf("%d, data %s: the chunks count", a.status, event.Data)
		}
	})
	t.Run("row 22: HEAD on a stream", func(t *testing.T) {
		s := start(t)
		a := parse(t, s.exchange("HEAD /v1/stream HTTP/1.1\r\n"+last+"\r\n"))
		if a.status != 200 || a.header.Get("Content-Type") != "text/event-stream" ||
			s.tail.Stats().Feeds != 0 {
			t.Errorf("%d %v, %d feeds", a.status, a.header, s.tail.Stats().Feeds)
		}
	})
	t.Run("row 191: HEAD", func(t *testing.T) {
		s := start(t)
		for _, path := range []string{"/healthz", "/readyz", "/metrics", "/openapi.yaml", "/v1/log",
			"/v1/events", "/v1/topics/a/events", "/v1/topics", "/v1/session", "/v1/subscribers",
			"/", "/tidings.js"} {
			get, head := s.do("GET", path, ""), s.do("HEAD", path, "")
			if head.status != 200 || head.header.Get("Content-Type") != get.header.Get(
				"Content-Type") || head.body != "" {
				t.Errorf("HEAD %s: %d %v %q, GET has %v", path, head.status, head.header, head.body,
					get.header)
			}
		}
	})
	t.Run("row 23: preflight of a foreign page", func(t *testing.T) {
		a := start(t).do("OPTIONS", "/v1/topics/a/events", "", "Origin: https://evil.example",
			"Access-Control-Request-Method: POST")
		if a.status != 204 || a.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%d %v", a.status, a.header)
		}
	})
	t.Run("row 27: a request behind a body that was not read", func(t *testing.T) {
		s := newServer(t, newLog(t), 0, api.Options{MaxEventBytes: 64})
		second := post + last + "Content-Length: 1\r\n\r\n1"
		got := s.exchange(post + host + fmt.Sprintf("Content-Length: %d\r\n\r\n",
			100) + strings.Repeat("1", 100) + second)
		if parse(t, got).status != 413 || strings.Count(got, "HTTP/1.1 ") != 1 {
			t.Errorf("%s, want one answer", got)
		}
		if head := s.log.Head(); !head.IsZero() {
			t.Error("the second request was executed")
		}
	})
}

// TestHTTPTimeouts: rows 7, 11 and 18 of docs/ERRORS.md. The server does not wait for a client that does not
// continue.
func TestHTTPTimeouts(t *testing.T) {
	const post = "POST /v1/topics/a/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
	for _, c := range []struct {
		name, request string
		status        int
		code          string
	}{
		{"row 7: half a body", post + "Content-Length: 10\r\n\r\nhalf", 408, "body-timeout"},
		{"row 11: half a chunk", post + "Transfer-Encoding: chunked\r\n\r\n8\r\nhalf", 408,
			"body-timeout"},
		{"row 11: chunks that do not go on",
			post + "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", 408, "body-timeout"},
		{"row 11: a last chunk that does not end",
			post + "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n", 400, "bad-body"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, api.Options{BodyTimeout: 7 * time.Second}, func(t *testing.T, s *piped) {
				begin := time.Now()
				_, r := s.send(c.request)
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Fatal(err)
				}
				p := answer{resp.StatusCode, resp.Header, string(body)}.problem(t)
				if resp.StatusCode != c.status || p.Code != c.code ||
					p.Outcome != "not_stored" || !resp.Close {
					t.Errorf("%s %s, closing: %v", resp.Status, body, resp.Close)
				}
				if waited := time.Since(begin); waited != 7*time.Second {
					t.Errorf("answered after %v", waited)
				}
				if !s.log.Head().IsZero() {
					t.Error("half a body was stored")
				}
			})
		})
	}
	t.Run("row 18: slow headers", func(t *testing.T) {
		bubble(t, api.Options{}, func(t *testing.T, s *piped) {
			begin := time.Now()
			_, r := s.send("GET /v1/log HTTP/1.1\r\nHost: local")
			if got, err := io.ReadAll(r); err != nil || len(got) > 0 ||
				time.Since(begin) != 5*time.Second {
				t.Errorf("%q, %v after %v, want the end after 5 s", got, err, time.Since(begin))
			}
		})
	})
}
