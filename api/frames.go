package api

import (
	"encoding/base64"
	"encoding/json"

	"tidings/internal/sse"
	"tidings/replay"
	"tidings/store"
)

// Control events. Only open and heartbeat carry an ID: they move the client's cursor on purpose.
const (
	eventGap       = "tidings.gap"
	eventOpen      = "tidings.open"
	eventLive      = "tidings.live"
	eventHeartbeat = "tidings.heartbeat"
	eventBye       = "tidings.bye"

	byeShutdown     = "shutdown"
	byeExpiredToken = "expired-token"
	byeOverloaded   = "overloaded"
)

// dataFormat is format=data: the data of the frame is the payload.
var dataFormat = &replay.Format{Name: "data", AppendFrame: appendEvent}

// null stands for no data and for empty text, which an EventSource would not dispatch.
var null = []byte("null")

func appendEvent(dst []byte, e *store.Event) []byte {
	data := e.Data
	switch {
	case len(data) == 0:
		data = null
	case mediaOf(e.ContentType) == binaryMedia:
		data = base64.StdEncoding.AppendEncode(nil, data)
	}
	var id [26]byte // a string of it that does not escape needs no allocation
	text, _ := e.ID.AppendText(id[:0])
	return sse.AppendEvent(dst, string(text), e.Type, data)
}

// appendControl appends a control event; an empty id leaves the client's cursor where it is.
func appendControl(dst []byte, id, event string, data any) []byte {
	text, _ := json.Marshal(data) // of our own types, which all can be
	return sse.AppendEvent(dst, id, event, text)
}

func appendGap(dst []byte, g *replay.Gap) []byte {
	return appendControl(dst, "", eventGap, struct {
		Reason    replay.Reason `json:"reason"`
		Requested string        `json:"requested"`
		Through   store.ID      `json:"through"`
		First     *store.ID     `json:"first"`
		Last      *store.ID     `json:"last"`
		Detail    string        `json:"detail"`
	}{g.Reason, g.Requested, g.Through, idOrNull(g.First), idOrNull(g.Last), g.Detail})
}

func appendOpen(dst []byte, id, log store.ID, resumed bool) []byte {
	return appendControl(dst, id.String(), eventOpen, struct {
		Log    store.ID `json:"log"`
		Resume bool     `json:"resume"`
	}{log, resumed})
}

func appendLive(dst []byte, last store.ID) []byte {
	return appendControl(dst, "", eventLive, struct {
		Last store.ID `json:"last"`
	}{last})
}

func appendHeartbeat(dst []byte, through store.ID) []byte {
	return appendControl(dst, through.String(), eventHeartbeat, struct{}{})
}

func appendBye(dst []byte, reason string) []byte {
	return appendControl(dst, "", eventBye, struct {
		Reason string `json:"reason"`
	}{reason})
}

// idOrNull is what an ID is in JSON when zero means that there is none.
func idOrNull(id store.ID) *store.ID {
	if id.IsZero() {
		return nil
	}
	return &id
}
