package wire

import (
	"encoding/json"

	"tidings/store"
)

// TimeFormat is how times are told: RFC 3339 in UTC, to the millisecond that an ID knows.
const TimeFormat = "2006-01-02T15:04:05.000Z07:00"

// null stands for no data and, on a stream, for empty text, which many clients would not dispatch.
var null = []byte("null")

// Body is an event in an answer. Data is the payload itself when it is JSON, a JSON string when it
// is text, null when there is none; other data is in DataBase64, and so is JSON that nests deeper
// than MaxDepth, which a log may have from before that limit.
type Body struct {
	ID          store.ID        `json:"id"`
	Topic       string          `json:"topic"`
	Type        string          `json:"type"`
	Time        string          `json:"time"`
	ContentType string          `json:"datacontenttype,omitempty"`
	Data        json.RawMessage `json:"data,omitempty"`
	DataBase64  []byte          `json:"data_base64,omitempty"`
	// the attributes it was published with
	CloudEvent map[string]json.RawMessage `json:"ce,omitempty"`
}

// NewBody returns the Body of an event, whose data it shares.
func NewBody(e *store.Event) Body {
	b := Body{ID: e.ID, Topic: e.Topic, Type: e.Type, Time: e.Time().Format(TimeFormat),
		ContentType: e.ContentType}
	switch kind := mediaOf(e.ContentType); {
	case len(e.Data) == 0 && kind != textMedia:
		b.Data = json.RawMessage(null)
	case kind == jsonMedia && !isDeep(e.Data):
		b.Data = e.Data
	case kind == textMedia:
		b.Data = Marshal(string(e.Data))
	default:
		b.DataBase64 = e.Data
	}
	if len(e.Attributes) > 0 {
		b.CloudEvent = make(map[string]json.RawMessage)
		for _, a := range e.Attributes {
			b.CloudEvent[a.Name] = json.RawMessage(a.Value)
		}
	}
	return b
}
