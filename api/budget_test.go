package api_test

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidings/api"
	"tidings/internal/e2e"
	"tidings/store"
)

// TestMemoryRows: rows 174 and 175 of docs/ERRORS.md.
func TestMemoryRows(t *testing.T) {
	o := api.Options{BufferBytes: 1 << 20, QueueTimeout: 10 * time.Millisecond}
	t.Run("row 174: bodies", func(t *testing.T) {
		s := newServer(t, newLog(t), 0, o)
		c := newContract(t, s)
		unfinished := s.connect()
		defer unfinished.Close()
		fmt.Fprintf(unfinished, "POST /v1/events HTTP/1.1\r\nHost: localhost\r\n"+
			"Content-Type: application/x-ndjson\r\nContent-Length: 500000\r\n\r\n%s",
			`{"topic":"a","data":"`+strings.Repeat("x", 350_000))
		s.awaitBodies(700_000)
		large, text := strings.Repeat("y", 200_000), "Content-Type: text/plain"
		a := publishRow{path: "/v1/topics/a/events", body: large, headers: headers(text),
			status: 503, code: "memory-full"}.check(t, s, c)
		if a.header.Get("Retry-After") == "" {
			t.Errorf("%v, want Retry-After", a.header)
		}
		publishRow{path: "/v1/topics/a/events", body: "small", headers: headers(text),
			status: 201}.check(t, s, c)
		unfinished.Close()
		e2e.Eventually(t, "room again", func() bool {
			return s.do("POST", "/v1/topics/a/events", large, text).status == 201
		})
	})
	t.Run("row 175: answers", func(t *testing.T) {
		s := newServer(t, newLog(t), 0, o)
		c := newContract(t, s)
		draft := store.Draft{Topic: "a", ContentType: "text/plain",
			Data: []byte(strings.Repeat("\x01", 400_000))}
		ids, err := store.Append(t.Context(), s.log, []store.Draft{draft, draft})
		if err != nil {
			t.Fatal(err)
		}
		stuck := s.connect()
		defer stuck.Close()
		if err := stuck.SetReadBuffer(16 << 10); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(stuck, "GET /v1/events?limit=2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if _, err := bufio.NewReader(stuck).Peek(1); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/v1/events?limit=2", "/v1/events?since=earliest&limit=1",
			"/v1/events/" + ids[0].String()} {
			a := s.do("GET", path, "")
			if a.status != 503 || a.problem(t).Code != "memory-full" ||
				a.header.Get("Retry-After") == "" {
				t.Errorf("%s: %d %.200s, want 503 memory-full", path, a.status, a.body)
			}
			c.response(t, "GET", path, a)
		}
		s.open(t.Context(), "/v1/stream?since=earliest", "").until("tidings.bye")
		if e := s.open(t.Context(), "/v1/stream", ""); e.resp.StatusCode != 200 {
			t.Errorf("a stream that holds nothing: %s", e.resp.Status)
		}
		stuck.Close()
		e2e.Eventually(t, "room again", func() bool {
			return s.do("GET", "/v1/events?limit=2", "").status == 200
		})
	})
}

// TestMemoryOfWholeBodies: a body that has already arrived when it is read waits for room like the others.
func TestMemoryOfWholeBodies(t *testing.T) {
	s := newServer(t, newLog(t), 0, api.Options{BufferBytes: 64 << 10,
		QueueTimeout: 10 * time.Millisecond})
	c := newContract(t, s)
	unfinished := s.connect()
	defer unfinished.Close()
	fmt.Fprintf(unfinished, "POST /v1/topics/a/events HTTP/1.1\r\nHost: localhost\r\n"+
		"Content-Type: text/plain\r\nContent-Length: 40000\r\n\r\n%s", strings.Repeat("x", 32_000))
	s.awaitBodies(64_000)
	publishRow{path: "/v1/topics/a/events", body: strings.Repeat("y", 2000),
		headers: headers("Content-Type: text/plain"), status: 503, code: "memory-full"}.check(t, s, c)
}

// TestMemoryOfIdlePolls: a poll takes no memory while it waits, even if its response would be compressed.
func TestMemoryOfIdlePolls(t *testing.T) {
	const polls = 8
	s := newServer(t, newLog(t), 0, api.Options{BufferBytes: 4 << 20})
	s.publish("a", "1")
	looks := func() uint64 { stats := s.tail.Stats(); return stats.TailReads + stats.LogReads }
	before := looks()
	for range polls {
		conn := s.connect()
		defer conn.Close()
		fmt.Fprint(conn, "GET /v1/events?since=latest&wait=60s HTTP/1.1\r\nHost: localhost\r\n"+
			"Accept-Encoding: gzip\r\n\r\n")
	}
	e2e.Eventually(t, "poll under way", func() bool { return looks() >= before+polls })
	if used := s.metrics()["tidings_answers_bytes"]; used != "0" {
		t.Errorf("%s bytes are taken", used)
	}
	if a := s.do("GET", "/v1/events?since=earliest", ""); a.status != 200 {
		t.Errorf("a page: %d %s", a.status, a.body)
	}
}

// TestMemoryOfLists: a list is answered when it is alone, however large, and even for a client that compresses.
func TestMemoryOfLists(t *testing.T) {
	s := newServer(t, newLog(t), 0, api.Options{BufferBytes: 4 << 20})
	drafts := make([]store.Draft, 7000)
	for i := range drafts {
		drafts[i] = store.Draft{Topic: fmt.Sprintf("t.%d", i), Data: []byte("1")}
	}
	if _, err := store.Append(t.Context(), s.log, drafts); err != nil {
		t.Fatal(err)
	}
	for _, encoding := range []string{"", "gzip", "identity"} {
		if a := s.do("GET", "/v1/topics", "", "Accept-Encoding: "+encoding); a.status != 200 {
			t.Errorf("%q: %d %s", encoding, a.status, a.body)
		}
	}
}

// awaitBodies waits until bodies take this much memory.
func (s *server) awaitBodies(bytes float64, headers ...string) {
	s.t.Helper()
	e2e.Eventually(s.t, "body that counts", func() bool {
		samples := s.do("GET", "/metrics", "", headers...).samples(s.t)
		used, err := strconv.ParseFloat(samples["tidings_bodies_bytes"], 64)
		return err == nil && used >= bytes
	})
}

// TestMemoryShares: what the holder of one token keeps busy leaves the others half of the memory.
func TestMemoryShares(t *testing.T) {
	s := newServer(t, newLog(t), 0, keyed(t, api.Options{BufferBytes: 1 << 20,
		QueueTimeout: 10 * time.Millisecond}))
	one := holder{publish: ">", subject: "one"}.token(t)
	for range 2 {
		conn := s.connect()
		defer conn.Close()
		fmt.Fprintf(conn, "POST /v1/events HTTP/1.1\r\nHost: localhost\r\n"+
			"Authorization: Bearer %s\r\nContent-Type: application/x-ndjson\r\n"+
			"Content-Length: 500000\r\n\r\n%s", one, `{"topic":"a","data":"`+
			strings.Repeat("x", 130_000))
	}
	s.awaitBodies(4*130_000, bearer(holder{admin: true}.token(t)))
	publish := func(token string) int {
		return s.do("POST", "/v1/topics/a/events", strings.Repeat("y", 100_000),
			"Content-Type: text/plain", bearer(token)).status
	}
	e2e.Eventually(t, "refusal of the same subject", func() bool { return publish(one) == 503 })
	if status := publish(holder{publish: ">", subject: "other"}.token(t)); status != 201 {
		t.Errorf("another's publish: %d", status)
	}
}
