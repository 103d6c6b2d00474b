package deliver_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"tidings/deliver"
)

// TestBark is the example of docs/DELIVERIES.md: what arrives has the form of
// https://github.com/Finb/bark-server/blob/master/docs/API_V2.md.
func TestBark(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		set := settings("orders.>")
		set.URL, set.Secret = "https://api.day.app/push", "device"
		set.Recipient = deliver.Recipient{Kind: deliver.Custom, Template: json.RawMessage(`{` +
			`"device_key":"{{secret}}","title":"{{title}}","body":"{{text}}","url":"{{link}}","group":"{{topic}}","badge":"{{count}}"}`)}
		s.put("phone", set)
		ids := strings.Fields(s.publish(1, "orders.eu"))
		want := `{"badge":1,"body":"orders.eu: 1 new event about orders\n2000-01-01 00:00:00 (UTC)",` +
			`"device_key":"device","group":"orders.eu","title":"orders.eu: 1 new event about orders",` +
			`"url":"https://events.example.com/in/#/log?id=` + ids[0] + `\u0026topic=orders.eu"}`
		all := s.takeAll()
		if len(all) != 1 || all[0].body != want || all[0].header.Get("Authorization") != "" {
			t.Errorf("sent %+v, want %s", all, want)
		}
		record, err := s.log.Deliveries()
		if err != nil || strings.Contains(string(record[0].Record), `"device"`) {
			t.Errorf("the log has %s (%v)", record[0].Record, err)
		}
	})
}

// TestCustomTemplate: what a publisher writes stays within its string; numbers and booleans keep their type.
func TestCustomTemplate(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		set := settings("orders.>")
		set.URL, set.Secret = hook, "tk"
		set.Recipient = deliver.Recipient{Kind: deliver.Custom, Detail: deliver.Fields, Template: json.RawMessage(
			`{"a":["{{data.text}}",{"b":"<{{data.text}}>"}],"n":"{{data.n}}","yes":"{{data.yes}}","s":"{{data.s}}",` +
				`"object":"{{data.object}}","none":"{{data.none}}","five":5.0,"null":null}`)}
		s.put("custom", set)
		s.say("orders.eu", "x", "application/json", `{"text":"\",\"to\":\"all {{secret}}\n","n":12345678901234567890,`+
			`"yes":true,"s":"7","object":{"to":"all"}}`)
		const text = `\",\"to\":\"all {{secret}} `
		want := `{"a":["` + text + `",{"b":"\u003c` + text + `\u003e"}],"five":5.0,"n":12345678901234567890,"none":"",` +
			`"null":null,"object":"","s":"7","yes":true}`
		all := s.takeAll()
		if len(all) != 1 || all[0].body != want || all[0].header.Get("Authorization") != "Bearer tk" {
			t.Errorf("sent %+v, want %s", all, want)
		}
		time.Sleep(time.Minute)
		if _, err := s.Test(t.Context(), "custom"); err != nil {
			t.Fatal(err)
		}
		if all := s.takeAll(); len(all) != 1 || !strings.Contains(all[0].body, `"n":"","none":""`) {
			t.Errorf("a test sent %+v", all)
		}
	})
}
