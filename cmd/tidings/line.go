package main

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode"

	"tidings/internal/sse"
	"tidings/internal/wire"
	"tidings/store"
)

// printable makes s one line that cannot steer a terminal: control characters become escapes.
func printable(s string) string {
	if strings.IndexFunc(s, unicode.IsControl) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsControl(r) {
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// textLine is an event for reading: ID, type and data.
func textLine(e sse.Event) []byte {
	var b bytes.Buffer
	b.WriteString(printable(e.ID) + " " + printable(e.Type) + " ")
	if json.Compact(&b, e.Data) != nil { // then b is unchanged
		b.WriteString(printable(string(e.Data)))
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// jsonLine is an event for programs. Data that is JSON stays as it is but for insignificant white
// space, so numbers keep their digits; anything else becomes a JSON string.
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
	return append(wire.Marshal(line), '\n')
}
