package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"tidings/deliver"
	"tidings/store"
)

// runBody is a redrive or replay, which runs beside the cursor.
type runBody struct {
	Kind    deliver.RunKind  `json:"kind"`
	Number  int              `json:"number"`
	State   deliver.RunState `json:"state"`
	Began   time.Time        `json:"began"`
	Ended   *time.Time       `json:"ended"`
	At      *store.ID        `json:"at"`
	Sent    int              `json:"sent"`
	Refused int              `json:"refused"`
	Gone    int              `json:"gone"`
	Error   string           `json:"error"`
}

func newRunBody(r *deliver.RunStatus) *runBody {
	if r == nil {
		return nil
	}
	b := &runBody{Kind: r.Kind, Number: r.Number, State: r.State, Began: r.Began, Ended: timeOrNull(r.Ended),
		Sent: r.Sent, Refused: r.Refused, Gone: r.Gone, Error: r.Failure}
	if !r.At.IsZero() {
		b.At = &r.At
	}
	return b
}

// deadBody is a dead letter.
type deadBody struct {
	ID       store.ID  `json:"id"`
	Topic    string    `json:"topic"`
	Attempts int       `json:"attempts"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Error    string    `json:"error"`
	Gone     bool      `json:"gone"`
}

// listDead serves GET /v1/deliveries/{name}/dead.
func (s *Server) listDead(w http.ResponseWriter, r *http.Request, query url.Values) *problem {
	name, p := markName(r)
	if p != nil {
		return p
	}
	var after store.ID
	if query.Has("after") {
		if after, p = queryID("after", query.Get("after")); p != nil {
			return p
		}
	}
	list, err := senderOf(r).Dead(name, after, deliveriesAtOnce+1)
	if err != nil {
		return deliveryProblem(err)
	}
	var body struct {
		Dead []deadBody `json:"dead"`
		Next *store.ID  `json:"next"`
	}
	body.Dead = []deadBody{}
	if len(list) > deliveriesAtOnce {
		list = list[:deliveriesAtOnce]
		body.Next = &list[deliveriesAtOnce-1].ID
	}
	for _, d := range list {
		body.Dead = append(body.Dead, deadBody{d.ID, d.Topic, d.Attempts, d.First, d.Last, d.Failure, d.Gone})
	}
	writeJSON(w, http.StatusOK, "application/json", body)
	return nil
}

// oneOrAll reads the name of a delivery, and ?id= or ?all=true; a nil id is all. An omission by mistake is not all.
func oneOrAll(r *http.Request, query url.Values) (name string, id *store.ID, p *problem) {
	if name, p = markName(r); p != nil {
		return name, nil, p
	}
	if query.Get("all") == "true" && !query.Has("id") {
		return name, nil, nil
	}
	if query.Has("all") || !query.Has("id") {
		return name, nil, &problem{code: "query-invalid", field: "all", detail: "expected ?id= and an ID, or ?all=true"}
	}
	one, p := queryID("id", query.Get("id"))
	return name, &one, p
}

func queryID(field, text string) (store.ID, *problem) {
	id, err := store.ParseID(text)
	if err != nil {
		return id, &problem{code: "query-invalid", field: field, detail: "expected the ID of an event"}
	}
	return id, nil
}

// forgetDead serves DELETE /v1/deliveries/{name}/dead.
func (s *Server) forgetDead(w http.ResponseWriter, r *http.Request, query url.Values) *problem {
	name, id, p := oneOrAll(r, query)
	if p != nil {
		return p
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.o.QueueTimeout)
	defer cancel()
	n, err := senderOf(r).Forget(ctx, name, id)
	if err != nil {
		return deliveryProblem(err)
	}
	writeJSON(w, http.StatusOK, "application/json", struct {
		Forgotten int `json:"forgotten"`
	}{n})
	return nil
}

// redrive serves POST /v1/deliveries/{name}/redrive, and does not wait for the receiver.
func (s *Server) redrive(w http.ResponseWriter, r *http.Request, query url.Values) *problem {
	name, id, p := oneOrAll(r, query)
	if p != nil {
		return p
	}
	d, err := senderOf(r).Redrive(name, id)
	return s.ofDelivery(http.StatusAccepted, w, d, err)
}
