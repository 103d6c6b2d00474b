package deliver_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidings/deliver"
	"tidings/store"
)

// chatKind is a kind of receiver with a stand-in for it.
type chatKind struct {
	kind    deliver.Kind
	service func() *service
	right   deliver.Settings
	wrong   deliver.Settings // an address or a secret that the service does not know
	says    string           // the failure reported for wrong
	escaped string           // markup as it arrives
}

const markup = "<!channel> <@U1> @all &amp; *b* _i_ <at id=all></at> a@b.example [x](http://e.example)\n\u202ebidi"

const read = "<!channel> <@\u200bU1> @\u200ball &amp; *b* _i_ <at id=all></at> a@b.example [x](http://e.example) bidi"

var chats = []chatKind{
	{kind: deliver.Custom, service: newNtfy, right: deliver.Settings{Recipient: deliver.Recipient{
		Template: json.RawMessage(`{"topic":"shop","title":"{{title}}","message":"{{text}}","click":"{{link}}"}`)},
		URL: "https://ntfy.example.com/", Secret: "tk_right"}, wrong: deliver.Settings{Recipient: deliver.Recipient{
		Template: json.RawMessage(`{"topic":"shop","message":"{{text}}"}`)}, URL: "https://ntfy.example.com/",
		Secret: "tk_wrong"}, says: "403 Forbidden: check the secret", escaped: read},
	{kind: deliver.DingTalk, service: newDingTalk, right: deliver.Settings{
		URL: "https://oapi.dingtalk.com/robot/send?access_token=right", Secret: "SECright"}, wrong: deliver.Settings{
		URL: "https://oapi.dingtalk.com/robot/send?access_token=right", Secret: "SECwrong"},
		says: "310000: one of the robot's security settings: check the secret", escaped: read},
	{kind: deliver.Feishu, service: newFeishu, right: deliver.Settings{
		URL: "https://open.feishu.cn/open-apis/bot/v2/hook/right", Secret: "right"}, wrong: deliver.Settings{
		URL: "https://open.feishu.cn/open-apis/bot/v2/hook/right", Secret: "wrong"},
		says: "19021: check the secret and this server's clock", escaped: read},
	{kind: deliver.Telegram, service: newTelegram, right: deliver.Settings{
		Recipient: deliver.Recipient{To: "-1001"}, Secret: "17:right"}, wrong: deliver.Settings{
		Recipient: deliver.Recipient{To: "-1001"}, Secret: "17:wrong"},
		says: "401: check the bot's token", escaped: read},
	{kind: deliver.WeCom, service: newWeCom, right: deliver.Settings{
		URL: "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=right"}, wrong: deliver.Settings{
		URL: "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=wrong"}, says: "93000: no robot at this URL",
		escaped: read},
	{kind: deliver.Slack, service: newSlack, right: deliver.Settings{
		URL: "https://hooks.slack.com/services/T1/B1/right"}, wrong: deliver.Settings{
		URL: "https://hooks.slack.com/services/T1/B1/wrong"}, says: "no_service: no webhook at this URL",
		escaped: "&lt;!channel&gt; &lt;@\u200bU1&gt; @\u200ball &amp;amp; *b* _i_ &lt;at id=all&gt;&lt;/at&gt; " +
			"a@b.example [x](http://e.example) bidi"},
}

// testChats runs f for each kind, with a delivery "chat" of orders.> and tickets.
func testChats(t *testing.T, f func(t *testing.T, s *scene, c *chatKind, to *service),
	more ...deliver.Recipient) {
	t.Helper()
	for _, c := range chats {
		t.Run(string(c.kind), func(t *testing.T) {
			test(t, func(t *testing.T, s *scene) {
				to := c.service()
				s.receiver.set(to.answer)
				set := c.settings(c.right)
				for _, m := range more {
					m.Kind, m.To, m.Template = c.kind, c.right.To, c.right.Template
					set.Recipient = m
				}
				s.put("chat", set)
				f(t, s, &c, to)
			})
		})
	}
}

// settings are for a new delivery of the kind.
func (c *chatKind) settings(of deliver.Settings) deliver.Settings {
	of.Topics, of.Kind, of.By = settings("orders.>", "tickets").Topics, c.kind, "admin"
	return of
}

func (s *scene) say(topic, typ, contentType, data string) string {
	s.t.Helper()
	ids, err := store.Append(s.t.Context(), s.log, []store.Draft{{Topic: topic, Type: typ, ContentType: contentType,
		Data: []byte(data)}})
	if err != nil {
		s.t.Fatal(err)
	}
	return ids[0].String()
}

// TestLoneEvent: one event is one message, at once: a count, the topic's name, the time, and a link. Nothing else that
// a publisher wrote leaves.
func TestLoneEvent(t *testing.T) {
	testChats(t, func(t *testing.T, s *scene, c *chatKind, to *service) {
		time.Sleep(time.Hour)
		began := time.Now()
		id := s.say("orders.eu", "order.created", "application/json", `{"number":1001,"customer":"Ann"}`)
		text := strings.ReplaceAll(to.one(t), "&amp;", "&")
		if time.Since(began) != 0 {
			t.Errorf("sent after %v", time.Since(began))
		}
		want := "orders.eu: 1 new event about orders\n2000-01-01 01:00:00 (UTC)\n" +
			"https://events.example.com/in/#/log?id=" + id + "&topic=orders.eu"
		if text != want {
			t.Errorf("it says\n%s\nwant\n%s", text, want)
		}
		if status := s.expect("chat", deliver.Running); status.At.String() != id || status.Kind != c.kind {
			t.Errorf("status %+v", status)
		}
		s.Pause(t.Context(), "chat")
		if result, err := s.Test(t.Context(), "chat"); err != nil || result.Error != "" || result.Status != 200 {
			t.Errorf("test: %+v (%v)", result, err)
		}
		if text := to.one(t); text != "This is a test of delivery chat. No action is needed." {
			t.Errorf("a test says %q", text)
		}
	})
}

