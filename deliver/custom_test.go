package deliver_test

import (
	"bytes"
	"encoding/json"
	"errors"
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

// TestTemplateKeepsItsLength: a template near the limit is stored as given, so that it is within the limit after a
// restart, too.
func TestTemplateKeepsItsLength(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		set := s.jsonKind(`{"text":"`+strings.Repeat("<&>", 2700)+`"}`, "tk")
		s.put("custom", set)
		s.close()
		s.open()
		got := s.get("custom").Template
		if string(got) != string(set.Template) {
			t.Errorf("after a restart the template has %d bytes, want the %d given", len(got), len(set.Template))
		}
		s.put("custom", deliver.Settings{GiveUpAfter: time.Hour})
		s.put("custom", deliver.Settings{Recipient: deliver.Recipient{Template: got}})
		set = s.jsonKind(`{"text":"`+strings.Repeat("x", 8<<10)+`"}`, "tk")
		_, _, err := s.Put(t.Context(), "custom", set)
		if invalid := (*deliver.InvalidError)(nil); !errors.As(err, &invalid) || invalid.Field != "template" {
			t.Errorf("a longer one: %v", err)
		}
	})
}

// TestEscapedTemplate: a template that an older release stored with escapes, beyond the limit, does not get in the way
// of other settings.
func TestEscapedTemplate(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.put("custom", s.jsonKind(`{"text":"`+strings.Repeat("<..", 2700)+`"}`, "tk"))
		s.close()
		stored, err := s.log.Deliveries()
		if err != nil || len(stored) != 1 {
			t.Fatalf("%d deliveries (%v)", len(stored), err)
		}
		var escaped bytes.Buffer
		json.HTMLEscape(&escaped, stored[0].Record)
		stored[0].Record = escaped.Bytes()
		if err := s.log.SetDeliveries(t.Context(), stored, false); err != nil {
			t.Fatal(err)
		}
		s.open()
		s.put("custom", deliver.Settings{GiveUpAfter: time.Hour})
		s.publish(1, "orders")
		want := `{"text":"` + strings.Repeat(`\u003c..`, 2700) + `"}`
		if all := s.takeAll(); len(all) != 1 || all[0].body != want {
			t.Errorf("sent %d messages, want the template's text", len(all))
		}
	})
}
