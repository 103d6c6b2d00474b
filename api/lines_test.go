package api_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// TestLongEventsHaveShortLines: a client that accepts no line above 128 KiB, like aiohttp and a bufio.Scanner with a
// buffer of that size, reads JSON events of a megabyte in each format of a stream, from the log and from memory. Text
// keeps its lines.
func TestLongEventsHaveShortLines(t *testing.T) {
	const size = 1_000_000
	numbers := "[" + strings.Repeat("1234567,", size/8) + "0]"
	objects := "[" + strings.Repeat(`{"a" : "b\"[,"},`, size/16) + "{}]"
	for _, format := range []string{"data", "cloudevents"} {
		t.Run("row 220: "+format, func(t *testing.T) {
			s := start(t)
			s.publish("big", numbers)
			live := s.open(t.Context(), "/v1/topics/big/stream?format="+format, "").resp.Body
			s.publish("big", objects)
			s.do("POST", "/v1/topics/big/events?type=last", "one\ntwo", "Content-Type: text/plain")
			past := s.open(t.Context(), "/v1/stream?since=earliest&format="+format, "").resp.Body
			want := []string{numbers, objects}
			checkLines(t, bufio.NewScanner(past), want)
			checkLines(t, bufio.NewScanner(live), want[1:])
		})
	}
}

// checkLines reads until the text, and wants these JSON events before it.
func checkLines(t *testing.T, lines *bufio.Scanner, want []string) {
	t.Helper()
	lines.Buffer(nil, 128<<10)
	var data []string
	control := false
	for lines.Scan() {
		line := lines.Text()
		if value, ok := strings.CutPrefix(line, "data: "); ok {
			data = append(data, value)
		} else if strings.HasPrefix(line, "event: tidings.") {
			control = true
		}
		if line != "" {
			continue
		}
		text := strings.Join(data, "\n")
		switch {
		case control:
		case text == "one\ntwo" || strings.Contains(text, `"one\ntwo"`):
			if len(want) > 0 {
				t.Errorf("%d events did not come", len(want))
			}
			return
		case len(want) == 0:
			t.Errorf("%.100q came too", text)
		default:
			if !sameJSON(text, want[0]) {
				t.Errorf("got %.100q (%d bytes), want %.100q", text, len(text), want[0])
			}
			want = want[1:]
		}
		data, control = nil, false
	}
	t.Errorf("the stream ends: %v", lines.Err())
}

// sameJSON compares the data of a frame, or of the CloudEvent in it, with JSON.
func sameJSON(frame, want string) bool {
	var envelope struct{ Data json.RawMessage }
	if json.Unmarshal([]byte(frame), &envelope) == nil {
		frame = string(envelope.Data)
	}
	var a, b bytes.Buffer
	return json.Compact(&a, []byte(frame)) == nil && json.Compact(&b, []byte(want)) == nil &&
		a.String() == b.String()
}
