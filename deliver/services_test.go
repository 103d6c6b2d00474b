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
)

// service stands in for a service that takes texts, and refuses what the real one refuses.
type service struct {
	mu     sync.Mutex
	perMin int         // messages; more are refused
	taken  []time.Time // when each was
	texts  []string    // those taken
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

// use uses up the limit, as another sender would.
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

// decode parses a JSON body that has no other members than into, or reports false.
func decode(g got, into any) bool {
	dec := json.NewDecoder(strings.NewReader(g.body))
	dec.DisallowUnknownFields()
	return strings.HasPrefix(g.header.Get("Content-Type"), "application/json") && dec.Decode(into) == nil
}

// newDingTalk follows https://open.dingtalk.com/document/robots/custom-robot-access.
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

// newFeishu follows https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot.
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

// newNtfy follows https://docs.ntfy.sh/publish/#publish-as-json and #limitations.
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

// newTelegram follows https://core.telegram.org/bots/api#sendmessage.
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

// newWeCom follows https://developer.work.weixin.qq.com/document/path/99110.
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

// newSlack follows https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks and
// https://docs.slack.dev/apis/web-api/rate-limits: one message a second, with some bursts.
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
				return "", answered(400, "invalid_payload") // a mention, or a link by others
			}
		}
		return m.Text, nil
	}, full: func() *http.Response {
		resp := answered(429, "rate_limited")
		resp.Header.Set("Retry-After", "30")
		return resp
	}, ok: func() *http.Response { return answered(200, "ok") }}
}
