package deliver_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf16"

	"tidings/deliver"
	"tidings/store"
)

// service stands in for one of those that take texts, and refuses what the real one refuses.
type service struct {
	mu     sync.Mutex
	perMin int         // messages; more are refused
	taken  []time.Time // when one was
	texts  []string    // that were taken
	refuse int         // how many were refused
	// check returns the text, or the answer of a refusal.
	check func(g got) (text string, refusal *http.Response)
	full  func() *http.Response // the answer to one message too many
	ok    func() *http.Response
}

func (s *service) answer(_ int, g got) *http.Response {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, refusal := s.check(g)
	switch {
	case refusal != nil:
	case len(s.taken) >= s.perMin && time.Since(s.taken[len(s.taken)-s.perMin]) < time.Minute:
		refusal = s.full()
	default:
		s.taken, s.texts = append(s.taken, time.Now()), append(s.texts, text)
		return s.ok()
	}
	s.refuse++
	return refusal
}

// use has another sender use up the limit.
func (s *service) use() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range s.perMin {
		s.taken = append(s.taken, time.Now())
	}
}

// take returns the texts since the last call, and how many were refused.
func (s *service) take() (texts []string, refused int) {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	texts, refused, s.texts, s.refuse = s.texts, s.refuse, nil, 0
	return texts, refused
}

// one returns the one text that was taken.
func (s *service) one(t *testing.T) string {
	t.Helper()
	texts, refused := s.take()
	if len(texts) != 1 || refused != 0 {
		t.Fatalf("taken %q, %d refused, want one", texts, refused)
	}
	return texts[0]
}

func answered(code int, body string) *http.Response {
	resp := status(code)
	resp.Body = io.NopCloser(strings.NewReader(body))
	return resp
}

// decode reads a body of JSON with no members but those of into, or reports that it is none.
func decode(g got, into any) bool {
	dec := json.NewDecoder(strings.NewReader(g.body))
	dec.DisallowUnknownFields()
	return strings.HasPrefix(g.header.Get("Content-Type"), "application/json") && dec.Decode(into) == nil
}

// chatKind is a kind of receiver with what stands in for it.
type chatKind struct {
	kind    deliver.Kind
	service func() *service
	right   deliver.Settings
	wrong   deliver.Settings // an address or a secret that the service does not know
	says    string           // what is said of that
	escaped string           // markup as it arrives
}

// newDingTalk is of https://open.dingtalk.com/document/robots/custom-robot-access.
func newDingTalk() *service {
	failed := func(code int, text string) *http.Response {
		return answered(200, fmt.Sprintf(`{"errcode":%d,"errmsg":%q}`, code, text+", hint"))
	}
	return &service{perMin: 20, check: func(g got) (string, *http.Response) {
		query := g.url.Query()
		at, _ := strconv.ParseInt(query.Get("timestamp"), 10, 64)
		var m struct {
			MsgType string
			Text    struct{ Content string }
		}
		switch {
		case g.url.Host != "oapi.dingtalk.com" || g.url.Path != "/robot/send":
			return "", status(404)
		case query.Get("access_token") != "right":
			return "", failed(300005, "token is not exist")
		case time.Since(time.UnixMilli(at)).Abs() > time.Hour:
			return "", failed(310000, "invalid timestamp")
		case query.Get("sign") != hmacText("SECright", query.Get("timestamp")+"\nSECright"):
			return "", failed(310000, "sign not match")
		case !decode(g, &m) || m.MsgType != "text" || m.Text.Content == "":
			return "", failed(40035, "invalid parameter")
		case len(g.body) > 20_000:
			return "", failed(460101, "message too long")
		}
		return m.Text.Content, nil
	}, full: func() *http.Response { return failed(130101, "send too fast, exceed 20 times per minute") },
		ok: func() *http.Response { return answered(200, `{"errcode":0,"errmsg":"ok"}`) }}
}

// newFeishu is of https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot.
func newFeishu() *service {
	failed := func(status, code int, text string) *http.Response {
		return answered(status, fmt.Sprintf(`{"code":%d,"msg":%q,"data":{}}`, code, text+", hint"))
	}
	type line []struct{ Tag, Text, Href string }
	return &service{perMin: 100, check: func(g got) (text string, refusal *http.Response) {
		var m struct {
			Timestamp, Sign string
			Msg_type        string
			Content         struct {
				Post map[string]struct{ Content []line }
			}
		}
		if !decode(g, &m) || m.Msg_type != "post" || len(m.Content.Post) != 1 {
			return "", failed(400, 9499, "Bad Request")
		}
		at, _ := strconv.ParseInt(m.Timestamp, 10, 64)
		switch {
		case g.url.String() != "https://open.feishu.cn/open-apis/bot/v2/hook/right":
			return "", failed(200, 19001, "param invalid: incoming webhook access token invalid")
		case time.Since(time.Unix(at, 0)).Abs() > time.Hour || m.Sign != hmacText(m.Timestamp+"\nright", ""):
			return "", failed(200, 19021, "sign match fail or timestamp is not within one hour from current time")
		case len(g.body) > 20<<10:
			return "", failed(200, 19036, "too long")
		}
		var lines []string
		for _, post := range m.Content.Post {
			for _, l := range post.Content {
				if len(l) != 1 || l[0].Tag != "text" && (l[0].Tag != "a" || l[0].Href != l[0].Text) {
					return "", failed(400, 9499, "Bad Request")
				}
				lines = append(lines, l[0].Text)
			}
		}
		return strings.Join(lines, "\n"), nil
	}, full: func() *http.Response { return failed(200, 11232, "frequency limited psm[...]") },
		ok: func() *http.Response {
			return answered(200, `{"StatusCode":0,"StatusMessage":"success","code":0,"data":{},"msg":"success"}`)
		}}
}

