package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"tidings/deliver"
	"tidings/internal/wire"
	"tidings/replay"
	"tidings/store"
)

// replayDelivery serves POST /v1/deliveries/{name}/replay, and does not wait for the receiver.
func (s *Server) replayDelivery(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	name, p := markName(r)
	if p != nil {
		return p
	}
	what, p := s.readReplay(w, r)
	if p != nil {
		return p
	}
	d, err := senderOf(r).Replay(name, what)
	return s.ofDelivery(http.StatusAccepted, w, d, err)
}

// endReplay serves DELETE /v1/deliveries/{name}/replay.
func (s *Server) endReplay(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	name, p := markName(r)
	if p != nil {
		return p
	}
	d, err := senderOf(r).EndRun(name)
	return s.ofDelivery(http.StatusOK, w, d, err)
}

// readReplay reads which events to send again: one of "after", "since" and "ids".
func (s *Server) readReplay(w http.ResponseWriter, r *http.Request) (what deliver.Replay, p *problem) {
	body, p := s.readBody(w, r, maxSettings)
	if p != nil {
		return what, p
	}
	m, err := wire.ParseObject(body)
	if err != nil {
		return what, wireProblem(err)
	}
	m.DropNulls()
	starts := 0
	for i := range m {
		if p := s.readReplayMember(r.Context(), &what, m, m[i].Name, &starts); p != nil {
			return what, p
		}
	}
	if starts != 1 {
		return what, &problem{code: "member-invalid", field: "after",
			detail: `expected one of "after", "since" and "ids"`}
	}
	if len(what.IDs) > 0 && !what.Through.IsZero() {
		return what, &problem{code: "member-invalid", field: "through", detail: `it does not go with "ids"`}
	}
	return what, nil
}

func (s *Server) readReplayMember(ctx context.Context, what *deliver.Replay, m wire.Object, member string,
	starts *int) *problem {
	value := m.Get(member)
	switch member {
	case "after", "through":
		var id store.ID
		if json.Unmarshal(value, &id) != nil || member == "through" && id.IsZero() {
			return &problem{code: "member-invalid", field: member, detail: "expected the ID of an event"}
		}
		if p := s.checkPosition(ctx, id); p != nil {
			p.field = member
			return p
		}
		if member == "through" {
			what.Through = id
			return nil
		}
		*starts++
		what.Start = replay.After(id.String())
	case "since":
		*starts++
		text, err := m.Text(member)
		if err != nil {
			return wireProblem(err)
		}
		if what.Start, err = replay.ParseSince(text, s.o.Clock.Past); err != nil {
			return &problem{code: "member-invalid", field: member, detail: err.Error()}
		}
	case "ids":
		*starts++
		if json.Unmarshal(value, &what.IDs) != nil || len(what.IDs) == 0 || len(what.IDs) > deliver.MaxReplayIDs {
			return &problem{code: "member-invalid", field: member,
				detail: fmt.Sprintf("expected a list of 1 to %d event IDs", deliver.MaxReplayIDs)}
		}
	case "new_ids":
		return readInto(&what.NewIDs, member, value, "true or false")
	default:
		return &problem{code: "member-invalid", field: member, detail: fmt.Sprintf(`unknown member %.64q beside `+
			`"after", "since", "ids", "through" and "new_ids"`, member)}
	}
	return nil
}
