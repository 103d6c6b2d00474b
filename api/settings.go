package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"time"

	"tidings/deliver"
	"tidings/internal/wire"
	"tidings/store"
)

// maxSettings bounds the body of a PUT; a log stores no more of it.
const maxSettings = store.MaxDeliveryRecord

// readSettings reads the body of a PUT.
func (s *Server) readSettings(w http.ResponseWriter, r *http.Request) (set deliver.Settings, p *problem) {
	body, p := s.readBody(w, r, maxSettings)
	if p != nil {
		return set, p
	}
	m, err := wire.ParseObject(body)
	if err != nil {
		return set, wireProblem(err)
	}
	m.DropNulls()
	for i := range m {
		if p := s.readSetting(r.Context(), &set, m, m[i].Name); p != nil {
			return set, p
		}
	}
	return set, nil
}

func (s *Server) readSetting(ctx context.Context, set *deliver.Settings, m wire.Object,
	member string) (p *problem) {
	value := m.Get(member)
	if into := textSetting(set, member); into != nil {
		return readText(into, m, member)
	}
	switch member {
	case "template":
		set.Template = value
		return nil
	case "in_flight":
		p = readInto(&set.InFlight, member, value, fmt.Sprintf("a number from 1 to %d", deliver.MaxInFlight))
		set.InFlight = cmp.Or(set.InFlight, -1) // 0 is not a number of requests, and would leave it unchanged
		return p
	case "incomplete":
		return readInto(&set.Incomplete, member, value, "true or false")
	case "topics":
		set.Topics, p = s.readTopics(value)
		return p
	case "give_up_after_seconds":
		if set.GiveUpAfter, p = readSeconds(member, value); p == nil && set.GiveUpAfter < deliver.MinGiveUpAfter {
			p = &problem{code: "member-invalid", field: member, detail: "expected a number of seconds, 1 at least"}
		}
		return p
	case "secret_overlap_seconds":
		overlap, p := readSeconds(member, value)
		set.Overlap = &overlap
		return p
	case "from":
		var from string
		if p := readText(&from, m, member); p != nil {
			return p
		}
		set.From, p = s.readFrom(ctx, from)
		return p
	}
	return &problem{code: "member-invalid", field: member, detail: fmt.Sprintf(`unknown member %.64q beside "kind", `+
		`"url", "topics", "secret", "secret_overlap_seconds", "format", "to", "sender", "user", "language", "time_zone", `+
		`"detail", "template", `+
		`"give_up_after_seconds", "on_give_up", "order", "in_flight", "incomplete" and "from"`, member)}
}

// textSetting returns where a text member goes; nil for other members.
func textSetting(set *deliver.Settings, member string) *string {
	return map[string]*string{"kind": (*string)(&set.Kind), "url": &set.URL, "secret": &set.Secret,
		"format": (*string)(&set.Format), "language": &set.Language, "time_zone": &set.TimeZone,
		"detail": (*string)(&set.Detail), "to": &set.To, "sender": &set.Sender, "user": &set.User,
		"on_give_up": (*string)(&set.OnGiveUp), "order": (*string)(&set.Order)}[member]
}

// readText reads a member that is a text.
func readText(into *string, m wire.Object, member string) *problem {
	var err error
	if *into, err = m.Text(member); err == nil && *into == "" {
		return &problem{code: "member-invalid", field: member, detail: "expected non-empty text"}
	}
	return wireProblem(err)
}

// readInto reads a member with JSON's own decoding.
func readInto(into any, member string, value json.RawMessage, expected string) *problem {
	if json.Unmarshal(value, into) != nil {
		return &problem{code: "member-invalid", field: member, detail: "expected " + expected}
	}
	return nil
}

// maxSeconds is ten years.
const maxSeconds = 10 * 365 * 24 * 3600

func badSeconds(member string) *problem {
	return &problem{code: "member-invalid", field: member, detail: "expected a number of seconds, such as 86400"}
}

func readSeconds(member string, value json.RawMessage) (time.Duration, *problem) {
	var seconds float64
	if err := json.Unmarshal(value, &seconds); err != nil || math.IsNaN(seconds) || seconds < 0 ||
		seconds > maxSeconds {
		return 0, badSeconds(member)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// readFrom reads where a new delivery starts; nil is after the newest event.
func (s *Server) readFrom(ctx context.Context, text string) (*store.ID, *problem) {
	switch text {
	case "latest":
		head := s.log.Head()
		return &head, nil
	case "earliest":
		return &store.ID{}, nil
	}
	id, err := store.ParseID(text)
	if err != nil {
		return nil, &problem{code: "member-invalid", field: "from",
			detail: `expected "latest", "earliest" or the ID of an event`}
	}
	if p := s.checkPosition(ctx, id); p != nil {
		p.field = "from"
		return nil, p
	}
	return &id, nil
}

// readTopics reads a list of patterns.
func (s *Server) readTopics(list json.RawMessage) (store.Filter, *problem) {
	var patterns []string
	if err := json.Unmarshal(list, &patterns); err != nil || len(patterns) == 0 ||
		len(patterns) > s.o.MaxSubscriptionTopics {
		return store.Filter{}, &problem{code: "member-invalid", field: "topics",
			detail: fmt.Sprintf(`"topics" is a list of 1 to %d topics or patterns`,
				s.o.MaxSubscriptionTopics)}
	}
	filter, err := store.NewFilter(patterns...)
	if err != nil {
		return store.Filter{}, &problem{code: "topic-invalid", field: "topics",
			detail: err.Error()}
	}
	return filter, nil
}
