package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tidings/deliver"
	"tidings/store"
)

// devicesAtOnce is the maximum length of a list of devices.
const devicesAtOnce = 100

// deviceBody is a device in a response. How its push service is reached is a secret, and left out.
type deviceBody struct {
	ID       string              `json:"id"`
	Subject  string              `json:"subject"`
	Name     string              `json:"name"`
	Topics   []string            `json:"topics"`
	Mark     *string             `json:"read_mark"`
	Language string              `json:"language"`
	Urgency  string              `json:"urgency"`
	Service  string              `json:"service"`
	Created  time.Time           `json:"created"`
	Renewed  time.Time           `json:"renewed"`
	Expires  *time.Time          `json:"expires"`
	Cursor   store.ID            `json:"cursor"`
	State    deliver.DeviceState `json:"state"`
	Failure  *string             `json:"failure"`
}

// newDeviceBody shows a device. A caller who is not an administrator chose the address, and must not learn from the
// failure what is in the server's network.
func newDeviceBody(d *deliver.Device, admin bool) deviceBody {
	failure := d.Failure
	switch {
	case failure == "" || admin:
	case d.Answered != 0:
		failure = fmt.Sprintf("the push service answered %d %s", d.Answered, http.StatusText(d.Answered))
	default:
		failure = "no answer from the push service; see the server's log"
	}
	return deviceBody{d.ID, subjectOf(d.Owner), d.Name, d.Topics, textOrNull(d.Mark), d.Language, d.Urgency, d.Service,
		d.Made.UTC(), d.Renewed.UTC(), timeOrNull(d.Expires), d.At, d.State, textOrNull(failure)}
}

// subjectOf returns the subject in an owner's name (auth.Grant.Owner).
func subjectOf(owner string) string {
	if _, subject, ok := strings.Cut(owner, "\n"); ok {
		return subject
	}
	return owner
}

// registration is the body of a POST: a PushSubscription as its toJSON gives it, and what to push.
type registration struct {
	Subscription struct {
		Endpoint string `json:"endpoint"`
		Expires  any    `json:"expirationTime"` // the browser's guess: the push service reports when it is over
		Keys     struct {
			P256dh string `json:"p256dh"`
			Auth   string `json:"auth"`
		} `json:"keys"`
	} `json:"subscription"`
	Topics   json.RawMessage `json:"topics"`
	Mark     string          `json:"read_mark"`
	Page     string          `json:"page"`
	Name     string          `json:"name"`
	Language string          `json:"language"`
	Urgency  string          `json:"urgency"`
}

func (s *Server) deviceRoutes() []route {
	none := params{}
	return []route{
		{"/v1/push", methods{"GET": {anyToken, none, s.pushing(s.pushKey)}}},
		{"/v1/devices", methods{
			"GET":    {reading, params{single: []string{"after", "subject"}}, s.pushing(s.listDevices)},
			"POST":   {reading, none, s.pushing(s.registerDevice)},
			"DELETE": {admin, params{single: []string{"subject"}}, s.pushing(s.removeDevices)}}},
		{"/v1/devices/{id}", methods{"DELETE": {reading, none, s.pushing(s.removeDevice)}}},
	}
}

// pushing wraps a handler for servers that push.
func (s *Server) pushing(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request, query url.Values) *problem {
		return s.atDesk(w, r, func(d *Desk) *problem {
			if d.Devices == nil {
				return &problem{code: "not-found", detail: "this server sends no pushes; to enable them, start it " +
					"with --push-contact " +
					"mailto:ops@example.com"}
			}
			return h(w, r, query)
		})
	}
}

// pushKey serves GET /v1/push: the key that a browser subscribes with.
func (s *Server) pushKey(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	ctx, cancel := context.WithTimeout(r.Context(), s.o.QueueTimeout)
	defer cancel()
	key, err := deskOf(r).Devices.PublicKey(ctx)
	if err != nil {
		return deviceProblem(err)
	}
	writeJSON(w, http.StatusOK, "application/json", struct {
		Key string `json:"public_key"`
	}{key})
	return nil
}

