package api_test

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidings/api"
)

// TestKeyRows: rows 55 to 62 of docs/ERRORS.md.
func TestKeyRows(t *testing.T) {
	const orders, key = "/v1/topics/orders/events", "Idempotency-Key: "
	s := start(t)
	c := newContract(t, s)
	first := publishRow{path: orders + "?type=created", body: `{"a":1}`,
		headers: headers(key + "k"), status: 201}.check(t, s, c)
	t.Run("row 55: the same", func(t *testing.T) {
		again := publishRow{path: orders + "?type=created", body: `{"a":1}`,
			headers: headers(key + "k"), status: 200}.check(t, s, c)
		if again.body != first.body || again.header.Get("Idempotency-Replayed") != "true" ||
			again.header.Get("Location") != first.header.Get("Location") {
			t.Errorf("%v %s, want %s replayed", again.header, again.body, first.body)
		}
	})
	for _, r := range []publishRow{
		{"row 56: another topic", "/v1/topics/tickets/events?type=created", `{"a":1}`,
			headers(key + "k"), 422, "idempotency-mismatch"},
		{"row 56: another type", orders + "?type=paid", `{"a":1}`, headers(key + "k"), 422,
			"idempotency-mismatch"},
		{"row 56: another body", orders + "?type=created", `{"a": 1}`, headers(key + "k"),
			422, "idempotency-mismatch"},
		{"row 56: another content type", orders + "?type=created", `{"a":1}`,
			headers(key+"k", "Content-Type: text/plain"), 422, "idempotency-mismatch"},
		{"row 56: an end", "/v1/topics/orders/end", "", headers(key + "k"), 422,
			"idempotency-mismatch"},
		{"row 58: two", orders, "1", headers(key+"a", key+"b"), 400, "key-invalid"},
		{"row 58: one twice", orders, "1", headers(key+"a", key+"a"), 400, "key-invalid"},
		{"row 59: empty", orders, "1", headers(key), 400, "key-invalid"},
		{"row 59: empty, quoted", orders, "1", headers(key + `""`), 400, "key-invalid"},
		{"row 59: 256 bytes", orders, "1", headers(key + strings.Repeat("k", 256)), 400,
			"key-invalid"},
		{"row 59: beyond ASCII", orders, "1", headers(key + "\xc3\xbc"), 400, "key-invalid"},
		{"row 59: space", orders, "1", headers(key + "a b"), 400, "key-invalid"},
		{"row 59: half a pair of quotes", orders, "1", headers(key + `"k`), 400, "key-invalid"},
		{"row 59: quoted", orders + "?type=created", `{"a":1}`, headers(key + `"k"`), 200, ""},
		{"row 59: 255 bytes", orders, "1", headers(key + strings.Repeat("k", 255)), 201, ""},
	} {
		t.Run(r.name, func(t *testing.T) { r.check(t, s, c) })
	}
	t.Run("row 62: trimmed", func(t *testing.T) {
		s.trim("7ZZZZZZZZZZZZZZZZZZZZZZZZZ", ">")
		again := publishRow{path: orders + "?type=created", body: `{"a":1}`,
			headers: headers(key + "k"), status: 200}.check(t, s, c)
		if want := strings.TrimSuffix(first.body,
			"}\n") + `,"trimmed":true}` + "\n"; again.body != want {
			t.Errorf("%s, want %s", again.body, want)
		}
	})
}

// TestKeyInFlight: 50 concurrent requests with one key make one event, whichever comes first.
func TestKeyInFlight(t *testing.T) {
	t.Run("row 57: 50 at a time", func(t *testing.T) {
		s := start(t)
		answers := make([]answer, 50)
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() { answers[i] = post(t, s.url+"/v1/topics/orders/events", "k") })
		}
		wg.Wait()
		created := 0
		for _, a := range answers {
			replayed := a.header.Get("Idempotency-Replayed") == "true"
			if a.status == 201 && !replayed {
				created++
			} else if a.status != 200 || !replayed {
				t.Errorf("%d, replayed: %v", a.status, replayed)
			}
			if a.body != answers[0].body {
				t.Errorf("answered %s and %s", a.body, answers[0].body)
			}
		}
		info, err := s.log.Info()
		if err != nil || info.Events != 1 || created != 1 {
			t.Errorf("%d events (%v), %d answers of 201, want one", info.Events, err, created)
		}
	})
}

// post publishes under a key. Unlike server.do it may be called from any goroutine.
func post(t *testing.T, url, key string) (a answer) {
	r, err := http.NewRequest("POST", url, strings.NewReader("1"))
	if err != nil {
		t.Error(err)
		return a
	}
	r.Header.Set("Idempotency-Key", key)
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Error(err)
		return a
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

// TestKeyScope: whose a key is, and for how long.
func TestKeyScope(t *testing.T) {
	t.Run("row 60: after its window", func(t *testing.T) {
		var now atomic.Int64 // seconds
		now.Store(1_800_000_000)
		s := newServer(t, newLogAt(t, func() time.Time {
			return time.Unix(now.Load(), 0)
		}), 0, api.Options{})
		c := newContract(t, s)
		again := func(status int) string {
			a := publishRow{path: "/v1/topics/a/events", body: "1",
				headers: headers("Idempotency-Key: k"), status: status}.check(t, s, c)
			return a.header.Get("Location")
		}
		first := again(201)
		now.Add(24*60*60 - 1)
		if again(200) != first {
			t.Error("another event within the window")
		}
		var reach struct{ Idempotency struct{ Oldest time.Time } }
		s.do("GET", "/v1/log", "").decode(t, &reach)
		if got := reach.Idempotency.Oldest.Unix(); got != 1_800_000_000 {
			t.Errorf("/v1/log says that keys reach back to %d, want 1800000000", got)
		}
		now.Add(2)
		if again(201) == first {
			t.Error("the same event after the window")
		}
	})
	t.Run("row 61: of another publisher", func(t *testing.T) {
		s := newServer(t, newLog(t), 0, keyed(t, api.Options{}))
		c := newContract(t, s)
		ids := make(map[string]bool)
		for _, subject := range list("one two") {
			token := bearer(holder{subject: subject, publish: ">"}.token(t))
			a := publishRow{path: "/v1/topics/a/events", body: "1",
				headers: headers(token, "Idempotency-Key: k"), status: 201}.check(t, s, c)
			ids[a.header.Get("Location")] = true
			later := bearer(holder{subject: subject, publish: ">", expires: 2 * time.Hour}.token(t))
			publishRow{path: "/v1/topics/a/events", body: "1",
				headers: headers(later, "Idempotency-Key: k"), status: 200}.check(t, s, c)
		}
		if len(ids) != 2 {
			t.Errorf("events %v, want two", ids)
		}
	})
	t.Run("row 61: of a token without a subject", func(t *testing.T) {
		s := newServer(t, newLog(t), 0, keyed(t, api.Options{}))
		c := newContract(t, s)
		for _, key := range [][]string{
			{"Idempotency-Key: k"},
			{"Ce-Specversion: 1.0", "Ce-Source: /s", "Ce-Type: t", "Ce-Id: 1"},
		} {
			for hours := range time.Duration(2) { // each its own token
				token := bearer(holder{publish: ">", expires: (hours + 1) * time.Hour}.token(t))
				publish := func(body string, status int) {
					publishRow{path: "/v1/topics/a/events", body: body, status: status,
						headers: append(headers(token), key...)}.check(t, s, c)
				}
				publish(strconv.Itoa(int(hours)), 201)
				publish(strconv.Itoa(int(hours)), 200)
				publish("7", 422)
			}
		}
	})
}
