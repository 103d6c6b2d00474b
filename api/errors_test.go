package api_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidings/api"
	"tidings/store/bolt"
)

// rowsOfErrors are the rows that docs/ERRORS.md must have. A number that is missing here was never assigned, or
// belongs to what the server does not do yet.
const rowsOfErrors = "1-35 37-45 47-49 52-53 55-95 97-111 120-122 130-136 150-152 160-165 170-175 180-187 190-194 200-205 210-214 220 230-231 235-236 240-255 260-273 280-322 330-349 360-372"

// TestErrors checks docs/ERRORS.md against the tests and the table of errors: each of its rows has a case whose name
// begins with its number, each such case has a row, and its codes are those in responses.
func TestErrors(t *testing.T) {
	doc := read(t, filepath.Join("..", "docs", "ERRORS.md"))
	documented := numbers(t, doc, `(?m)^\| (\d+) \|`)
	if diff := cmp.Diff(ranges(t, rowsOfErrors), documented); diff != "" {
		t.Errorf("rows (-expected +docs/ERRORS.md):\n%s", diff)
	}
	var tests strings.Builder
	for _, pattern := range []string{"*_test.go", "../cmd/tidings/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			tests.WriteString(read(t, file))
		}
	}
	if diff := cmp.Diff(documented, numbers(t, tests.String(), `"row (\d+)[:"]`)); diff != "" {
		t.Errorf("rows (-docs/ERRORS.md +cases):\n%s", diff)
	}
	codes := make(map[string]int)
	for _, m := range regexp.MustCompile(
		"(?m)^\\| `([a-z-]+)` \\| (\\d+) \\|").FindAllStringSubmatch(doc, -1) {
		codes[m[1]], _ = strconv.Atoi(m[2])
	}
	if diff := cmp.Diff(api.Codes(), codes); diff != "" {
		t.Errorf("codes (-answered +docs/ERRORS.md):\n%s", diff)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// numbers returns the numbers that the pattern finds, sorted, each once.
func numbers(t *testing.T, text, pattern string) (all []int) {
	t.Helper()
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, n)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func ranges(t *testing.T, text string) (all []int) {
	t.Helper()
	for _, r := range list(text) {
		from, to, more := strings.Cut(r, "-")
		if !more {
			to = from
		}
		first, err := strconv.Atoi(from)
		last, err2 := strconv.Atoi(to)
		if err != nil || err2 != nil {
			t.Fatalf("range %q", r)
		}
		for n := first; n <= last; n++ {
			all = append(all, n)
		}
	}
	return all
}

// publishRow is a case of docs/ERRORS.md: a POST, and the expected response.
type publishRow struct {
	name, path, body string
	headers          []string
	status           int
	code             string // of a refusal
}

// check makes the request and returns the response. What is refused is not stored; everything is as documented.
func (r publishRow) check(t *testing.T, s *server, c *contract) answer {
	t.Helper()
	before := s.log.Head()
	a := s.do("POST", r.path, r.body, r.headers...)
	if a.status != r.status {
		t.Fatalf("%d, want %d: %.300s", a.status, r.status, a.body)
	}
	c.response(t, "POST", r.path, a)
	if r.code == "" {
		return a
	}
	if p := a.problem(t); p.Code != r.code || p.Status != r.status || p.Outcome != "not_stored" &&
		r.code != "bad-path" {
		t.Errorf("%s, want %s and not_stored", a.body, r.code)
	}
	if s.log.Head() != before {
		t.Error("something was stored")
	}
	return a
}

// TestTopicRows: rows 29 to 37 of docs/ERRORS.md.
func TestTopicRows(t *testing.T) {
	s := start(t)
	c := newContract(t, s)
	for _, r := range []struct{ name, topic string }{
		{"row 29: 256 bytes", strings.Repeat("a", 256)},
		{"row 29: 17 segments", strings.Repeat("a.", 16) + "a"},
		{"row 29: empty segment", "a..b"},
		{"row 29: dot in front", ".a"},
		{"row 29: dot at the end", "a."},
		{"row 30: two dots", ".."},
		{"row 30: one dot", "."},
		{"row 30: two dots, escaped", "%2e%2e"},
		{"row 31: slash", "a%2Fb"},
		{"row 31: slash, escaped twice", "a%252Fb"},
		{"row 32: NUL", "a%00b"},
		{"row 32: line end and a field", "%0d%0adata:x"},
		{"row 32: escape", "%1b%5b31m"},
		{"row 32: DEL", "a%7f"},
		{"row 32: space", "a%20b"},
		{"row 33: no UTF-8", "%ff"},
		{"row 33: overlong slash", "a%c0%afb"},
		{"row 33: surrogate", "%ed%a0%80"},
		{"row 34: composed", "caf%C3%A9"},
		{"row 34: decomposed", "cafe%CC%81"},
		{"row 34: Cyrillic o", "%D0%BErders"},
		{"row 34: full width", "%EF%BD%8Frders"},
		{"row 34: right to left", "%E2%80%AEorders"},
		{"row 34: zero width", "orders%E2%80%8B"},
		{"row 37: one segment", "orders.*"},
		{"row 37: the rest", "orders.>"},
		{"row 37: everything", "%3E"},
		{"row 37: hash", "orders.%23"},
	} {
		t.Run(r.name, func(t *testing.T) {
			publishRow{path: "/v1/topics/" + r.topic + "/events", body: "1", status: 400,
				code: "topic-invalid"}.check(t, s, c)
			publishRow{path: "/v1/topics/" + r.topic + "/end", status: 400,
				code: "topic-invalid"}.check(t, s, c)
		})
	}
	t.Run("row 29: no topic", func(t *testing.T) {
		publishRow{path: "/v1/topics//events", body: "1", status: 400,
			code: "bad-path"}.check(t, s, c)
		publishRow{path: "/v1/events", body: `{"topic":"","data":1}`,
			headers: headers("Content-Type: application/x-ndjson"), status: 400,
			code: "topic-invalid"}.check(t, s, c)
	})
	t.Run("row 29: the longest", func(t *testing.T) {
		for _, topic := range []string{strings.Repeat("a", 255), strings.Repeat("a.", 15) + "a"} {
			publishRow{path: "/v1/topics/" + topic + "/events", body: "1",
				status: 201}.check(t, s, c)
		}
	})
	t.Run("row 35: case", func(t *testing.T) {
		upper, lower := s.publish("Orders", "1"), s.publish("orders", "2")
		for topic, id := range map[string]string{"Orders": upper, "orders": lower} {
			events := s.open(t.Context(), "/v1/topics/"+topic+"/stream?since=earliest",
				"").until("tidings.live")
			if len(events) != 3 || events[1].ID != id {
				t.Errorf("%s: %v, want %s alone", topic, events, id)
			}
		}
	})
}

// TestTopicLimitRows: rows 38 to 40 of docs/ERRORS.md.
func TestTopicLimitRows(t *testing.T) {
	t.Run("row 38: not granted", func(t *testing.T) {
		s := newServer(t, newLog(t), 0, keyed(t, api.Options{}))
		c := newContract(t, s)
		s.do("POST", "/v1/topics/there/events", "1", bearer(everything(t)))
		stranger := headers(bearer(holder{publish: "mine", subscribe: "mine"}.token(t)),
			"Content-Type: application/x-ndjson")
		there := publishRow{path: "/v1/topics/there/end", headers: stranger, status: 403,
			code: "topic-forbidden"}.check(t, s, c).problem(t)
		gone := publishRow{path: "/v1/topics/gone/end", headers: stranger, status: 403,
			code: "topic-forbidden"}.check(t, s, c).problem(t)
		there.RequestID, gone.RequestID = "", ""
		if there.Detail = strings.ReplaceAll(there.Detail, "there", "gone"); there != gone {
			t.Errorf("%+v of a topic that exists, %+v of one that does not", there, gone)
		}
		a := publishRow{path: "/v1/events",
			body:    `{"topic":"mine","data":1}` + "\n" + `{"topic":"there","data":1}`,
			headers: stranger, status: 403, code: "topic-forbidden"}.check(t, s, c)
		if !strings.Contains(a.body, `"index":1`) {
			t.Errorf("%s, want the index of the second entry", a.body)
		}
	})
	t.Run("row 39: one subscription", func(t *testing.T) {
		s := start(t)
		path := "/v1/stream?topic=t0"
		for i := 1; i < 64; i++ {
			path += fmt.Sprintf("&topic=t%d", i)
		}
		if a := s.do("HEAD", path, ""); a.status != 200 {
			t.Errorf("64 topics: %d", a.status)
		}
		a := s.do("GET", path+"&topic=t64", "")
		if a.status != 400 || a.problem(t).Code != "too-many-topics" {
			t.Errorf("65 topics: %d %s", a.status, a.body)
		}
		newContract(t, s).response(t, "GET", path, a)
	})
	t.Run("row 40: in all", func(t *testing.T) {
		s := newServer(t, newLogIn(t, t.TempDir(), bolt.Options{MaxTopics: 2}), 0, api.Options{})
		c := newContract(t, s)
		s.publish("one", "1")
		s.publish("two", "1")
		a := publishRow{path: "/v1/topics/three/events", body: "1", status: 429,
			code: "topic-quota"}.check(t, s, c)
		if a.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		s.publish("two", "2")
	})
}