// newNtfy is of https://docs.ntfy.sh/publish/#publish-as-json and #limitations.
func newNtfy() *service {
	return &service{perMin: 60, check: func(g got) (string, *http.Response) {
		var m struct {
			Topic, Title, Message, Click string
			Priority                     int
			Tags                         []string
		}
		switch {
		case g.url.String() != "https://ntfy.example.com/":
			return "", answered(404, `{"code":40401,"http":404,"error":"page not found"}`)
		case g.header.Get("Authorization") != "Bearer tk_right":
			return "", answered(403, `{"code":40301,"http":403,"error":"forbidden"}`)
		case !decode(g, &m) || m.Topic != "shop":
			return "", answered(400, `{"code":40024,"http":400,"error":"invalid request: body must be valid JSON"}`)
		case len(m.Message) > 4096:
			return "", answered(413, `{"code":41301,"http":413,"error":"attachment too large"}`)
		}
		return strings.TrimSuffix(m.Message+"\n"+m.Click, "\n"), nil
	}, full: func() *http.Response {
		return answered(429, `{"code":42901,"http":429,"error":"limit reached: too many requests"}`)
	}, ok: func() *http.Response { return answered(200, `{"id":"x","event":"message"}`) }}
}

// newTelegram is of https://core.telegram.org/bots/api#sendmessage.
func newTelegram() *service {
	failed := func(code int, more, text string) *http.Response {
		return answered(code, fmt.Sprintf(`{"ok":false,"error_code":%d,"description":%q%s}`, code, text, more))
	}
	return &service{perMin: 20, check: func(g got) (string, *http.Response) {
		var m struct {
			Chat_id, Text        string
			Link_preview_options struct{ Is_disabled bool }
		}
		switch {
		case g.url.Host != "api.telegram.org" || !strings.HasPrefix(g.url.Path, "/bot"):
			return "", status(404)
		case g.url.Path != "/bot17:right/sendMessage":
			return "", failed(401, "", "Unauthorized")
		case !decode(g, &m) || m.Text == "":
			return "", failed(400, "", "Bad Request: message text is empty")
		case m.Chat_id != "-1001":
			return "", failed(400, "", "Bad Request: chat not found")
		case len(utf16.Encode([]rune(m.Text))) > 4096:
			return "", failed(400, "", "Bad Request: message is too long")
		}
		return m.Text, nil
	}, full: func() *http.Response {
		return failed(429, `,"parameters":{"retry_after":35}`, "Too Many Requests: retry after 35")
	}, ok: func() *http.Response { return answered(200, `{"ok":true,"result":{"message_id":1}}`) }}
}

