package wire

import "tidings/store"

// TimeFormat is the format of times: RFC 3339 in UTC, to the millisecond that an ID has.
const TimeFormat = "2006-01-02T15:04:05.000Z07:00"

// null stands for no data and, on a stream, for empty text, which many clients would not dispatch.
var null = []byte("null")

// head is an event in a response, without its data, which BodyWriter writes: the payload itself if it is JSON, a JSON
// string if it is text, null if there is none; other data is in data_base64, and so is JSON that nests deeper than
// MaxDepth, which a log may have from before that limit. The attributes that it was published with follow as "ce".
type head struct {
	ID          store.ID `json:"id"`
	Topic       string   `json:"topic"`
	Type        string   `json:"type"`
	Time        string   `json:"time"`
	ContentType string   `json:"datacontenttype,omitempty"`
}

func headOf(e *store.Event) head {
	return head{ID: e.ID, Topic: e.Topic, Type: e.Type, Time: e.Time().Format(TimeFormat),
		ContentType: e.ContentType}
}
