package api_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidings/api"
	"tidings/internal/e2e"
	"tidings/replay"
	"tidings/store/bolt"
)

const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// receiver is a webhook.
type receiver struct {
	url    string
	got    chan *http.Request
	status atomic.Int32
}

func newReceiver(t *testing.T, status int) *receiver {
	r := &receiver{got: make(chan *http.Request, 100)}
	r.status.Store(int32(status))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.WriteHeader(int(r.status.Load()))
		r.got <- req
	}))
	t.Cleanup(s.Close)
	r.url = s.URL + "/hooks?token=capability"
	return r
}

func (r *receiver) next(t *testing.T) string {
	t.Helper()
	select {
	case req := <-r.got:
		return req.Header.Get("Webhook-Id")
	case <-time.After(e2e.Patience):
		t.Fatal("nothing is sent")
		return ""
	}
}

func hookBody(url string, more string) string {
	return fmt.Sprintf(`{"url":%q,"topics":["orders.>"],"secret":%q%s}`, url, hookSecret, more)
}

type deliveryAnswer struct {
	Name, Origin, State, Reason, Cursor string
	Topics                              []string
	CreatedBy                           string `json:"created_by"`
	LagEvents                           int    `json:"lag_events"`
	Secret                              struct{ Set bool }
	Sent                                *time.Time
	Failing                             *struct {
		ID, Error string
		Attempts  int
		Next      *time.Time
	}
}

func (s *server) delivery(t *testing.T, name string) (d deliveryAnswer) {
	t.Helper()
	s.do("GET", "/v1/deliveries/"+name, "").decode(t, &d)
	return d
}

// TestDeliveries: a delivery from its creation to its end, through HTTP only.
func TestDeliveries(t *testing.T) {
	s := start(t)
	r := newReceiver(t, 200)
	before := s.publish("orders.eu", "0")
	a := s.do("PUT", "/v1/deliveries/shop", hookBody(r.url, `,"from":"earliest"`))
	if a.status != 201 || strings.Contains(a.body, "capability") || strings.Contains(a.body, "whsec") {
		t.Fatalf("%d %s, want it made, and no secret shown", a.status, a.body)
	}
	id := s.publish("orders.eu", "1")
	s.publish("tickets", "2")
	for _, want := range []string{before, id} {
		if got := r.next(t); got != want {
			t.Errorf("sent %s, want %s", got, want)
		}
	}
	d := s.delivery(t, "shop")
	for ; d.Cursor != id; d = s.delivery(t, "shop") { // recorded right after the response
	}
	if d.Name != "shop" || d.State != "running" || !d.Secret.Set || d.LagEvents != 0 || d.Sent == nil ||
		d.Failing != nil || !slices.Equal(d.Topics, []string{"orders.>"}) ||
		!strings.HasPrefix(d.Origin, "http://127.0.0.1:") || strings.Contains(d.Origin, "hooks") {
		t.Errorf("it is %+v", d)
	}
	if a := s.do("POST", "/v1/deliveries/shop/pause", ""); a.status != 200 || !strings.Contains(a.body, `"paused"`) {
		t.Errorf("pause: %d %s", a.status, a.body)
	}
	id = s.publish("orders.eu", "3")
	if d := s.delivery(t, "shop"); d.LagEvents != 1 {
		t.Errorf("paused, it is %+v", d)
	}
	var result struct {
		Status int
		Error  string
	}
	if s.do("POST", "/v1/deliveries/shop/test", "").decode(t, &result); result.Status != 200 || result.Error != "" {
		t.Errorf("test: %+v", result)
	}
	if got := r.next(t); !strings.HasPrefix(got, "test-") {
		t.Errorf("a test sent %s", got)
	}
	if a := s.do("POST", "/v1/deliveries?all=resume", ""); a.body != `{"changed":1}`+"\n" {
		t.Errorf("resume all: %d %s", a.status, a.body)
	}
	if got := r.next(t); got != id {
		t.Errorf("resumed with %s, want %s", got, id)
	}
	for s.delivery(t, "shop").Cursor != id { // otherwise it would begin with the ticket before
	}
	if a := s.do("PUT", "/v1/deliveries/shop", `{"topics":["tickets"],"secret":null}`); a.status != 200 ||
		!strings.Contains(a.body, `"topics":["tickets"]`) {
		t.Errorf("change: %d %s", a.status, a.body)
	}
	if id, got := s.publish("tickets", "4"), r.next(t); got != id {
		t.Errorf("sent %s, want %s", got, id)
	}
	if a := s.do("DELETE", "/v1/deliveries/shop", ""); a.status != 204 {
		t.Errorf("delete: %d", a.status)
	}
	if a := s.do("GET", "/v1/deliveries", ""); a.body != `{"deliveries":[],"next":null}`+"\n" {
		t.Errorf("list: %s", a.body)
	}
}

