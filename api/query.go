package api

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"tidings/replay"
	"tidings/store"
)

// params are the query parameters that an endpoint accepts.
type params struct {
	single    []string
	repeated  []string // may be given more than once
	unchecked bool     // the query is not parsed
}

// parse returns the query's parameters. A syntax error, an unknown parameter or one that may not be repeated but is
// makes a problem: a typo must not subscribe to everything.
func (takes params) parse(r *http.Request) (url.Values, *problem) {
	if takes.unchecked || r.URL.RawQuery == "" {
		return nil, nil
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, &problem{code: "query-invalid",
			detail: "the query is not well-formed: " + err.Error()}
	}
	for name, given := range values {
		switch {
		case slices.Contains(takes.repeated, name):
		case !slices.Contains(takes.single, name):
			return nil, &problem{code: "query-invalid", field: name,
				detail: fmt.Sprintf("unknown parameter %.64q; %s", name, takes.expected())}
		case len(given) > 1:
			return nil, &problem{code: "query-invalid", field: name,
				detail: "parameter " + name + " may be given once"}
		}
	}
	return values, nil
}

func (takes params) expected() string {
	known := slices.Sorted(slices.Values(slices.Concat(takes.single, takes.repeated)))
	if len(known) == 0 {
		return "none is expected here (an event in an envelope names its topic and type there)"
	}
	return "expected one of: " + strings.Join(known, ", ")
}

// spaceOfZone is where a + was not escaped: in a query it means a space (URL §5.1).
var spaceOfZone = regexp.MustCompile(` (\d\d:\d\d)$`)

// plusOfZone gives a time its zone's sign back.
func plusOfZone(time string) string { return spaceOfZone.ReplaceAllString(time, "+$1") }

// pathTopic returns the topic in the path, decoded and checked.
func pathTopic(r *http.Request) (string, *problem) {
	topic, err := url.PathUnescape(variableOf(r))
	if err == nil {
		err = store.ValidateTopic(topic)
	}
	if err != nil {
		return "", &problem{code: "topic-invalid", field: "topic", detail: err.Error()}
	}
	return topic, nil
}

// subscription is what a stream asks for.
type subscription struct {
	filter store.Filter
	start  replay.Start
	format *replay.Format // of a stream
}

// cursorNames are the parameters that may carry a cursor, for clients that cannot set the Last-Event-ID header; the
// later ones are the names that other servers use.
var cursorNames = []string{"after", "last_event_id", "lastEventId"}

func (s *Server) parseSubscription(r *http.Request,
	query url.Values) (subscription, *problem) {
	format, ok := formats[query.Get("format")]
	if !ok {
		return subscription{}, &problem{code: "query-invalid", field: "format", detail: fmt.Sprintf(
			`expected "data" or "cloudevents", got %.64q`, query.Get("format"))}
	}
	filter, p := s.parseFilter(r, query["topic"])
	if p != nil {
		return subscription{}, p
	}
	start, p := s.parseStart(r, query)
	return subscription{filter, start, format}, p
}

func (s *Server) parseFilter(r *http.Request, patterns []string) (store.Filter, *problem) {
	if variableOf(r) != "" {
		if len(patterns) > 0 {
			return store.Filter{}, &problem{code: "query-invalid", field: "topic",
				detail: "the topic is in the path already"}
		}
		topic, p := pathTopic(r)
		if p != nil {
			return store.Filter{}, p
		}
		patterns = []string{topic}
	}
	if len(patterns) == 0 {
		granted := grantOf(r).Subscribe
		return granted, authoriseSubscribe(r, granted)
	}
	if len(patterns) > s.o.MaxSubscriptionTopics {
		return store.Filter{}, &problem{code: "too-many-topics", field: "topic",
			detail: fmt.Sprintf("at most %d topics in one subscription, got %d",
				s.o.MaxSubscriptionTopics, len(patterns))}
	}
	filter, err := store.NewFilter(patterns...)
	if err != nil {
		return store.Filter{}, &problem{code: "topic-invalid", field: "topic", detail: err.Error()}
	}
	return filter, authoriseSubscribe(r, filter)
}

// parseStart returns where the stream starts. The header wins: EventSource keeps its URL, and with it the parameters,
// when it reconnects. Only a header that is not an ID gives way to a parameter that is.
func (s *Server) parseStart(r *http.Request, query url.Values) (replay.Start, *problem) {
	cursor, p := queryCursor(query)
	if p != nil {
		return replay.Start{}, p
	}
	start, p := s.parseSinceOrLast(query)
	if p != nil {
		return start, p
	}
	if header := headerCursor(r); header != "" && (isID(header) || !isID(cursor)) {
		cursor = header
	}
	if cursor != "" {
		return replay.After(cursor), nil
	}
	return start, nil
}

// headerCursor returns the last Last-Event-ID that is not absent, "" if there is none.
func headerCursor(r *http.Request) string {
	for _, v := range slices.Backward(r.Header.Values("Last-Event-ID")) {
		if !isAbsent(v) {
			return v
		}
	}
	return ""
}

// queryCursor returns the cursor in the query, "" if there is none.
func queryCursor(query url.Values) (cursor string, p *problem) {
	for _, name := range cursorNames {
		v := query.Get(name)
		switch {
		case isAbsent(v):
		case cursor != "":
			return "", &problem{code: "query-invalid", field: name,
				detail: "the cursor is given twice"}
		default:
			cursor = v
		}
	}
	return cursor, nil
}

// isAbsent reports whether there is no cursor: a script makes these values of a variable that was never set.
func isAbsent(cursor string) bool {
	return cursor == "" || cursor == "null" || cursor == "undefined"
}

func isID(cursor string) bool {
	_, err := store.ParseID(cursor)
	return err == nil
}

// parseSinceOrLast returns where a client without a cursor starts.
func (s *Server) parseSinceOrLast(query url.Values) (replay.Start, *problem) {
	since, last := replay.Latest(), replay.Latest()
	if v := query.Get("since"); v != "" {
		var err error
		if since, err = replay.ParseSince(plusOfZone(v), s.o.Clock.Past); err != nil {
			return replay.Start{}, &problem{code: "query-invalid", field: "since",
				detail: err.Error()}
		}
	}
	if v := query.Get("last"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			return replay.Start{}, &problem{code: "query-invalid", field: "last",
				detail: fmt.Sprintf("expected a count of 0 or more, got %.64q", v)}
		}
		last = replay.Last(n)
	}
	switch {
	case query.Get("last") == "":
		return since, nil
	case query.Get("since") == "":
		return last, nil
	default:
		return replay.Start{}, &problem{code: "query-invalid", field: "last",
			detail: "since and last are mutually exclusive"}
	}
}