// TestBurst: events already present are one message, which moves the cursor to the last of them; a steady flow stays
// within what the service takes, and no event is left out.
func TestBurst(t *testing.T) {
	testChats(t, func(t *testing.T, s *scene, _ *chatKind, to *service) {
		s.Pause(t.Context(), "chat")
		ids := strings.Fields(s.publish(12, "orders.eu", "orders.eu", "tickets"))
		s.Resume(t.Context(), "chat")
		text := to.one(t)
		for _, line := range []string{"orders.eu: 8 new events about orders\n", "tickets: 4 new events about tickets\n",
			"The newest: ", ids[11]} {
			if !strings.Contains(text, line) {
				t.Errorf("%q lacks %q", text, line)
			}
		}
		if at := s.get("chat").At.String(); at != ids[11] {
			t.Errorf("the cursor is at %s, want the last", at)
		}
		time.Sleep(time.Hour)
		const n = 200
		for range n {
			s.publish(1, "orders.eu")
			time.Sleep(700 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		texts, refused := to.take()
		told := 0
		for _, text := range texts {
			count, _ := strconv.Atoi(strings.Fields(text)[1])
			told += count
		}
		if told != n || refused != 0 || len(texts) == n {
			t.Errorf("%d messages of %d events, %d refused, want %d events and none", len(texts), told, refused, n)
		}
	})
}

// TestRateLimit: a service whose limit others have used up is retried when it says so, and then gets everything.
func TestRateLimit(t *testing.T) {
	testChats(t, func(t *testing.T, s *scene, _ *chatKind, to *service) {
		to.use()
		s.publish(1, "orders.eu")
		status := s.expect("chat", deliver.Failing)
		s.publish(2, "orders.eu")
		wait := time.Until(status.Next)
		if wait < 30*time.Second || wait > 20*time.Minute || status.Attempts != 1 {
			t.Errorf("tried again in %v: %+v", wait, status)
		}
		time.Sleep(wait + time.Hour)
		if texts, refused := to.take(); len(texts) != 1 || !strings.Contains(texts[0], ": 3 new") || refused > 2 {
			t.Errorf("taken %q, %d refused", texts, refused)
		}
		s.expect("chat", deliver.Running)
	})
}

// TestRefusedByTheService: an answer that it does not know us is a failure, even with status 200. The failure gives the
// reason without the secrets, and is not retried at once.
func TestRefusedByTheService(t *testing.T) {
	for _, c := range chats {
		t.Run(string(c.kind), func(t *testing.T) {
			test(t, func(t *testing.T, s *scene) {
				to := c.service()
				s.receiver.set(to.answer)
				s.put("chat", c.settings(c.wrong))
				s.publish(1, "orders.eu")
				status := s.expect("chat", deliver.Failing)
				if !strings.Contains(status.Failure, c.says) || strings.Contains(status.Failure, "hint") ||
					time.Until(status.Next) < 30*time.Minute {
					t.Errorf("failed with %q, again in %v", status.Failure, time.Until(status.Next))
				}
				if _, refused := to.take(); refused != 1 {
					t.Errorf("tried %d times, want once", refused)
				}
				s.put("chat", c.right)
				if text := to.one(t); !strings.Contains(text, "1 new") {
					t.Errorf("mended, it says %q", text)
				}
				time.Sleep(time.Minute)
				if c.kind == deliver.Custom {
					return // its answers have no defined form
				}
				s.receiver.set(func(int, got) *http.Response { return answered(200, "<html>sign in</html>") })
				s.publish(1, "orders.eu")
				if status := s.expect("chat", deliver.Failing); !strings.Contains(status.Failure, "check the URL") ||
					strings.Contains(status.Failure, "html") {
					t.Errorf("a stranger's answer: %q", status.Failure)
				}
			})
		})
	}
}

// TestSignedAnew: a message that has failed for hours is signed anew at each attempt.
func TestSignedAnew(t *testing.T) {
	testChats(t, func(t *testing.T, s *scene, _ *chatKind, to *service) {
		s.receiver.set(always(503))
		s.publish(1, "orders.eu")
		time.Sleep(5 * time.Hour)
		s.receiver.set(to.answer)
		time.Sleep(time.Hour)
		to.one(t)
	})
}

// TestMarkup: what a publisher writes is neither markup nor a mention where it is read, and no longer than allowed.
func TestMarkup(t *testing.T) {
	testChats(t, func(t *testing.T, s *scene, c *chatKind, to *service) {
		data, _ := json.Marshal(map[string]string{"text": markup})
		s.say("orders.eu", "order.created", "application/json", string(data))
		if text := to.one(t); !strings.Contains(text, "\n内容："+c.escaped+"\n") ||
			!strings.HasPrefix(text, "orders.eu：1 个新订单\n2000-01-01 08:00:00 (Asia/Shanghai)\n") {
			t.Errorf("it says %q", text)
		}
		time.Sleep(time.Minute)
		var long []string
		for i := range 20 {
			long = append(long, fmt.Sprintf(`"%d":%q`, i, strings.Repeat("<订&", 300)))
		}
		id := s.say("orders."+strings.Repeat("x", 200), "order.created", "application/json",
			"{"+strings.Join(long, ",")+"}")
		if text := to.one(t); !strings.Contains(text, id) || !strings.Contains(text, "…") {
			t.Errorf("a long one says %q", text)
		}
	}, deliver.Recipient{Language: "zh", TimeZone: "Asia/Shanghai", Detail: deliver.Fields})
}