// TestDeliveryFails: what fails is reported with its cause, since when and until when, and can be skipped.
func TestDeliveryFails(t *testing.T) {
	s := start(t)
	r := newReceiver(t, 422)
	s.do("PUT", "/v1/deliveries/shop", hookBody(r.url, ""))
	bad, good := s.publish("orders.eu", "1"), s.publish("orders.eu", "2")
	if got := r.next(t); got != bad {
		t.Errorf("sent %s", got)
	}
	d := s.delivery(t, "shop")
	for ; d.Failing == nil; d = s.delivery(t, "shop") {
	}
	if d.State != "failing" || d.Failing.ID != bad || d.Failing.Attempts != 1 || d.Failing.Next == nil ||
		!strings.Contains(d.Failing.Error, "rejects this event") || d.LagEvents != 2 {
		t.Errorf("it is %+v %+v", d, d.Failing)
	}
	if a := s.do("GET", "/metrics", ""); !strings.Contains(a.body, `tidings_deliveries{state="failing"} 1`) ||
		!strings.Contains(a.body, `tidings_delivery_attempts_total{outcome="failed"} 1`) {
		t.Error("the metrics know nothing of it")
	}
	r.status.Store(200)
	if a := s.do("POST", "/v1/deliveries/shop/skip?id="+bad, ""); a.status != 200 {
		t.Errorf("skip: %d %s", a.status, a.body)
	}
	if got := r.next(t); got != good {
		t.Errorf("sent %s, want the next one", got)
	}
}

// TestDeadLetterRows: rows 305 to 309, 313 and 314 of docs/ERRORS.md.
func TestDeadLetterRows(t *testing.T) {
	s := start(t)
	c := newContract(t, s)
	r := newReceiver(t, 500)
	s.do("PUT", "/v1/deliveries/shop", hookBody(r.url, `,"on_give_up":"set_aside","give_up_after_seconds":1`))
	id := s.publish("orders.eu", "1")
	for end := time.Now().Add(e2e.Patience); !strings.Contains(s.do("GET", "/v1/deliveries/shop/dead", "").body, id); {
		if time.Now().After(end) {
			t.Fatal("nothing is set aside")
		}
	}
	s.publish("other", "1")
	s.do("PUT", "/v1/deliveries/half", `{"topics":["orders.>"],"incomplete":true}`)
	const none = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
	for _, x := range []struct {
		name, request, body string
		status              int
		code                string
	}{
		{"row 305", "PUT shop", `{"on_give_up":"drop"}`, 400, "member-invalid"},
		{"row 309: another order", "PUT shop", `{"order":"random"}`, 400, "member-invalid"},
		{"row 309: no request at once", "PUT shop", `{"in_flight":0}`, 400, "member-invalid"},
		{"row 309: too many", "PUT shop", `{"in_flight":101}`, 400, "member-invalid"},
		{"row 309: no number", "PUT shop", `{"in_flight":"16"}`, 400, "member-invalid"},
		{"row 313: a secret alone", "PUT half", `{"secret":"` + hookSecret + `"}`, 400, "member-invalid"},
		{"row 313: a URL alone", "PUT half", `{"url":"` + r.url + `"}`, 400, "member-invalid"},
		{"row 313: both beside it", "PUT half2", hookBody(r.url, `,"incomplete":true`), 400, "member-invalid"},
		{"row 314", "POST half/test", "", 409, "delivery-state"},
		{"row 306: redrive nothing", "POST shop/redrive", "", 400, "query-invalid"},
		{"row 306: redrive both", "POST shop/redrive?all=true&id=" + id, "", 400, "query-invalid"},
		{"row 306: redrive no ID", "POST shop/redrive?id=x", "", 400, "query-invalid"},
		{"row 306: forget nothing", "DELETE shop/dead", "", 400, "query-invalid"},
		{"row 306: forget all of false", "DELETE shop/dead?all=false", "", 400, "query-invalid"},
		{"row 306: a page after nothing", "GET shop/dead?after=", "", 400, "query-invalid"},
		{"row 307: redrive", "POST shop/redrive?id=" + none, "", 404, "dead-letter-not-found"},
		{"row 307: forget", "DELETE shop/dead?id=" + none, "", 404, "dead-letter-not-found"},
		{"row 285: dead letters", "GET none/dead", "", 404, "delivery-not-found"},
		{"row 285: redrive", "POST none/redrive?all=true", "", 404, "delivery-not-found"},
		{"row 308: while it is paused", "POST shop/redrive?all=true", "pause", 409, "delivery-state"},
		{"row 308: what is gone", "POST shop/redrive?id=" + id, "resume", 409, "delivery-state"},
		{"row 308: of nothing", "POST empty/redrive?all=true", "", 409, "delivery-state"},
	} {
		t.Run(x.name, func(t *testing.T) {
			switch x.body {
			case "pause", "resume":
				s.do("POST", "/v1/deliveries/shop/"+x.body, "")
				s.do("POST", "/v1/topics/orders.eu/trim?before="+s.publish("orders.us", "1"), "")
				x.body = ""
			}
			if strings.Contains(x.request, "empty") {
				s.do("PUT", "/v1/deliveries/empty", hookBody(r.url, ""))
			}
			method, name, _ := strings.Cut(x.request, " ")
			a := s.do(method, "/v1/deliveries/"+name, x.body)
			c.response(t, method, "/v1/deliveries/"+name, a)
			if p := a.problem(t); a.status != x.status || p.Code != x.code {
				t.Errorf("%d %s, want %d %s", a.status, a.body, x.status, x.code)
			}
		})
	}
}

