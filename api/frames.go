package api

import (
	"tidings/internal/sse"
	"tidings/internal/wire"
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
)

// bye is why the server ends a stream: the cause of the end of its context, and the reason sent to its client.
type bye string

const (
	byeShutdown     bye = "shutdown"
	byeExpiredToken bye = "expired-token"
	byeLifetime     bye = "lifetime"
	byeOverloaded   bye = "overloaded"
	byeDisconnected bye = "disconnected"
	byeUnavailable  bye = "unavailable"
)

func (b bye) Error() string { return "the server ended the stream: " + string(b) }

// appendControl appends a control event; an empty id leaves the client's cursor where it is.
func appendControl(dst []byte, id, event string, data any) []byte {
	return sse.AppendEvent(dst, id, event, wire.Marshal(data))
}

func appendGap(dst []byte, g *replay.Gap) []byte {
	return sse.AppendEvent(dst, "", eventGap, gapJSON(g))
}

func gapJSON(g *replay.Gap) []byte {
	return wire.Marshal(struct {
		Reason    replay.Reason `json:"reason"`
		Requested string        `json:"requested"`
		Through   store.ID      `json:"through"`
		First     *store.ID     `json:"first"`
		Last      *store.ID     `json:"last"`
		Detail    string        `json:"detail"`
	}{g.Reason, g.Requested, g.Through, idOrNull(g.First), idOrNull(g.Last), g.Detail})
}

// appendOpen reports where the stream starts, after how much silence a client may consider it dead, and which
// subscriber it is.
func appendOpen(dst []byte, id store.ID, resumed bool, o *scriptOptions) []byte {
	return appendControl(dst, id.String(), eventOpen, struct {
		Log        store.ID `json:"log"`
		Who        string   `json:"who"`
		Resume     bool     `json:"resume"`
		Heartbeat  float64  `json:"heartbeat_seconds"`
		Subscriber string   `json:"subscriber"`
	}{o.log, o.who, resumed, o.heartbeat.Seconds(), o.subscriber})
}

func appendLive(dst []byte, last store.ID) []byte {
	return appendControl(dst, "", eventLive, struct {
		Last store.ID `json:"last"`
	}{last})
}

func appendHeartbeat(dst []byte, through store.ID) []byte {
	return appendControl(dst, through.String(), eventHeartbeat, struct{}{})
}

func appendBye(dst []byte, reason bye) []byte {
	return appendControl(dst, "", eventBye, struct {
		Reason bye `json:"reason"`
	}{reason})
}
