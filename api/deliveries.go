package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"tidings/deliver"
	"tidings/internal/outbound"
	"tidings/internal/seal"
	"tidings/store"
)

// deliveriesAtOnce is the maximum length of a list of deliveries: the lag of each is counted.
const deliveriesAtOnce = 100

// testTimeout bounds a test, which also has its own timeout.
const testTimeout = time.Minute

// deliveryBody is a delivery in a response. It contains no secret, and the URL is one.
type deliveryBody struct {
	Name        string           `json:"name"`
	Tag         string           `json:"tag"`
	Kind        deliver.Kind     `json:"kind"`
	Origin      string           `json:"origin"`
	Topics      []string         `json:"topics"`
	Format      *deliver.Format  `json:"format"`
	GiveUpAfter float64          `json:"give_up_after_seconds"`
	OnGiveUp    deliver.OnGiveUp `json:"on_give_up"`
	To          *string          `json:"to"`
	Sender      *string          `json:"sender"`
	User        *string          `json:"user"`
	Language    *string          `json:"language"`
	TimeZone    *string          `json:"time_zone"`
	Detail      *deliver.Detail  `json:"detail"`
	Template    json.RawMessage  `json:"template"`
	Order       deliver.Order    `json:"order"`
	InFlight    int              `json:"in_flight"`
	Secret      secretBody       `json:"secret"`
	CreatedBy   string           `json:"created_by"`
	Created     time.Time        `json:"created"`
	State       deliver.State    `json:"state"`
	Reason      string           `json:"reason"`
	Cursor      store.ID         `json:"cursor"`
	LagEvents   int              `json:"lag_events"`
	LagSeconds  float64          `json:"lag_seconds"`
	Sent        *time.Time       `json:"sent"`
	Expiring    *expiringBody    `json:"expiring"`
	Failing     *failingBody     `json:"failing"`
	HeldBack    int              `json:"held_back"`
	Dead        int              `json:"dead"`
	Run         *runBody         `json:"run"`
}

type secretBody struct {
	Set     bool       `json:"set"`
	Changed *time.Time `json:"changed"`
}

// failingBody is the message that is failing.
type failingBody struct {
	ID       string     `json:"id"`
	Attempts int        `json:"attempts"`
	First    time.Time  `json:"first"`
	Last     time.Time  `json:"last"`
	Next     *time.Time `json:"next"`
	Error    string     `json:"error"`
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func textOrNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func (s *Server) deliveryBody(d deliver.Status, x *expiry) (deliveryBody, *problem) {
	b := deliveryBody{Name: d.Name, Tag: d.Tag, Kind: d.Kind, Origin: d.Origin, Topics: d.Topics, Template: d.Template,
		GiveUpAfter: d.GiveUpAfter.Seconds(), OnGiveUp: d.OnGiveUp, Order: d.Order, InFlight: d.InFlight,
		HeldBack: d.HeldBack, Dead: d.Dead, Run: newRunBody(d.Run),
		Secret:    secretBody{!d.SecretChanged.IsZero(), timeOrNull(d.SecretChanged)},
		CreatedBy: d.CreatedBy, Created: d.Created, State: d.State, Reason: d.Reason, Cursor: d.At,
		Sent: timeOrNull(d.Sent)}
	if b.Topics == nil {
		b.Topics = []string{} // of a damaged delivery
	}
	if d.Kind == deliver.Webhook {
		b.Format = &d.Format
	} else if d.Kind != "" {
		language, zone, detail := cmp.Or(d.Language, "en"), cmp.Or(d.TimeZone, "UTC"), cmp.Or(d.Detail, deliver.Count)
		b.Language, b.TimeZone, b.Detail = &language, &zone, &detail
	}
	b.To, b.Sender, b.User = textOrNull(d.To), textOrNull(d.Sender), textOrNull(d.User)
	if d.Due != "" {
		b.Failing = &failingBody{d.Due, d.Attempts, d.First, d.Last, timeOrNull(d.Next), d.Failure}
	}
	lag, err := s.log.Count(d.Filter(), d.Front, maxLag)
	if err != nil {
		return b, storeProblem(err)
	}
	var oldest *store.Event
	if b.LagEvents = min(lag+d.Lanes, maxLag); b.LagEvents > 0 {
		if oldest, err = s.waiting(&d, d.Filter(), 1); err != nil {
			return b, storeProblem(err)
		}
		if oldest != nil {
			b.LagSeconds = max(0, s.o.Now().Sub(oldest.Time()).Seconds())
		}
	}
	if b.Expiring, err = x.of(&d, oldest); err != nil {
		return b, storeProblem(err)
	}
	return b, nil
}

func (s *Server) deliveryRoutes() []route {
	none, oneOrAll := params{}, params{single: []string{"id", "all"}}
	return []route{
		{"/v1/deliveries", methods{"GET": {admin, params{single: []string{"after"}}, s.delivering(s.listDeliveries)},
			"POST": {admin, params{single: []string{"all"}}, s.delivering(s.allDeliveries)}}},
		{"/v1/deliveries/{name}", methods{"GET": {admin, none, s.delivering(s.getDelivery)},
			"PUT":    {admin, none, s.delivering(s.putDelivery)},
			"DELETE": {admin, none, s.delivering(s.deleteDelivery)}}},
		{"/v1/deliveries/{name}/pause", methods{"POST": {admin, none, s.changeDelivery(pauseDelivery)}}},
		{"/v1/deliveries/{name}/resume", methods{"POST": {admin, none, s.changeDelivery(resumeDelivery)}}},
		{"/v1/deliveries/{name}/skip", methods{"POST": {admin, params{single: []string{"id"}},
			s.changeDelivery((*deliver.Sender).Skip)}}},
		{"/v1/deliveries/{name}/dead", methods{
			"GET":    {admin, params{single: []string{"after"}}, s.delivering(s.listDead)},
			"DELETE": {admin, oneOrAll, s.delivering(s.forgetDead)}}},
		{"/v1/deliveries/{name}/redrive", methods{"POST": {admin, oneOrAll, s.delivering(s.redrive)}}},
		{"/v1/deliveries/{name}/replay", methods{"POST": {admin, none, s.delivering(s.replayDelivery)},
			"DELETE": {admin, none, s.delivering(s.endReplay)}}},
		{"/v1/deliveries/{name}/test", methods{"POST": {admin, none, s.delivering(s.testDelivery)}}},
	}
}

// delivering wraps a handler for servers that have deliveries.
func (s *Server) delivering(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request, query url.Values) *problem {
		return s.atDesk(w, r, func(d *Desk) *problem {
			if d.Deliveries == nil {
				return &problem{code: "not-found", detail: "this server has no deliveries"}
			}
			return h(w, r, query)
		})
	}
}