// TestDeliveriesOfACopy: a log restored from a backup holds no secret, and sends nothing until it is resumed.
func TestDeliveriesOfACopy(t *testing.T) {
	s := start(t)
	r := newReceiver(t, 200)
	s.do("PUT", "/v1/deliveries/shop", hookBody(r.url, ""))
	s.do("POST", "/v1/devices", deviceAt(r.url, `"orders.eu"`, ""))
	backup := s.do("GET", "/v1/backup", "").body
	auth, err := base64.RawURLEncoding.DecodeString("BTBZMqHH6r4Tts7J_aSIgg")
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{hookSecret, strings.TrimPrefix(hookSecret, "whsec_"), "capability", "/hooks",
		"BTBZMqHH", "BCVxsr7N", string(auth), "shop.example.com"} {
		if strings.Contains(backup, secret) {
			t.Errorf("the backup has %q", secret)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/backup", []byte(backup), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Restore(t.Context(), dir+"/backup", dir+"/data", bolt.RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	log, err := bolt.Open(dir+"/data", bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	copied := newServer(t, log, 0, api.Options{})
	copied.publish("orders.eu", "1")
	if d := copied.devices(t, ""); len(d) != 1 || d[0].State != "held" {
		t.Errorf("its devices are %+v", d)
	}
	if d := copied.delivery(t, "shop"); d.State != "held" || d.LagEvents != 1 {
		t.Errorf("the copy is %+v", d)
	}
	if a := copied.do("POST", "/v1/deliveries?all=resume", ""); a.body != `{"changed":1}`+"\n" {
		t.Errorf("resume all: %s", a.body)
	}
	for d := copied.delivery(t, "shop"); d.State != "locked"; d = copied.delivery(t, "shop") {
	}
	if len(r.got) > 0 {
		t.Errorf("the copy has sent %s", r.next(t))
	}
	if a := copied.do("POST", "/v1/topics/orders.eu/events", "1"); a.status != 201 {
		t.Errorf("publishing without the secrets key: %d", a.status)
	}
}

// TestDeliveryRows: rows 280 to 289 of docs/ERRORS.md.
func TestDeliveryRows(t *testing.T) {
	log := newLog(t)
	s := newServer(t, log, 0, keyed(t, api.Options{}))
	c := newContract(t, s)
	admin := bearer(holder{publish: ">", subscribe: "orders.>", admin: true}.token(t))
	r := newReceiver(t, 200)
	if a := s.do("PUT", "/v1/deliveries/shop", hookBody(r.url, ""), admin); a.status != 201 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	foreign := bearer(holder{publish: ">", subscribe: "tickets", admin: true}.token(t))
	body := func(member, value string) string {
		m := map[string]json.RawMessage{}
		if err := json.Unmarshal([]byte(hookBody(r.url, "")), &m); err != nil {
			t.Fatal(err)
		}
		if m[member] = json.RawMessage(value); value == "" {
			delete(m, member)
		}
		text, _ := json.Marshal(m)
		return string(text)
	}
	for _, x := range []struct {
		name, request, body, token string
		status                     int
		code, field                string
	}{
		{"row 280: no URL", "PUT new", body("url", ""), admin, 400, "member-invalid", "url"},
		{"row 280: no topics", "PUT new", body("topics", ""), admin, 400, "member-invalid", "topics"},
		{"row 280: no secret", "PUT new", body("secret", ""), admin, 400, "member-invalid", "secret"},
		{"row 280: a short secret", "PUT new",
			body("secret", `"whsec_c2hvcnQ="`), admin, 400, "member-invalid", "secret"},
		{"row 280: another form", "PUT new", body("format", `"xml"`), admin, 400, "member-invalid", "format"},
		{"row 230: no time", "PUT new", body("give_up_after_seconds", `0`), admin, 400, "member-invalid",
			"give_up_after_seconds"},
		{"row 230: less than a second", "PUT new", body("give_up_after_seconds", `0.999`), admin, 400,
			"member-invalid", "give_up_after_seconds"},
		{"row 280: a time before", "PUT new", body("secret_overlap_seconds", `-1`), admin, 400, "member-invalid",
			"secret_overlap_seconds"},
		{"row 280: an unknown member", "PUT new", body("retries", `5`), admin, 400, "member-invalid", "retries"},
		{"row 280: no object", "PUT new", "[]", admin, 400, "json-invalid", ""},
		{"row 280: no pattern", "PUT new", body("topics", `["a..b"]`), admin, 400, "topic-invalid", "topics"},
		{"row 280: a name with a space", "PUT a%20b", body("", ""), admin, 400, "name-invalid", "name"},
		{"row 281: no place", "PUT new", body("from", `"yesterday"`), admin, 400, "member-invalid", "from"},
		{"row 281: a place to come", "PUT new",
			body("from", `"7ZZZZZZZZZZZZZZZZZZZZZZZZZ"`), admin, 400, "id-invalid", "from"},
		{"row 281: a place of one that is there", "PUT shop",
			`{"from":"latest"}`, admin, 400, "member-invalid", "from"},
		{"row 282: an address that is none", "PUT new", body("url", `"shop"`), admin, 400, "member-invalid", "url"},
		{"row 282: a password in it", "PUT new", body("url", `"https://a:b@shop.example.com"`), admin, 400,
			"member-invalid", "url"},
		{"row 283: a private address", "PUT new",
			body("url", `"https://10.0.0.1/"`), admin, 422, "address-refused", "url"},
		{"row 283: a metadata address", "PUT shop", `{"url":"http://[::ffff:169.254.169.254]/"}`, admin, 422,
			"address-refused", "url"},
		{"row 284: topics beyond the grant", "PUT new",
			body("topics", `["tickets"]`), admin, 403, "topic-forbidden", "topic"},
		{"row 284: topics of another", "PUT shop",
			`{"give_up_after_seconds":60}`, foreign, 403, "topic-forbidden", "topic"},
		{"row 285: none of the name", "GET none", "", admin, 404, "delivery-not-found", ""},
		{"row 285: a delete", "DELETE none", "", admin, 404, "delivery-not-found", ""},
		{"row 285: a test", "POST none/test", "", admin, 404, "delivery-not-found", ""},
		{"row 286: a skip of what has not failed", "POST shop/skip?id=01ARZ3NDEKTSV4RRFFQ69G5FAV", "", admin, 409,
			"delivery-state", ""},
		{"row 287: neither", "POST ?all=stop", "", admin, 400, "query-invalid", "all"},
		{"row 287: nothing", "POST ", "", admin, 400, "query-invalid", "all"},
	} {
		t.Run(x.name, func(t *testing.T) {
			method, name, _ := strings.Cut(x.request, " ")
			path := "/v1/deliveries/" + name
			if name == "" || strings.HasPrefix(name, "?") {
				path = "/v1/deliveries" + name
			}
			a := s.do(method, path, x.body, x.token)
			c.response(t, method, path, a)
			if p := a.problem(t); a.status != x.status || p.Code != x.code || p.Field != x.field {
				t.Errorf("%d %s, want %d %s of %s", a.status, a.body, x.status, x.code, x.field)
			}
			if strings.Contains(a.body, "c2hvcnQ") || strings.Contains(a.body, "a:b@") {
				t.Errorf("the answer repeats a secret: %s", a.body)
			}
		})
	}
	t.Run("row 286: a pause of what the receiver has ended", func(t *testing.T) {
		r.status.Store(410)
		s.do("POST", "/v1/topics/orders.eu/events", "1", admin)
		r.next(t)
		for a := s.do("GET", "/v1/deliveries/shop", "", admin); !strings.Contains(a.body, `"disabled"`); {
			a = s.do("GET", "/v1/deliveries/shop", "", admin)
		}
		a := s.do("POST", "/v1/deliveries/shop/pause", "", admin)
		c.response(t, "POST", "/v1/deliveries/shop/pause", a)
		if a.status != 409 || a.problem(t).Code != "delivery-state" {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

// TestDeliveriesWithoutTheirKey: row 288.
func TestDeliveriesWithoutTheirKey(t *testing.T) {
	log := newLog(t)
	tail := replay.NewTail(log, replay.TailOptions{})
	first := newSender(t, log, tail, &http.Client{Transport: unreachable{}}, nil)
	s := newServer(t, log, 0, api.Options{Deliveries: first})
	s.do("PUT", "/v1/deliveries/shop", hookBody("https://shop.example.com/", ""))
	first.Close()
	second := newSender(t, log, tail, &http.Client{Transport: unreachable{}}, nil) // with another key file
	s = newServer(t, log, 0, api.Options{Deliveries: second})
	c := newContract(t, s)
	t.Cleanup(tail.Close)
	t.Run("row 288", func(t *testing.T) {
		for _, x := range [][2]string{{"PUT", "/v1/deliveries/new"}, {"POST", "/v1/deliveries/shop/test"}} {
			a := s.do(x[0], x[1], map[string]string{"PUT": hookBody("https://shop.example.com/", "")}[x[0]])
			c.response(t, x[0], x[1], a)
			if a.status != 503 || a.problem(t).Code != "secrets-unavailable" ||
				!strings.Contains(a.body, "secrets.key") {
				t.Errorf("%s %s: %d %s", x[0], x[1], a.status, a.body)
			}
		}
	})
}

type unreachable struct{}

func (unreachable) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("unreachable")
}

// TestDeliveryTag: of two people who change a delivery that both have read, the second is refused, as is who creates
// one under a name that is taken. Sending does not change the tag.
func TestDeliveryTag(t *testing.T) {
	s := newServer(t, newLog(t), 0, keyed(t, api.Options{}))
	c, r := newContract(t, s), newReceiver(t, http.StatusOK)
	admin := bearer(holder{publish: ">", subscribe: ">", admin: true}.token(t))
	put := func(status int, body string, condition ...string) (tag string) {
		t.Helper()
		a := s.do("PUT", "/v1/deliveries/shop", body, append(condition, admin)...)
		c.response(t, "PUT", "/v1/deliveries/shop", a)
		if a.status != status {
			t.Fatalf("%d %s, want %d", a.status, a.body, status)
		}
		return a.header.Get("ETag")
	}
	first := put(http.StatusCreated, hookBody(r.url, ""), "If-None-Match: *")
	s.do("POST", "/v1/topics/orders.eu/events", "1", admin)
	r.next(t)
	read := s.do("GET", "/v1/deliveries/shop", "", admin)
	c.response(t, "GET", "/v1/deliveries/shop", read)
	if got := read.header.Get("ETag"); got != first || !strings.Contains(read.body, `"tag":`+got) {
		t.Errorf("the ETag is %s, then %s, of %s: nobody has changed the settings", first, got, read.body)
	}
	second := put(http.StatusOK, `{"topics":["orders.>","refunds"]}`, "If-Match: "+first)
	t.Run("row 372: another has changed the delivery", func(*testing.T) {
		put(http.StatusPreconditionFailed, `{"topics":["orders.>"]}`, "If-Match: "+first)
	})
	t.Run("row 372: the delivery exists", func(*testing.T) {
		put(http.StatusPreconditionFailed, hookBody(r.url, ""), "If-None-Match: *")
	})
	t.Run("row 371: no tag of a delivery", func(*testing.T) {
		put(http.StatusBadRequest, `{"topics":["orders.>"]}`, "If-Match: *")
	})
	third := put(http.StatusOK, fmt.Sprintf(`{"url":%q}`, r.url+"&more"), "If-Match: "+second)
	read = s.do("GET", "/v1/deliveries/shop", "", admin)
	if !strings.Contains(read.body, "refunds") || third == second {
		t.Errorf("%s, tags %s and %s of two URLs", read.body, second, third)
	}
	s.do("DELETE", "/v1/deliveries/shop", "", admin)
	put(http.StatusPreconditionFailed, hookBody(r.url, ""), "If-Match: "+third)
}
