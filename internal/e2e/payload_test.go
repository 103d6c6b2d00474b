package e2e_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"tidings/internal/e2e"
)

// samples are what shops and help desks send: unexpected white space, text beyond ASCII, numbers beyond a float64,
// members in no order and duplicated, needless escapes.
var samples = []struct{ topic, eventType, data string }{
	{"orders.eu", "order.created",
		`{"order_id":9007199254740993,"total":1234567890.10,"currency":"EUR","items":[{"sku":"A-1","qty":2},{"sku":"Ü-7","qty":1e2}]}`},
	{"tickets", "ticket.opened",
		`{ "subject" :	"Löschen? 删除 🗑️ <b>&amp;</b>", "id": 42,  "tags":[ ] , "assignee":null }`},
	{"comments", "",
		`{"z":1,"a":2,"m":{"y":0,"b":-0.0},"text":"line\nbreak \u2028 \ud83d\ude00 \/ \"quoted\" ` +
			"\u2028" + `","a":3}`},
	{"orders.eu", "order.paid",
		`{"amount":0.1000,"exact":12345678901234567890123456789.000000000000000001,"at":"2025-01-31T23:59:60Z"}`},
	{"tickets", "ticket.closed",
		`  [1, 2.0 , "data: not a field", "id: neither", "event:nor this"]`},
}

// TestPayloads sends real data through the client verbs and a stream: the order and the bytes are kept.
func TestPayloads(t *testing.T) {
	ctx, client := newClient(t)
	server := start(t, t.TempDir())
	file := filepath.Join(t.TempDir(), "events.ndjson")
	if err := os.WriteFile(file, ndjson(t), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, want := tidings(t, "publish", "--ndjson", file, "--url", server.URL()),
		"published 5 events\n"; got != want {
		t.Errorf("publish says %q, want %q", got, want)
	}

	stream, err := e2e.Subscribe(ctx, client, server.URL(), "since=earliest", "")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	printed := strings.Split(tidings(t, "tail", "--url", server.URL(), "--since", "earliest",
		"--limit", strconv.Itoa(len(samples)), "--json"), "\n")
	if len(printed) != len(samples)+1 {
		t.Fatalf("tail prints %d lines, want %d:\n%s", len(printed)-1, len(samples),
			strings.Join(printed, "\n"))
	}
	for i := 0; i < len(samples); {
		e, err := stream.Next()
		if err != nil {
			t.Fatal(err)
		}
		if e2e.IsControl(e) {
			continue
		}
		want := samples[i]
		if want.eventType == "" {
			want.eventType = "message"
		}
		// A line has its data between other members: the white space around it belongs to the line.
		if data := strings.TrimSpace(want.data); string(e.Data) != data ||
			e.Type != want.eventType {
			t.Errorf("event %d on the stream:\n got %s %s\nwant %s %s", i, e.Type, e.Data,
				want.eventType, data)
		}
		checkPrinted(t, printed[i], e.ID, want.eventType, want.data)
		i++
	}
}

// checkPrinted compares a line of tail --json, which may omit insignificant white space.
func checkPrinted(t *testing.T, line, id, eventType, data string) {
	t.Helper()
	var got struct {
		ID, Type string
		Data     json.RawMessage
	}
	if err := json.Unmarshal([]byte(line), &got); err != nil {
		t.Errorf("tail prints %q: %v", line, err)
	}
	var want bytes.Buffer
	if err := json.Compact(&want, []byte(data)); err != nil {
		t.Fatal(err)
	}
	if got.ID != id || got.Type != eventType || string(got.Data) != want.String() {
		t.Errorf("tail prints:\n got %s\nwant %s, %s, %s", line, id, eventType, want.String())
	}
}

// ndjson makes the lines of publish --ndjson, with the data unchanged.
func ndjson(t *testing.T) []byte {
	t.Helper()
	var lines bytes.Buffer
	for _, s := range samples {
		lines.WriteString(`{"topic":"` + s.topic + `","data":` + s.data)
		if s.eventType != "" {
			lines.WriteString(` , "type":"` + s.eventType + `"`)
		}
		lines.WriteString("}\n")
	}
	return lines.Bytes()
}

// tidings runs a client verb to its end and returns its output.
func tidings(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = e2e.Environ()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tidings %s: %v\n%s", args[0], err, stderr.String())
	}
	return string(out)
}