// listDeliveries serves GET /v1/deliveries.
func (s *Server) listDeliveries(w http.ResponseWriter, r *http.Request, query url.Values) *problem {
	after := query.Get("after")
	if query.Has("after") && !isMarkName(after) {
		return badMarkName("after")
	}
	x, err := s.expiry()
	if err != nil {
		return storeProblem(err)
	}
	var body struct {
		Deliveries []deliveryBody `json:"deliveries"`
		Next       *string        `json:"next"`
	}
	body.Deliveries = []deliveryBody{}
	list := senderOf(r).List(after, deliveriesAtOnce+1)
	if len(list) > deliveriesAtOnce {
		list = list[:deliveriesAtOnce]
		body.Next = &list[deliveriesAtOnce-1].Name
	}
	for _, d := range list {
		row, p := s.deliveryBody(d, x)
		if p != nil {
			return p
		}
		body.Deliveries = append(body.Deliveries, row)
	}
	writeJSON(w, http.StatusOK, "application/json", body)
	return nil
}

// allDeliveries serves POST /v1/deliveries?all=pause and ?all=resume.
func (s *Server) allDeliveries(w http.ResponseWriter, r *http.Request, query url.Values) *problem {
	change := map[string]func(context.Context) (int, error){
		"pause": senderOf(r).PauseAll, "resume": senderOf(r).ResumeAll}[query.Get("all")]
	if change == nil {
		return &problem{code: "query-invalid", field: "all", detail: `expected ?all=pause or ?all=resume`}
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.o.QueueTimeout)
	defer cancel()
	changed, err := change(ctx)
	if err == nil && deskOf(r).Devices != nil && query.Get("all") == "resume" {
		_, err = deskOf(r).Devices.Resume(ctx)
	}
	if err != nil {
		return deliveryProblem(err)
	}
	writeJSON(w, http.StatusOK, "application/json", struct {
		Changed int `json:"changed"`
	}{changed})
	return nil
}

// ofDelivery answers with a delivery as it is after the request.
func (s *Server) ofDelivery(status int, w http.ResponseWriter, d deliver.Status, err error) *problem {
	if err != nil {
		return deliveryProblem(err)
	}
	x, err := s.expiry()
	if err != nil {
		return storeProblem(err)
	}
	body, p := s.deliveryBody(d, x)
	if p != nil {
		return p
	}
	w.Header().Set("ETag", `"`+body.Tag+`"`)
	writeJSON(w, status, "application/json", body)
	return nil
}

