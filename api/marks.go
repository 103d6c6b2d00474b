package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"tidings/internal/wire"
	"tidings/store"
)

// maxUnread is how far unread events are counted.
const maxUnread = 1000

// markBody is a read mark in a response: one person's place in some topics, shared by that person's devices.
type markBody struct {
	ID     store.ID `json:"id"`
	Topics []string `json:"topics"`
	Unread int      `json:"unread"` // matching events after ID
	Capped bool     `json:"capped,omitempty"`
}

// marksAtOnce is the maximum length of a list of read marks.
const marksAtOnce = 100

// listedMark is a read mark in a list. Without an ID and topics, the caller may not read its topics, or not any more,
// or it is damaged.
type listedMark struct {
	Name   string    `json:"name"`
	ID     *store.ID `json:"id"`
	Topics []string  `json:"topics"`
}

// listMarks serves GET /v1/cursors: the caller's read marks, a hundred at a time.
func (s *Server) listMarks(w http.ResponseWriter, r *http.Request, query url.Values) *problem {
	after := query.Get("after")
	if query.Has("after") && !isMarkName(after) {
		return badMarkName("after")
	}
	marks, err := s.log.Marks(grantOf(r).Owner(), after, marksAtOnce+1)
	if err != nil {
		return markProblem(err)
	}
	var body struct {
		Cursors []listedMark `json:"cursors"`
		Next    *string      `json:"next"`
	}
	body.Cursors = []listedMark{}
	if len(marks) > marksAtOnce {
		marks = marks[:marksAtOnce]
		body.Next = &marks[marksAtOnce-1].Name
	}
	held := int64(0)
	for i, m := range marks {
		row := listedMark{Name: m.Name}
		if !m.Topics.IsZero() && authoriseSubscribe(r, m.Topics) == nil {
			row.ID, row.Topics = &marks[i].ID, m.Topics.Patterns()
		}
		body.Cursors = append(body.Cursors, row)
		held += rowBytes + 2*int64(len(m.Topics.String()))
	}
	if !visitOf(r).answer.set(held) {
		return memoryFull()
	}
	writeJSON(w, http.StatusOK, "application/json", body)
	return nil
}

// getMark serves GET /v1/cursors/{name}.
func (s *Server) getMark(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	name, p := markName(r)
	if p != nil {
		return p
	}
	mark, err := s.log.Mark(grantOf(r).Owner(), name)
	if err != nil {
		return markProblem(err)
	}
	return s.answerMark(w, r, mark)
}

// putMark serves PUT /v1/cursors/{name}. The response is the mark as it is then; an older ID does not move it.
func (s *Server) putMark(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	name, p := markName(r)
	if p != nil {
		return p
	}
	if grantOf(r).Subscribe.IsZero() { // whatever the body says
		return &problem{code: "topic-forbidden", detail: "the token does not grant reading"}
	}
	mark, p := s.readMark(w, r, name)
	if p != nil {
		return p
	}
	if p := authoriseSubscribe(r, mark.Topics); p != nil {
		return p
	}
	mark, err := s.log.SetMark(r.Context(), grantOf(r).Owner(), name, mark)
	if err != nil {
		return markProblem(err)
	}
	return s.answerMark(w, r, mark)
}

// deleteMark serves DELETE /v1/cursors/{name}.
func (s *Server) deleteMark(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	name, p := markName(r)
	if p != nil {
		return p
	}
	if err := s.log.DeleteMark(r.Context(), grantOf(r).Owner(), name); err != nil {
		return markProblem(err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// readMark reads {"id","topics"}. Without topics an existing mark keeps its own.
func (s *Server) readMark(w http.ResponseWriter, r *http.Request,
	name string) (mark store.Mark, p *problem) {
	body, p := s.readBody(w, r, s.o.MaxEventBytes)
	if p != nil {
		return mark, p
	}
	m, err := wire.ParseObject(body)
	if err != nil {
		return mark, wireProblem(err)
	}
	for _, member := range m {
		if name := member.Name; name != "id" && name != "topics" {
			return mark, &problem{code: "member-invalid", field: name,
				detail: fmt.Sprintf(`unknown member %.64q beside "id" and "topics"`, name)}
		}
	}
	m.DropNulls()
	text, err := m.Text("id")
	if err != nil {
		return mark, wireProblem(err)
	}
	if mark.ID, err = store.ParseID(text); err != nil {
		return mark, &problem{code: "id-invalid", field: "id", detail: err.Error()}
	}
	if p := s.checkPosition(r.Context(), mark.ID); p != nil {
		return mark, p
	}
	mark.Topics, p = s.markTopics(r, name, m.Get("topics"))
	return mark, p
}

// checkPosition refuses an ID that was never in the log. What is unread after it could not be determined: events
// published since may lie before it.
func (s *Server) checkPosition(ctx context.Context, id store.ID) *problem {
	if p := s.reach(ctx, id); p != nil {
		return p
	}
	if s.log.Head().Before(id) {
		return &problem{code: "id-invalid", field: "id", detail: "the ID is beyond the end of the log"}
	}
	switch nearest, known, err := s.log.Resolve(id); {
	case err != nil:
		return storeProblem(err)
	case !known:
		return &problem{code: "id-invalid", field: "id", detail: fmt.Sprintf(
			"the log has no event %s; the nearest before it is %s", id, nearest)}
	}
	return nil
}

// markTopics reads the member "topics"; list is nil when it is missing.
func (s *Server) markTopics(r *http.Request, name string,
	list json.RawMessage) (store.Filter, *problem) {
	if list == nil {
		old, err := s.log.Mark(grantOf(r).Owner(), name)
		if err != nil {
			return store.Filter{}, &problem{code: "member-invalid", field: "topics",
				detail: `a new read mark needs "topics"`, cause: err}
		}
		return old.Topics, nil
	}
	return s.readTopics(list)
}

// answerMark counts the unread events and answers, unless the caller may not read those topics, or not any more.
func (s *Server) answerMark(w http.ResponseWriter, r *http.Request, mark store.Mark) *problem {
	if p := authoriseSubscribe(r, mark.Topics); p != nil {
		return p
	}
	unread, err := s.log.Count(mark.Topics, mark.ID, maxUnread+1)
	if err != nil {
		return markProblem(err)
	}
	writeJSON(w, http.StatusOK, "application/json",
		markBody{mark.ID, mark.Topics.Patterns(), min(unread, maxUnread), unread > maxUnread})
	return nil
}

func markName(r *http.Request) (string, *problem) {
	name, err := url.PathUnescape(variableOf(r))
	if err != nil || !isMarkName(name) {
		return "", badMarkName("name")
	}
	return name, nil
}

func badMarkName(field string) *problem {
	return &problem{code: "name-invalid", field: field,
		detail: fmt.Sprintf("a name is 1 to %d visible ASCII characters", store.MaxMarkName)}
}

func isMarkName(name string) bool {
	for _, c := range name {
		if c < '!' || c > '~' {
			return false
		}
	}
	return name != "" && len(name) <= store.MaxMarkName
}

// markProblem is storeProblem, worded for read marks.
func markProblem(err error) *problem {
	p := storeProblem(err)
	switch {
	case errors.Is(err, store.ErrNotFound):
		p.code, p.detail = "mark-not-found", "no read mark with this name"
	case errors.Is(err, store.ErrCorrupt):
		p.code, p.detail = "internal", "the read mark is damaged; set it again"
	}
	return p
}
