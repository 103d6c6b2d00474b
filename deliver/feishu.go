package deliver

import (
	"strconv"
	"strings"
	"time"
)

// feishu is a custom bot of Feishu or Lark that requires signatures
// (https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot): in the body, the time in seconds, at most an
// hour off, and the HMAC-SHA256 of nothing, keyed with that time, a newline and the secret. 20 KB, 100 messages a
// minute and 5 a second; a code in an answer of status 200. A "text" knows <at>, so this is a "post", whose texts have
// no markup.
var feishu = &chat{
	t: traits{takes: append([]string{"secret"}, texts...), secret: "the bot's signing secret",
		key: checkVisible, pace: time.Second},
	request: func(to *target, n *note, now time.Time) (string, any) {
		at := strconv.FormatInt(now.Unix(), 10)
		return to.URL, struct {
			Time    string         `json:"timestamp"`
			Sign    string         `json:"sign"`
			Type    string         `json:"msg_type"`
			Content map[string]any `json:"content"`
		}{at, hmacOf(at+"\n"+to.Secret, ""), "post", map[string]any{"post": feishuPost(n, to.recipient.Language)}}
	},
	judge: judgeCode("Feishu", "code", map[int]verdict{
		9499:  {what: "it rejects this message, or has too many", again: time.Minute},
		11232: {what: "too many messages", again: time.Minute},
		19001: {what: "no bot at this URL"},
		19021: {what: "check the secret and this server's clock"},
		19022: {what: "the bot refuses requests from this server's address"},
		19024: {what: "the message lacks a keyword that the bot requires"},
		19036: {what: "the message is too long"},
	}),
}

// feishuPost has a paragraph for each line, and one for the link.
func feishuPost(n *note, language string) map[string]any {
	type part struct {
		Tag  string `json:"tag"`
		Text string `json:"text"`
		To   string `json:"href,omitzero"`
	}
	var lines [][]part
	for line := range strings.SplitSeq(shorten(n.text, 4000), "\n") {
		lines = append(lines, []part{{Tag: "text", Text: line}})
	}
	if n.link != "" {
		lines = append(lines, []part{{"a", n.link, n.link}})
	}
	locale := "en_us"
	if language == "zh" {
		locale = "zh_cn"
	}
	return map[string]any{locale: map[string]any{"content": lines}}
}
