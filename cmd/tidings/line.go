package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"tidings/internal/sse"
	"tidings/internal/wire"
	"tidings/store"
)

// steers are the characters that can move a terminal's cursor, change colours, or reverse what is read: controls
// (C0, DEL, C1), and format characters, which include bidirectional ones.
var steers = []*unicode.RangeTable{unicode.Cc, unicode.Cf}

func canSteer(r rune) bool { return r == utf8.RuneError || unicode.In(r, steers...) }

// printable makes s one line that cannot steer a terminal: such characters become escapes.
func printable(s string) string {
	if strings.IndexFunc(s, canSteer) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.In(r, steers...) {
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteRune(r) // U+FFFD for what is not UTF-8
		}
	}
	return b.String()
}

// escapeControls returns JSON with the same meaning that cannot steer a terminal. White space between tokens stays.
func escapeControls(text []byte) []byte {
	escaped := make([]byte, 0, len(text)+1)
	for _, r := range string(text) { // what is not UTF-8 becomes U+FFFD
		if r >= ' ' && unicode.In(r, steers...) {
			for _, unit := range utf16.Encode([]rune{r}) {
				escaped = fmt.Appendf(escaped, `\u%04x`, unit)
			}
		} else {
			escaped = utf8.AppendRune(escaped, r)
		}
	}
	return escaped
}

// textLine formats an event for people: ID, type and data.
func textLine(e sse.Event) []byte {
	var b bytes.Buffer
	if json.Compact(&b, e.Data) != nil { // then b is unchanged
		b.WriteString(printable(string(e.Data)))
	}
	data := escapeControls(b.Bytes())
	return fmt.Appendf(nil, "%s %s %s\n", printable(e.ID), printable(e.Type), data)
}

// jsonLine formats an event for programs. Data that is JSON keeps everything but insignificant white space, so
// numbers keep their digits; anything else becomes a JSON string.
func jsonLine(e sse.Event) []byte {
	line := struct {
		ID   string          `json:"id"`
		Time string          `json:"time,omitempty"`
		Type string          `json:"type"`
		Data json.RawMessage `json:"data"`
	}{ID: e.ID, Type: e.Type, Data: e.Data}
	if id, err := store.ParseID(e.ID); err == nil {
		line.Time = id.Time().Format(wire.TimeFormat)
	}
	if !json.Valid(e.Data) {
		line.Data = wire.Marshal(string(e.Data))
	}
	return append(escapeControls(wire.Marshal(line)), '\n')
}
