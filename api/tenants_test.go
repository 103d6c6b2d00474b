package api_test

import (
	"fmt"
	"strings"
	"testing"

	"tidings/api"
	"tidings/store/bolt"
)

// TestTenants: what one subject uses of a limit is not another's loss.
func TestTenants(t *testing.T) {
	shop := bearer(holder{subject: "shop", publish: ">", subscribe: ">"}.token(t))
	mallory := bearer(holder{subject: "mallory", publish: ">", subscribe: ">"}.token(t))
	with := func(o bolt.Options) (*server, *contract) {
		s := newServer(t, newLogIn(t, t.TempDir(), o), 0, keyed(t, api.Options{}))
		return s, newContract(t, s)
	}
	flood := func(s *server, from, events int) answer {
		var batch []string
		for i := range events {
			batch = append(batch, fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"/m","type":"t",`+
				`"topic":"u.%[1]d","data":1}`, from+i))
		}
		return s.do("POST", "/v1/events", "["+strings.Join(batch, ",")+"]", mallory,
			"Content-Type: application/cloudevents-batch+json")
	}
	t.Run("row 150: a flood of keys", func(t *testing.T) {
		s, c := with(bolt.Options{MaxKeys: 50})
		order := publishRow{path: "/v1/topics/orders/events", body: "1001", status: 201,
			headers: headers(shop, "Idempotency-Key: order-1001")}
		order.check(t, s, c)
		for i := range 3 {
			if a := flood(s, 40*i, 40); a.status != 201 {
				t.Fatalf("flood: %d %s", a.status, a.body)
			}
		}
		order.status = 200
		order.check(t, s, c)
		if a := flood(s, 0, 1); a.status != 201 {
			t.Errorf("the oldest key of the flood: %d, want it forgotten", a.status)
		}
		if got := s.log.Stats().KeysCrowded; got != 1+120+1-50 {
			t.Errorf("%d keys forgotten before their time, want %d", got, 1+120+1-50)
		}
	})
	t.Run("row 151: topics", func(t *testing.T) {
		s, c := with(bolt.Options{MaxTopics: 20})
		if a := flood(s, 0, 11); a.status != 429 || a.problem(t).Code != "topic-quota" {
			t.Errorf("11 topics of 20: %d %s", a.status, a.body)
		}
		if a := flood(s, 0, 10); a.status != 201 {
			t.Errorf("10 topics of 20: %d %s", a.status, a.body)
		}
		publishRow{path: "/v1/topics/more/events", body: "1", headers: headers(mallory), status: 429,
			code: "topic-quota"}.check(t, s, c)
		for i := range 5 {
			publishRow{path: fmt.Sprintf("/v1/topics/orders.%d/events", i), body: "1",
				headers: headers(shop), status: 201}.check(t, s, c)
		}
		publishRow{path: "/v1/topics/u.1/events", body: "1", headers: headers(mallory),
			status: 201}.check(t, s, c) // it exists
	})
	t.Run("row 246: topics without events", func(t *testing.T) {
		s, c := with(bolt.Options{MaxTopics: 20})
		flood(s, 0, 10)
		more := publishRow{path: "/v1/topics/more/events", body: "1", headers: headers(mallory), status: 429,
			code: "topic-quota"}
		more.check(t, s, c)
		publishRow{path: "/v1/topics/orders/events", body: "1", headers: headers(shop), status: 201}.check(t, s, c)
		for _, topic := range []string{"u.0", "u.1"} {
			s.do("POST", "/v1/topics/"+topic+"/trim?before="+s.log.Head().String(), "",
				bearer(holder{admin: true}.token(t)))
		}
		more.status, more.code = 201, ""
		more.check(t, s, c)
	})
	t.Run("row 152: read marks", func(t *testing.T) {
		s, c := with(bolt.Options{MaxMarks: 4})
		put := func(who, name string) answer {
			path := "/v1/cursors/" + name
			a := s.do("PUT", path, `{"id":"00000000000000000000000000","topics":["a"]}`, who)
			c.response(t, "PUT", path, a)
			return a
		}
		for i, want := range []int{200, 200, 429} {
			if a := put(mallory, fmt.Sprint(i)); a.status != want {
				t.Errorf("mark %d: %d %s, want %d", i, a.status, a.body, want)
			}
		}
		if a := put(shop, "inbox"); a.status != 200 {
			t.Errorf("of another subject: %d %s", a.status, a.body)
		}
	})
}
