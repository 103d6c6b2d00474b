package api

import (
	"encoding/base64"
	"encoding/json"

	"tidings/internal/sse"
	"tidings/replay"
	"tidings/store"
)

// formats are what ?format= may name.
var formats = map[string]*replay.Format{
	"":            dataFormat,
	"data":        dataFormat,
	"cloudevents": {Name: "cloudevents", AppendFrame: appendEnvelopeFrame},
}

// dataFormat is format=data: the data of the frame is the payload, its event name the type.
var dataFormat = &replay.Format{Name: "data", AppendFrame: appendDataFrame}

// null stands for no data and for empty text, which many clients would not dispatch.
var null = []byte("null")

func appendDataFrame(dst []byte, e *store.Event) []byte {
	data := e.Data
	switch {
	case len(data) == 0:
		data = null
	case mediaOf(e.ContentType) == binaryMedia:
		data = base64.StdEncoding.AppendEncode(nil, data)
	}
	return appendFrame(dst, e.ID, e.Type, data)
}

// appendEnvelopeFrame is format=cloudevents: the whole event in the data, without an event name, so
// that one onmessage receives every type and knows the topic. It is compact, so it stands on one
// line.
func appendEnvelopeFrame(dst []byte, e *store.Event) []byte {
	return appendFrame(dst, e.ID, "", envelope(e))
}

func appendFrame(dst []byte, id store.ID, event string, data []byte) []byte {
	var text [26]byte // a string of it that does not escape needs no allocation
	id26, _ := id.AppendText(text[:0])
	return sse.AppendEvent(dst, string(id26), event, data)
}

// envelope is the event as a CloudEvent (CloudEvents JSON format 1.0.2). An event that was
// published as one keeps its attributes; for another, id, source and time are ours. topic and
// sequence always are.
func envelope(e *store.Event) []byte {
	body := newEventBody(e)
	attributes := body.CloudEvent
	if attributes == nil {
		attributes = map[string]json.RawMessage{
			"id":     quoted(e.ID.String()),
			"source": quoted("/v1/topics/" + e.Topic),
			"time":   quoted(e.Time().Format(timeFormat)),
		}
	}
	attributes["specversion"] = quoted("1.0")
	attributes["type"] = jsonString(e.Type)
	attributes["topic"] = quoted(e.Topic)
	attributes["sequence"] = quoted(e.ID.String())
	if e.ContentType != "" {
		attributes["datacontenttype"] = jsonString(e.ContentType)
	}
	switch {
	case body.DataBase64 != nil:
		attributes["data_base64"] = quoted(base64.StdEncoding.EncodeToString(body.DataBase64))
	case len(e.Data) > 0 || mediaOf(e.ContentType) == textMedia:
		attributes["data"] = body.Data
	}
	return marshal(attributes)
}

// timeFormat is how times are told: RFC 3339 in UTC, to the millisecond that an ID knows.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// quoted is a text that needs no escapes as JSON.
func quoted(text string) json.RawMessage { return json.RawMessage(`"` + text + `"`) }