// listDevices serves GET /v1/devices: the caller's; an administrator may ask for a subject's.
func (s *Server) listDevices(w http.ResponseWriter, r *http.Request, query url.Values) *problem {
	after, grant := query.Get("after"), grantOf(r)
	var list []deliver.Device
	switch {
	case query.Has("after") && after == "":
		return &problem{code: "query-invalid", field: "after", detail: `expected an ID, such as "next" of the page before`}
	case !query.Has("subject"):
		list = deskOf(r).Devices.List(grant.Owner(), after, devicesAtOnce+1)
	case !grant.Admin:
		return &problem{code: "admin-required", detail: `the token does not say "admin": true`}
	default:
		list = deskOf(r).Devices.ListAll(ownersOf(query.Get("subject")), after, devicesAtOnce+1)
	}
	var body struct {
		Devices []deviceBody `json:"devices"`
		Next    *string      `json:"next"`
	}
	body.Devices = []deviceBody{}
	if len(list) > devicesAtOnce {
		list = list[:devicesAtOnce]
		body.Next = &list[devicesAtOnce-1].ID
	}
	for i := range list {
		body.Devices = append(body.Devices, newDeviceBody(&list[i], grant.Admin))
	}
	writeJSON(w, http.StatusOK, "application/json", body)
	return nil
}

// ownersOf reports which owners have a subject: one per issuer.
func ownersOf(subject string) func(owner string) bool {
	return func(owner string) bool { return subjectOf(owner) == subject }
}

// registerDevice serves POST /v1/devices. A browser that is already a device renews it.
func (s *Server) registerDevice(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	grant := grantOf(r)
	switch {
	case s.o.Verifier != nil && grant.Subject == "":
		return &problem{code: "subject-required", detail: "the token has no sub: nobody could renew or remove the device"}
	case grant.Subscribe.IsZero(): // whatever the body says
		return &problem{code: "topic-forbidden", detail: "the token does not grant reading"}
	}
	var body registration
	if p := s.decodeBody(w, r, maxSettings, &body, false); p != nil {
		return p
	}
	topics, p := s.readTopics(body.Topics)
	if p != nil {
		return p
	}
	if p := authoriseSubscribe(r, topics); p != nil {
		return p
	}
	if body.Mark != "" && !isMarkName(body.Mark) {
		return badMarkName("read_mark")
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.o.QueueTimeout)
	defer cancel()
	keys := &body.Subscription.Keys
	d, made, err := deskOf(r).Devices.Register(ctx, deliver.Registration{Owner: grant.Owner(), Expires: grant.Expires,
		Endpoint: body.Subscription.Endpoint, P256dh: keys.P256dh, Auth: keys.Auth, Topics: topics, Mark: body.Mark,
		Page: body.Page, Name: body.Name, Language: body.Language, Urgency: body.Urgency})
	if err != nil {
		return deviceProblem(err)
	}
	status := map[bool]int{true: http.StatusCreated, false: http.StatusOK}[made]
	writeJSON(w, status, "application/json", newDeviceBody(&d, grant.Admin))
	return nil
}

// removeDevice serves DELETE /v1/devices/{id}: one of the caller's, or any for an administrator.
func (s *Server) removeDevice(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	grant := grantOf(r)
	ctx, cancel := context.WithTimeout(r.Context(), s.o.QueueTimeout)
	defer cancel()
	owner := grant.Owner()
	err := deskOf(r).Devices.Remove(ctx, variableOf(r), func(of string) bool { return grant.Admin || of == owner })
	if err != nil {
		return deviceProblem(err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// removeDevices serves DELETE /v1/devices?subject=…: all devices of a subject.
func (s *Server) removeDevices(w http.ResponseWriter, r *http.Request, query url.Values) *problem {
	if !query.Has("subject") {
		return &problem{code: "query-invalid", field: "subject", detail: "expected ?subject= of the devices to delete"}
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.o.QueueTimeout)
	defer cancel()
	removed, err := deskOf(r).Devices.RemoveAll(ctx, ownersOf(query.Get("subject")))
	if err != nil {
		return deviceProblem(err)
	}
	writeJSON(w, http.StatusOK, "application/json", struct {
		Removed int `json:"removed"`
	}{removed})
	return nil
}

// deviceProblem is deliveryProblem, worded for devices.
func deviceProblem(err error) *problem {
	switch {
	case errors.Is(err, deliver.ErrNoDevice):
		return &problem{code: "device-not-found", detail: "no device with this ID, or it belongs to another subject"}
	case errors.Is(err, deliver.ErrDeviceLimit):
		return &problem{code: "device-quota", detail: err.Error()}
	case errors.Is(err, context.DeadlineExceeded):
		return &problem{code: "queue-full", detail: "the disk did not keep up; retry to see whether it was stored"}
	}
	p := deliveryProblem(err)
	if p.code == "address-refused" {
		p.field = "subscription"
	}
	return p
}