// getDelivery serves GET /v1/deliveries/{name}.
func (s *Server) getDelivery(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	name, p := markName(r)
	if p != nil {
		return p
	}
	d, err := senderOf(r).Get(name)
	return s.ofDelivery(http.StatusOK, w, d, err)
}

// putDelivery serves PUT /v1/deliveries/{name}. Members that its body leaves out keep their values.
func (s *Server) putDelivery(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	name, p := markName(r)
	if p != nil {
		return p
	}
	tag, p := settingsTagOf(r)
	if p != nil {
		return p
	}
	set, p := s.readSettings(w, r)
	if p != nil {
		return p
	}
	set.Tag = tag
	var forbidden *problem
	set.By = grantOf(r).Subject
	set.May = func(topics store.Filter) error {
		if forbidden = authoriseSubscribe(r, topics); forbidden != nil {
			return errors.New(forbidden.detail)
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.o.QueueTimeout)
	defer cancel()
	d, made, err := senderOf(r).Put(ctx, name, set)
	if forbidden != nil {
		return forbidden
	}
	return s.ofDelivery(map[bool]int{true: http.StatusCreated, false: http.StatusOK}[made], w, d, err)
}

// deleteDelivery serves DELETE /v1/deliveries/{name}.
func (s *Server) deleteDelivery(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	name, p := markName(r)
	if p != nil {
		return p
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.o.QueueTimeout)
	defer cancel()
	if err := senderOf(r).Delete(ctx, name); err != nil {
		return deliveryProblem(err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// changeDelivery serves POST /v1/deliveries/{name}/… with one of the methods that change a delivery.
func (s *Server) changeDelivery(change func(d *deliver.Sender, ctx context.Context, name,
	id string) (deliver.Status, error)) handler {
	return s.delivering(func(w http.ResponseWriter, r *http.Request, query url.Values) *problem {
		name, p := markName(r)
		if p != nil {
			return p
		}
		ctx, cancel := context.WithTimeout(r.Context(), s.o.QueueTimeout)
		defer cancel()
		d, err := change(senderOf(r), ctx, name, query.Get("id"))
		return s.ofDelivery(http.StatusOK, w, d, err)
	})
}

func pauseDelivery(d *deliver.Sender, ctx context.Context, name, _ string) (deliver.Status, error) {
	return d.Pause(ctx, name)
}

func resumeDelivery(d *deliver.Sender, ctx context.Context, name, _ string) (deliver.Status, error) {
	return d.Resume(ctx, name)
}

// testDelivery serves POST /v1/deliveries/{name}/test. It reports only the status of the receiver's response: a
// server that shows bodies lets its callers read what only the server can reach.
func (s *Server) testDelivery(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	name, p := markName(r)
	if p != nil {
		return p
	}
	ctx, cancel := context.WithTimeout(r.Context(), testTimeout)
	defer cancel()
	result, err := senderOf(r).Test(ctx, name)
	if err != nil {
		return deliveryProblem(err)
	}
	var status *int
	if result.Status != 0 {
		status = &result.Status
	}
	writeJSON(w, http.StatusOK, "application/json", struct {
		Status *int    `json:"status"`
		Took   float64 `json:"took_seconds"`
		Error  string  `json:"error"`
	}{status, result.Took.Seconds(), result.Error})
	return nil
}

// deliveryProblem is storeProblem, worded for deliveries.
func deliveryProblem(err error) *problem {
	var invalid *deliver.InvalidError
	var refused *outbound.Refused
	switch {
	case errors.As(err, &invalid):
		return &problem{code: "member-invalid", field: invalid.Field, detail: invalid.Detail}
	case errors.As(err, &refused):
		return &problem{code: "address-refused", field: "url", detail: err.Error()}
	case errors.Is(err, deliver.ErrNotFound):
		return &problem{code: "delivery-not-found", detail: "no delivery has this name"}
	case errors.Is(err, deliver.ErrNoLetter):
		return &problem{code: "dead-letter-not-found", detail: "no event with this ID is set aside"}
	case errors.Is(err, deliver.ErrState):
		return &problem{code: "delivery-state", detail: err.Error()}
	case errors.Is(err, deliver.ErrChanged):
		return &problem{code: "condition-failed", field: "If-Match",
			detail: "the delivery was changed, created or deleted meanwhile; reload it and decide again"}
	case errors.Is(err, deliver.ErrLimit):
		return &problem{code: "delivery-quota", detail: err.Error()}
	case errors.Is(err, deliver.ErrKey), errors.Is(err, seal.ErrNoKey), errors.Is(err, seal.ErrOtherKey),
		errors.Is(err, seal.ErrDamaged):
		return &problem{code: "secrets-unavailable", detail: err.Error(), cause: err}
	}
	return storeProblem(err)
}
