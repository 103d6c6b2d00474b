package wire

import (
	"encoding/base64"
	"encoding/json"

	"tidings/internal/sse"
	"tidings/store"
)

// AppendDataFrame appends an event as a frame whose data is the payload and whose event name is the
// type: format=data of a stream.
func AppendDataFrame(dst []byte, e *store.Event) []byte {
	data := e.Data
	switch {
	case len(data) == 0:
		data = null
	case mediaOf(e.ContentType) == binaryMedia:
		data = base64.StdEncoding.AppendEncode(nil, data)
	}
	return appendFrame(dst, e.ID, e.Type, data)
}

// AppendCloudEventFrame appends an event as a frame whose data is the whole event, as a CloudEvent,
// without an event name, so that one onmessage receives every type and knows the topic:
// format=cloudevents. It is compact, so it stands on one line.
func AppendCloudEventFrame(dst []byte, e *store.Event) []byte {
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
	body := NewBody(e)
	attributes := body.CloudEvent
	if attributes == nil {
		attributes = map[string]json.RawMessage{
			"id":     quoted(e.ID.String()),
			"source": quoted("/v1/topics/" + e.Topic),
			"time":   quoted(body.Time),
		}
	}
	attributes["specversion"] = quoted("1.0")
	attributes["type"] = Marshal(e.Type)
	attributes["topic"] = quoted(e.Topic)
	attributes["sequence"] = quoted(e.ID.String())
	if e.ContentType != "" {
		attributes["datacontenttype"] = Marshal(e.ContentType)
	}
	switch {
	case body.DataBase64 != nil:
		attributes["data_base64"] = quoted(base64.StdEncoding.EncodeToString(body.DataBase64))
	case len(e.Data) > 0 || mediaOf(e.ContentType) == textMedia:
		attributes["data"] = body.Data
	}
	return Marshal(attributes)
}

// quoted is a text that needs no escapes as JSON.
func quoted(text string) json.RawMessage { return json.RawMessage(`"` + text + `"`) }
