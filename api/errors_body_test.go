package api_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"tidings/store"
)

// TestBodyRows: the rows 41 to 53 of docs/ERRORS.md that are refused.
func TestBodyRows(t *testing.T) {
	const js, text, ndjson = "Content-Type: application/json", "Content-Type: text/plain",
		"Content-Type: application/x-ndjson"
	const structured, batch = "Content-Type: application/cloudevents+json",
		"Content-Type: application/cloudevents-batch+json"
	const topic, many = "/v1/topics/a/events", "/v1/events"
	const good = `{"topic":"a","data":1}` + "\n"
	const ce = `{"specversion":"1.0","id":"1","source":"/s","type":"t"` // without the closing brace
	binary := headers("Ce-Specversion: 1.0", "Ce-Id: 1", "Ce-Source: /s", "Ce-Type: t")
	s := start(t)
	c := newContract(t, s)
	for _, r := range []publishRow{
		{"row 41: nothing", topic, "", headers(js), 400, "empty-body"},
		{"row 41: nothing, without a type", topic, "", nil, 400, "empty-body"},
		{"row 41: white space", topic, " \r\n\t", headers(js), 400, "empty-body"},
		{"row 41: no CloudEvent", topic, "", headers(structured), 400, "empty-body"},
		{"row 42: bytes", topic, "1", headers("Content-Type: application/octet-stream"),
			415, "media-unsupported"},
		{"row 42: form with a file", topic, "1",
			headers("Content-Type: multipart/form-data; boundary=x"), 415, "media-unsupported"},
		{"row 42: no media type", topic, "1", headers("Content-Type: json"), 415,
			"media-unsupported"},
		{"row 42: text in Latin-1", topic,
			"1", headers("Content-Type: text/plain; charset=iso-8859-1"), 415, "media-unsupported"},
		{"row 42: form that is no JSON", topic, "a=b",
			headers("Content-Type: application/x-www-form-urlencoded"), 400, "json-invalid"},
		{"row 42: text of a CloudEvent in Latin-1", topic,
			ce + `,"datacontenttype":"text/plain; charset=iso-8859-1","data":"x"}`,
			headers(structured), 415, "media-unsupported"},
		{"row 42: media type with a line end", many,
			`{"topic":"a","datacontenttype":"image/png\n","data_base64":"/w=="}`, headers(ndjson),
			400, "member-invalid"},
		{"row 44: a fraction", topic, ce + `,"x":1.5}`, headers(structured), 400,
			"cloudevent-invalid"},
		{"row 44: beyond 32 bits", topic, ce + `,"x":2147483648}`, headers(structured), 400,
			"cloudevent-invalid"},
		{"row 44: beyond all numbers", topic, ce + `,"x":1e999}`, headers(structured), 400,
			"cloudevent-invalid"},
		{"row 44: a line end", topic, ce + `,"x":"a\nb"}`, headers(structured), 400,
			"cloudevent-invalid"},
		{"row 44: a control character in a header", topic, "", append(headers("Ce-X: a%1Bb"),
			binary...), 400, "cloudevent-invalid"},
		{"row 44: a C1 control in a batch", many, `[` + ce + `,"topic":"a","x":"\u009b31m"}]`,
			headers("Content-Type: application/cloudevents-batch+json"), 400, "cloudevent-invalid"},
		{"row 44: a noncharacter", topic, ce + `,"x":"\ufffe"}`, headers(structured), 400,
			"cloudevent-invalid"},
		{"row 210: without ce-specversion", topic, "1", headers("Ce-Id: 1", "Ce-Source: /s",
			"Ce-Type: t"), 400, "cloudevent-invalid"},
		{"row 210: an extension alone", topic, "1", headers("Ce-Tenant: x", js), 400,
			"cloudevent-invalid"},
		{"row 44: an object", topic, ce + `,"x":{}}`, headers(structured),
			400, "cloudevent-invalid"},
		{"row 44: a header named as the data", topic, "", append(headers("Ce-Data: x"), binary...),
			400, "cloudevent-invalid"},
		{"row 44: a header named as the content type", topic, "",
			append(headers("Ce-Datacontenttype: image/png"), binary...), 400, "cloudevent-invalid"},
		{"row 44: too many bytes", topic, ce + `,"x":"` + strings.Repeat("x", 16<<10) + `"}`,
			headers(structured), 413, "body-too-large"},
		{"row 44: too many bytes in a batch", many, `[` + ce + `,"topic":"a","x":"` +
			strings.Repeat("x", 16<<10) + `"}]`, headers(batch), 413, "body-too-large"},
		{"row 45: data", topic, nested(129), headers(js), 422, "json-too-deep"},
		{"row 45: objects", topic, strings.Repeat(`{"a":`, 129) + "1" + strings.Repeat("}", 129),
			headers(js), 422, "json-too-deep"},
		{"row 45: 100,000 levels", topic, nested(100_000), headers(js), 422, "json-too-deep"},
		{"row 45: no end", topic, strings.Repeat("[", 60_000), headers(js), 422, "json-too-deep"},
		{"row 45: a line", many, `{"topic":"a","data":` + nested(129) + "}", headers(ndjson), 422,
			"json-too-deep"},
		{"row 45: base64 in a line", many,
			`{"topic":"a","datacontenttype":"application/json","data_base64":"` +
				base64.StdEncoding.EncodeToString([]byte(nested(129))) + `"}`, headers(ndjson), 422,
			"json-too-deep"},
		{"row 45: a CloudEvent", topic, ce + `,"data":` + nested(129) + "}", headers(structured),
			422, "json-too-deep"},
		{"row 45: a batch", many, "[" + ce + `,"topic":"a","data":` + nested(129) + "}]",
			headers(batch), 422, "json-too-deep"},
		{"row 45: binary mode", topic, nested(129), append(headers(js), binary...), 422,
			"json-too-deep"},
		{"row 45: an attribute", topic, ce + `,"x":` + nested(129) + "}", headers(structured), 422,
			"json-too-deep"},
		{"row 45: another type of JSON", topic, nested(129), headers("Content-Type: application/geo+json"), 422,
			"json-too-deep"},
		{"row 48: text with NUL", topic, "a\x00b", headers(text), 400, "data-not-text"},
		{"row 48: text that is not UTF-8", topic, "\xff", headers(text), 400, "data-not-text"},
		{"row 48: XML that is not UTF-8", topic, "<a>\xff</a>",
			headers("Content-Type: application/xml"), 400, "data-not-text"},
		{"row 48: bytes that are said to be text", many,
			`{"topic":"a","datacontenttype":"text/plain","data_base64":"/w=="}`, headers(ndjson),
			400, "data-not-text"},
		{"row 49: type with CR", topic + "?type=a%0Db", "1", nil, 400, "type-invalid"},
		{"row 49: type with LF and a field", topic + "?type=a%0Adata:x", "1", nil,
			400, "type-invalid"},
		{"row 49: type with NUL", topic + "?type=a%00", "1", nil, 400, "type-invalid"},
		{"row 49: type with a control character", topic + "?type=a%C2%85b", "1", nil, 400,
			"type-invalid"},
		{"row 49: type that is not UTF-8", topic + "?type=%ff", "1", nil, 400, "type-invalid"},
		{"row 49: empty type", topic + "?type=", "1", nil, 400, "type-invalid"},
		{"row 49: type of 256 bytes", topic + "?type=" + strings.Repeat("a", 256), "1", nil, 400,
			"type-invalid"},
		{"row 49: type in a line", many, `{"topic":"a","type":"a\u000ab","data":1}`,
			headers(ndjson), 400, "type-invalid"},
		{"row 49: tidings.gap", topic + "?type=tidings.gap", "1", nil, 422, "type-reserved"},
		{"row 49: error", topic, "1", headers("Event-Type: error"), 422, "type-reserved"},
		{"row 49: open", topic + "?type=open", "1", nil, 422, "type-reserved"},
		{"row 52: no line", many, "\n", headers(ndjson), 400, "empty-batch"},
		{"row 52: no CloudEvent", many, "[]", headers(batch), 400, "empty-batch"},
		{"row 52: 1,001 lines", many, strings.Repeat(good, 1001), headers(ndjson),
			413, "batch-too-large"},
		{"row 52: 1,001 CloudEvents", many, "[" + strings.Repeat(ce+`,"topic":"a"},`, 1000) + ce +
			`,"topic":"a"}]`, headers(batch), 413, "batch-too-large"},
		{"row 52: 16 MiB and a byte", many, strings.Repeat("\n", 16<<20+1), headers(ndjson), 413,
			"body-too-large"},
	} {
		t.Run(r.name, func(t *testing.T) { r.check(t, s, c) })
	}
	for _, r := range []struct {
		name, body string
		offset     int64
	}{
		{"row 43: syntax", `{"a":}`, 6},
		{"row 43: cut off", `{"a":`, 5},
		{"row 43: something behind it", `{} x`, 4},
		{"row 43: two texts", `{}{}`, 3},
		{"row 43: byte order mark", "\ufeff{}", 1},
		{"row 43: NaN", `[NaN]`, 2},
		{"row 43: comma at the end", `[1,]`, 4},
		{"row 43: half a surrogate pair", `["\ud800"]`, 2},
		{"row 43: a pair the wrong way round", `"\ude00\ud83d"`, 1},
		{"row 43: not UTF-8", "\"\xff\"", 1},
	} {
		t.Run(r.name, func(t *testing.T) {
			a := publishRow{path: topic, body: r.body, headers: headers(js), status: 400,
				code: "json-invalid"}.check(t, s, c)
			if got := a.problem(t).Offset; got != r.offset {
				t.Errorf("offset %d, want %d", got, r.offset)
			}
		})
	}
	for _, r := range []struct {
		name, body string
		index      int
	}{
		{"row 53: the first", `{"topic":"a"}` + "\n" + good, 0},
		{"row 53: the last", good + good + `{"topic":"a..b","data":1}`, 2},
		{"row 53: empty lines do not count", "\n" + good + "\n\n" + `{"topic":"a..b","data":1}`, 1},
	} {
		t.Run(r.name, func(t *testing.T) {
			a := s.do("POST", many, r.body, ndjson)
			if want := fmt.Sprintf(`"index":%d`, r.index); a.status != 400 || !strings.Contains(
				a.body, want) || a.problem(t).Outcome != "not_stored" || !s.log.Head().IsZero() {
				t.Errorf("%d %s, want %s and nothing stored", a.status, a.body, want)
			}
			c.response(t, "POST", many, a)
		})
	}
}