func hmacText(key, text string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

const markup = "<!channel> <@U1> @all &amp; *b* _i_ <at id=all></at> a@b.example [x](http://e.example)\n\u202ebidi"

const read = "<!channel> <@\u200bU1> @\u200ball &amp; *b* _i_ <at id=all></at> a@b.example [x](http://e.example) bidi"

var chats = []chatKind{
	{kind: deliver.Custom, service: newNtfy, right: deliver.Settings{Recipient: deliver.Recipient{
		Template: json.RawMessage(`{"topic":"shop","title":"{{title}}","message":"{{text}}","click":"{{link}}"}`)},
		URL: "https://ntfy.example.com/", Secret: "tk_right"}, wrong: deliver.Settings{Recipient: deliver.Recipient{
		Template: json.RawMessage(`{"topic":"shop","message":"{{text}}"}`)}, URL: "https://ntfy.example.com/",
		Secret: "tk_wrong"}, says: "403 Forbidden: look at the secret", escaped: read},
	{kind: deliver.DingTalk, service: newDingTalk, right: deliver.Settings{
		URL: "https://oapi.dingtalk.com/robot/send?access_token=right", Secret: "SECright"}, wrong: deliver.Settings{
		URL: "https://oapi.dingtalk.com/robot/send?access_token=right", Secret: "SECwrong"},
		says: "310000: one of the robot's rules: look at the secret", escaped: read},
	{kind: deliver.Feishu, service: newFeishu, right: deliver.Settings{
		URL: "https://open.feishu.cn/open-apis/bot/v2/hook/right", Secret: "right"}, wrong: deliver.Settings{
		URL: "https://open.feishu.cn/open-apis/bot/v2/hook/right", Secret: "wrong"},
		says: "19021: look at the secret and at this server's clock", escaped: read},
	{kind: deliver.Telegram, service: newTelegram, right: deliver.Settings{
		Recipient: deliver.Recipient{To: "-1001"}, Secret: "17:right"}, wrong: deliver.Settings{
		Recipient: deliver.Recipient{To: "-1001"}, Secret: "17:wrong"},
		says: "401: look at the bot's token", escaped: read},
	{kind: deliver.WeCom, service: newWeCom, right: deliver.Settings{
		URL: "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=right"}, wrong: deliver.Settings{
		URL: "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=wrong"}, says: "93000: there is no robot at this URL",
		escaped: "<!channel> <\u200b@\u200bU1> @\u200ball &amp; *b* _i_ <at id=all></at> a@b.example " +
			"[x](http://e.example) bidi"},
	{kind: deliver.Slack, service: newSlack, right: deliver.Settings{
		URL: "https://hooks.slack.com/services/T1/B1/right"}, wrong: deliver.Settings{
		URL: "https://hooks.slack.com/services/T1/B1/wrong"}, says: "no_service: there is no webhook at this URL",
		escaped: "&lt;!channel&gt; &lt;@\u200bU1&gt; @\u200ball &amp;amp; *b* _i_ &lt;at id=all&gt;&lt;/at&gt; " +
			"a@b.example [x](http://e.example) bidi"},
}

// newWeCom is of https://developer.work.weixin.qq.com/document/path/99110.
func newWeCom() *service {
	failed := func(code int, text string) *http.Response {
		return answered(200, fmt.Sprintf(`{"errcode":%d,"errmsg":%q}`, code, text+", hint: [17]"))
	}
	return &service{perMin: 20, check: func(g got) (string, *http.Response) {
		var m struct {
			MsgType string
			Text    struct{ Content string }
		}
		switch {
		case g.url.Host != "qyapi.weixin.qq.com" || g.url.Path != "/cgi-bin/webhook/send":
			return "", status(404)
		case g.url.Query().Get("key") != "right":
			return "", failed(93000, "invalid webhook url")
		case !decode(g, &m) || m.MsgType != "text":
			return "", failed(40008, "invalid message type")
		case m.Text.Content == "":
			return "", failed(44004, "empty content")
		case len(m.Text.Content) > 2048:
			return "", failed(40058, "text.content exceed max length 2048. invalid Request Parameter")
		}
		return m.Text.Content, nil
	}, full: func() *http.Response { return failed(45009, "api freq out of limit") },
		ok: func() *http.Response { return answered(200, `{"errcode":0,"errmsg":"ok"}`) }}
}

// newSlack is of https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks and
// https://docs.slack.dev/apis/web-api/rate-limits: a message a second, with some bursts.
func newSlack() *service {
	entity := regexp.MustCompile(`[<>]|&(?:amp|lt|gt);|&`)
	return &service{perMin: 60, check: func(g got) (string, *http.Response) {
		var m struct {
			Text          string
			Mrkdwn        *bool
			Unfurl_links  bool
			Unfurl_media  bool
			Unknown_field struct{}
		}
		switch {
		case g.url.Host != "hooks.slack.com" || g.url.Path != "/services/T1/B1/right":
			return "", answered(404, "no_service")
		case !decode(g, &m) || m.Mrkdwn == nil || *m.Mrkdwn || m.Unfurl_links || m.Unfurl_media:
			return "", answered(400, "invalid_payload")
		case m.Text == "":
			return "", answered(400, "no_text")
		case len(m.Text) > 40_000:
			return "", answered(400, "msg_too_long")
		}
		for _, e := range entity.FindAllString(m.Text, -1) {
			if len(e) == 1 {
				return "", answered(400, "invalid_payload") // a mention, or a link of somebody else's
			}
		}
		return m.Text, nil
	}, full: func() *http.Response {
		resp := answered(429, "rate_limited")
		resp.Header.Set("Retry-After", "30")
		return resp
	}, ok: func() *http.Response { return answered(200, "ok") }}
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

// TestLoneEvent: one event is one message, at once: a count, the topic's name, when, and a link. Nothing else that a
// publisher wrote leaves.
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
		if text := to.one(t); text != "This is a test of the delivery chat. Nothing needs to be done." {
			t.Errorf("a test says %q", text)
		}
	})
}

// TestBurst: what is there already is one message, of which the cursor moves to the last; a steady flow stays within
// what the service takes, and no event is left out.
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

// TestRateLimit: a service that others have used up is asked again when it says so, and then told of all.
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

// TestRefusedByTheService: an answer that it does not know us is a failure, also one of status 200, that says why
// without the secrets, and is not tried again at once.
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
					return // it has no form of answers
				}
				s.receiver.set(func(int, got) *http.Response { return answered(200, "<html>sign in</html>") })
				s.publish(1, "orders.eu")
				if status := s.expect("chat", deliver.Failing); !strings.Contains(status.Failure, "look at the URL") ||
					strings.Contains(status.Failure, "html") {
					t.Errorf("a stranger's answer: %q", status.Failure)
				}
			})
		})
	}
}

// TestSignedAnew: a message that has failed for hours has a signature of its last attempt.
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

// TestMarkup: what a publisher writes is neither markup nor a mention where it is read, and as long as it may be.
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
