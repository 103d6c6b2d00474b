package deliver_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidings/deliver"
	"tidings/store"
)

// answer appends what an alert board does: an event about another one.
func (s *scene) answer(topic, typ, about, data string) string {
	s.t.Helper()
	ids, err := store.Append(s.t.Context(), s.log, []store.Draft{{Topic: "$alerts." + topic, Type: typ,
		ContentType: "application/json", Data: []byte(data),
		Attributes: []store.Attribute{{Name: "subject", Value: strconv.Quote(about)}}}})
	if err != nil {
		s.t.Fatal(err)
	}
	return ids[0].String()
}

// TestTellsWhoHears: people learn that nobody hears the alerts of a rule, since when, and that this is over, with a
// link to the shift.
func TestTellsWhoHears(t *testing.T) {
	const link, unheard = "\nhttps://events.example.com/in/#/shift", `{"rule":"orders","topics":["orders.>"],` +
		`"delivery":"team","since":"2000-01-01T00:00:00Z"}`
	for _, row := range []struct {
		of                       deliver.Recipient
		unheard, heard, unwanted string
	}{
		{deliver.Recipient{Detail: deliver.Fields},
			"Nobody is listening to orders: no page that may play sound has been open since 2000-01-01 00:00:00",
			"Somebody is listening to orders again", "orders no longer needs a listener"},
		{deliver.Recipient{Language: "zh", TimeZone: "Asia/Shanghai"},
			"没人能听到 orders 的告警：自 2000-01-01 08:00:00 起没有打开着的页面可以响铃", "又有人能听到 orders 的告警了", "orders 已无需值守"},
	} {
		test(t, func(t *testing.T, s *scene) {
			to := s.team(row.of, false)
			s.put("team", deliver.Settings{Topics: settings("$alerts.>").Topics})
			for _, x := range []struct{ typ, data, want string }{
				{"alert.unheard", unheard, row.unheard},
				{"alert.withdrawn", `{"rule":"orders","delivery":"team","reason":"heard"}`, row.heard},
				{"alert.withdrawn", `{"rule":"orders","delivery":"team","reason":"closed"}`, row.unwanted},
			} {
				time.Sleep(3 * time.Minute)
				_, err := store.Append(t.Context(), s.log, []store.Draft{{Topic: "$alerts.orders._", Type: x.typ,
					ContentType: "application/json", Data: []byte(x.data)}})
				if err != nil {
					t.Fatal(err)
				}
				got := to.one(t)
				title, rest, _ := strings.Cut(got, "\n")
				if title != x.want || !strings.HasSuffix(rest, link) || strings.Count(rest, "\n") != 1 {
					t.Errorf("of %s it says\n%s\nwant\n%s", x.typ, got, x.want)
				}
			}
		})
	}
}

func stepSays(rule string, n int, since time.Time) string {
	return fmt.Sprintf(`{"rule":%q,"step":%d,"delivery":"team","type":"order.created","since":%q}`, rule, n,
		since.Format(time.RFC3339))
}

// TestTellsOfAlerts: a step reaches people as what it is: an alert that nobody has claimed, since when, by which rule,
// with a link to the event that demands the answer. Other answers are only counted. Nothing that a publisher wrote is
// included unless it may be shown.
func TestTellsOfAlerts(t *testing.T) {
	const link = "\nhttps://events.example.com/in/#/log?id=%s&amp;topic=orders.eu"
	began := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		of                 deliver.Recipient
		one, several, both string // a step, those of two alerts, and a step with an answer of another topic
	}{
		{deliver.Recipient{},
			"orders.eu: an alert has been open and unclaimed since 2000-01-01 00:00:00 (rule vip, step 2)\n" +
				"2000-01-01 00:03:00 (UTC)",
			"orders.eu: 2 alerts are open and unclaimed, the oldest since 2000-01-01 00:00:00\n",
			"orders.eu: an alert has been open and unclaimed since 2000-01-01 00:00:00 (rule vip, step 1)\n" +
				"tickets: 1 new event about alerts\n"},
		{deliver.Recipient{Language: "zh", TimeZone: "Asia/Shanghai", Detail: deliver.Fields},
			"orders.eu：有一条告警自 2000-01-01 08:00:00 起待处理，至今无人认领（规则 vip，第 2 步）\n" +
				"2000-01-01 08:03:00 (Asia/Shanghai)\n类型：order.created",
			"orders.eu：有 2 条告警至今无人认领，最早一条始于 2000-01-01 08:00:00\n",
			"orders.eu：有一条告警自 2000-01-01 08:00:00 起待处理，至今无人认领（规则 vip，第 1 步）\n" +
				"tickets：1 条告警动态\n"},
	} {
		test(t, func(t *testing.T, s *scene) {
			to := s.team(row.of, false)
			s.put("team", deliver.Settings{Topics: settings("$alerts.>").Topics})
			first := s.say("orders.eu", "order.created", "application/json", `{"customer":"Ann"}`)
			time.Sleep(3 * time.Minute)
			s.answer("orders.eu", "alert.step", first, stepSays("vip", 2, began))
			if got, want := to.one(t), row.one+fmt.Sprintf(link, first); got != want {
				t.Errorf("of a step it says\n%s\nwant\n%s", got, want)
			}

			s.Pause(t.Context(), "team")
			second := s.say("orders.eu", "order.created", "application/json", `{"customer":"Bo"}`)
			for _, about := range []string{first, second, second} {
				s.answer("orders.eu", "alert.step", about, stepSays("vip", 1, began))
			}
			s.Resume(t.Context(), "team")
			got := to.one(t)
			if !strings.HasPrefix(got, row.several) || !strings.HasSuffix(got, fmt.Sprintf(link, second)) {
				t.Errorf("of steps of two alerts it says\n%s", got)
			}

			s.Pause(t.Context(), "team")
			s.answer("tickets", "alert.claimed", second, `{"by":{"name":"Cy"},"note":"mine"}`)
			s.answer("orders.eu", "alert.step", first, stepSays("vip", 1, began))
			s.Resume(t.Context(), "team")
			if got := to.one(t); !strings.HasPrefix(got, row.both) {
				t.Errorf("of a step and an answer it says\n%s", got)
			}
		})
	}
}