// nested returns arrays nested this many levels deep.
func nested(levels int) string {
	return strings.Repeat("[", levels) + strings.Repeat("]", levels)
}

// TestDataRows: rows 41, 42, 47 and 48 of docs/ERRORS.md. What is accepted comes out as it went in:
// byte for byte in the log, with LF for other line ends on a stream.
func TestDataRows(t *testing.T) {
	const text = "text/plain"
	for _, r := range []struct {
		name, contentType, body string
		streamed                string // "" for the body as it is
	}{
		{"row 41: empty text", text, "", "null"},
		{"row 42: missing type", "", `{"a":1}`, ""},
		{"row 42: form", "application/x-www-form-urlencoded", `{"a":1}`, ""},
		{"row 45: as deep as may be", "application/json", nested(128), ""},
		{"row 47: beyond 2^53", "application/json", `[9007199254740993,-0,1E400,0.10]`, ""},
		{"row 48: line ends", text, "a\rb\r\nc\nd", "a\nb\nc\nd"},
		{"row 48: line ends at both ends", text, "\n\r\na\n", "\n\na\n"},
		{"row 48: separators", text, "a\u2028b\u2029c\u0085d", ""},
		{"row 48: leading spaces", text, "  a", ""},
		{"row 48: fields", text, "id: 1\nevent: x\n\ndata: y\nretry: 1", ""},
		{"row 48: byte order mark", text, "\ufeffa", ""},
		{"row 48: line ends in JSON", "application/json", "{\r\n\"a\":\r1}", "{\n\"a\":\n1}"},
	} {
		t.Run(r.name, func(t *testing.T) {
			s := start(t)
			var given []string
			if r.contentType != "" {
				given = headers("Content-Type: " + r.contentType)
			}
			location := publishRow{path: "/v1/topics/a/events", body: r.body, headers: given,
				status: 201}.check(t, s, newContract(t, s)).header.Get("Location")
			stored := s.stored(location)
			if string(stored) != r.body {
				t.Errorf("stored %q, want %q", stored, r.body)
			}
			want := r.streamed
			if want == "" {
				want = r.body
			}
			if events := s.open(t.Context(), "/v1/stream?since=earliest",
				"").until("tidings.live"); len(events) != 3 || string(events[1].Data) != want {
				t.Errorf("streamed %q, want one event with %q", events, want)
			}
			var one struct{ Data json.RawMessage }
			s.do("GET", location, "").decode(t, &one)
			if r.contentType != text && string(one.Data) != compact(t, r.body) {
				t.Errorf("by ID: %s, want %s", one.Data, r.body)
			}
		})
	}
	t.Run("row 173: deep JSON of before", func(t *testing.T) {
		s := start(t)
		data := nested(10_000)
		ids, err := store.Append(t.Context(), s.log, []store.Draft{{Topic: "a",
			ContentType: "application/json", Data: []byte(data)}})
		if err != nil {
			t.Fatal(err)
		}
		want := `"data_base64":"` + base64.StdEncoding.EncodeToString([]byte(data)) + `"`
		for _, path := range []string{"/v1/events/" + ids[0].String(), "/v1/events?limit=1"} {
			if a := s.do("GET", path, ""); a.status != 200 || !strings.Contains(a.body, want) {
				t.Errorf("%s: %d %.200s, want base64", path, a.status, a.body)
			}
		}
		lines := s.do("GET", "/v1/events?limit=1", "", "Accept: application/x-ndjson")
		if !strings.Contains(lines.body, want) {
			t.Errorf("as lines: %.200s, want base64", lines.body)
		}
		for format, want := range map[string]string{"data": data, "cloudevents": want} {
			events := s.open(t.Context(), "/v1/stream?since=earliest&format="+format,
				"").until("tidings.live")
			if len(events) != 3 || !strings.Contains(string(events[1].Data), want) {
				t.Errorf("format=%s: %.200q", format, events)
			}
		}
	})
	t.Run("row 48: bytes", func(t *testing.T) {
		s := start(t)
		body := `{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"application/octet-stream","data_base64":"AA3/Cg=="}`
		a := publishRow{path: "/v1/topics/a/events", body: body,
			headers: headers("Content-Type: application/cloudevents+json"), status: 201}.check(t, s,
			newContract(t, s))
		if got := s.stored(a.header.Get("Location")); string(got) != "\x00\r\xff\n" {
			t.Errorf("stored %q", got)
		}
		if e := s.open(t.Context(), "/v1/stream?since=earliest",
			"").until("t"); string(e[len(e)-1].Data) != "AA3/Cg==" {
			t.Errorf("streamed %q", e)
		}
	})
}

// stored returns the data of an event as it is in the log.
func (s *server) stored(location string) []byte {
	s.t.Helper()
	id, err := store.ParseID(strings.TrimPrefix(location, "/v1/events/"))
	if err != nil {
		s.t.Fatal(err)
	}
	e, err := s.log.Get(id)
	if err != nil {
		s.t.Fatal(err)
	}
	return e.Data
}

// compact returns a JSON text without white space.
func compact(t testing.TB, text string) string {
	t.Helper()
	var out bytes.Buffer
	if err := json.Compact(&out, []byte(text)); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
