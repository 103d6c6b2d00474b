package deliver_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"tidings/deliver"
)

// TestMoveKinds: each kind survives an export, an import and a kill, and gets its URL and secret.
func TestMoveKinds(t *testing.T) {
	people := func(r deliver.Recipient) deliver.Recipient {
		r.Language, r.TimeZone, r.Detail = "zh", "Asia/Shanghai", deliver.Fields
		if r.Template == nil {
			r.Template = json.RawMessage(`"<{{data.n}}> & {{text}}"`)
		}
		return r
	}
	for name, x := range map[string]struct {
		of       deliver.Recipient
		url, key string
	}{
		"webhook":  {deliver.Recipient{}, hook, secret},
		"slack":    {people(deliver.Recipient{Kind: deliver.Slack}), "https://hooks.slack.com/x", ""},
		"wecom":    {people(deliver.Recipient{Kind: deliver.WeCom}), "https://q.example.com/x", ""},
		"dingtalk": {people(deliver.Recipient{Kind: deliver.DingTalk}), "https://o.example.com/x", "SEC"},
		"feishu":   {people(deliver.Recipient{Kind: deliver.Feishu}), "https://o.example.com/x", "SEC"},
		"telegram": {people(deliver.Recipient{Kind: deliver.Telegram, To: "@orders"}), "", "1:a"},
		"smtp": {people(deliver.Recipient{Kind: deliver.Mail, To: "a@example.com", Sender: "b@example.com", User: "u"}),
			"smtps://mail.example.com", "pw"},
		"json": {people(deliver.Recipient{Kind: deliver.Custom,
			Template: json.RawMessage(`{"a":"{{secret}}","b":"<{{data.n}}>"}`)}), "https://n.example.com/x", "tok"},
		"json alone": {people(deliver.Recipient{Kind: deliver.Custom, Template: json.RawMessage(`{"b":"{{text}}"}`)}),
			"https://n.example.com/x", ""},
	} {
		t.Run(name, func(t *testing.T) {
			test(t, func(t *testing.T, s *scene) {
				set := settings("orders")
				set.URL, set.Secret, set.Recipient = x.url, x.key, x.of
				set.GiveUpAfter, set.OnGiveUp = time.Hour, deliver.SetAside
				was := s.put("from", set)
				again := settings("orders")
				again.URL, again.Secret, again.Incomplete, again.Recipient = "", "", true, was.Recipient
				if was.Template != nil {
					var escaped bytes.Buffer
					json.HTMLEscape(&escaped, was.Template)
					again.Template = escaped.Bytes()
				}
				again.Format, again.GiveUpAfter = was.Format, was.GiveUpAfter
				again.OnGiveUp, again.Order = was.OnGiveUp, was.Order
				again.From = &was.At
				if st := s.put("to", again); st.State != deliver.Incomplete {
					t.Fatalf("made %s", st.State)
				}
				s.kill()
				st := s.put("to", deliver.Settings{URL: x.url, Secret: x.key})
				s.Delete(t.Context(), "from")
				if st.State != deliver.Running || st.Origin != was.Origin {
					t.Errorf("%s at %s", st.State, st.Origin)
				}
				a, _ := json.Marshal(was.Recipient)
				b, _ := json.Marshal(st.Recipient)
				if !bytes.Equal(a, b) || st.Format != was.Format {
					t.Errorf("%s\n%s", a, b)
				}
				s.publish(1, "orders")
				synctest.Wait()
				if all := s.receiver.take(); len(all) == 0 && name != "smtp" {
					t.Error("nothing is sent")
				}
			})
		})
	}
}
