package wire

import (
	"encoding/base64"
	"encoding/json"

	"tidings/internal/sse"
	"tidings/store"
)

// AppendDataFrame appends an event as a frame whose data is the payload and whose event name is the
// type: format=data of a stream. JSON is broken into lines of sse.MaxJSONLine.
func AppendDataFrame(dst []byte, e *store.Event) []byte {
	data, media := e.Data, mediaOf(e.ContentType)
	switch {
	case len(data) == 0:
		data = null
	case media == binaryMedia:
		dst = appendFrame(dst, e.ID, e.Type, nil, false)
		dst = base64.StdEncoding.AppendEncode(dst[:len(dst)-len("\n\n")], data) // in place
		return append(dst, "\n\n"...)
	}
	return appendFrame(dst, e.ID, e.Type, data, media == jsonMedia)
}

// AppendCloudEventFrame appends an event as a frame whose data is the whole event, as a CloudEvent, without an event
// name, so that one onmessage receives every type and knows the topic: format=cloudevents. It is compact and on one
// line, unless broken as by [AppendDataFrame].
func AppendCloudEventFrame(dst []byte, e *store.Event) []byte {
	return appendFrame(dst, e.ID, "", AppendEnvelope(nil, e), true)
}

func appendFrame(dst []byte, id store.ID, event string, data []byte, isJSON bool) []byte {
	var text [26]byte // a string made from it that does not escape needs no allocation
	id26, _ := id.AppendText(text[:0])
	if isJSON {
		return sse.AppendJSONEvent(dst, string(id26), event, data)
	}
	return sse.AppendEvent(dst, string(id26), event, data)
}

// AppendEnvelope appends the event as a CloudEvent (CloudEvents JSON format 1.0.2). An event that was published as
// one keeps its attributes; otherwise id, source and time are ours. topic and sequence always are.
func AppendEnvelope(dst []byte, e *store.Event) []byte {
	attributes := attributesOf(e)
	if attributes["id"] == nil { // the server's own events have at most a subject
		attributes["id"] = quoted(e.ID.String())
		attributes["source"] = quoted("/v1/topics/" + e.Topic)
		attributes["time"] = quoted(e.Time().Format(TimeFormat))
	}
	attributes["specversion"] = quoted("1.0")
	attributes["type"] = Marshal(e.Type)
	attributes["topic"] = quoted(e.Topic)
	attributes["sequence"] = quoted(e.ID.String())
	if e.ContentType != "" {
		attributes["datacontenttype"] = Marshal(e.ContentType)
	}
	text := Marshal(attributes)
	dst = append(dst, text[:len(text)-1]...)
	switch formOf(e) {
	case base64Data:
		dst = append(dst, `,"data_base64":"`...)
		dst = append(base64.StdEncoding.AppendEncode(dst, e.Data), '"')
	case textData:
		dst = appendText(append(dst, `,"data":`...), e.Data)
	case jsonData:
		dst = append(dst, `,"data":`...)
		compactRuns(e.Data, func(run []byte) { dst = append(dst, run...) })
	}
	return append(dst, '}')
}

// DataSize returns about what the data takes in the frame of AppendDataFrame.
func DataSize(e *store.Event) int {
	if mediaOf(e.ContentType) == binaryMedia {
		return base64.StdEncoding.EncodedLen(len(e.Data))
	}
	return len(e.Data)
}

// CloudEventDataSize returns about what the data takes in the frame of AppendCloudEventFrame, with the envelope's own
// members.
func CloudEventDataSize(e *store.Event) int {
	const own = 300
	switch formOf(e) {
	case textData:
		return own + quotedSize(e.Data)
	case base64Data:
		return own + base64.StdEncoding.EncodedLen(len(e.Data))
	default:
		return own + len(e.Data)
	}
}

// quoted returns a text that needs no escapes as JSON.
func quoted(text string) json.RawMessage { return json.RawMessage(`"` + text + `"`) }
