package deliver

import (
	"net/url"
	"strconv"
	"time"
)

// dingtalk is a custom robot of DingTalk that requires signatures
// (https://open.dingtalk.com/document/robots/custom-robot-access): in the query, the time in milliseconds, at most an
// hour off, and the HMAC-SHA256, keyed with the secret, of that time, a newline and the secret. 20 messages a minute,
// then none for ten; an errcode in an answer of status 200. Its texts have no markup, and mention only whom "at" names.
var dingtalk = &chat{
	t: traits{takes: append([]string{"secret"}, texts...), secret: "the robot's signing secret",
		key: checkVisible, pace: 3 * time.Second},
	request: func(to *target, n *note, now time.Time) (string, any) {
		type text struct {
			Content string `json:"content"`
		}
		address := to.URL
		if u, err := url.Parse(to.URL); err == nil {
			query, at := u.Query(), strconv.FormatInt(now.UnixMilli(), 10)
			query.Set("timestamp", at)
			query.Set("sign", hmacOf(to.Secret, at+"\n"+to.Secret))
			u.RawQuery = query.Encode()
			address = u.String()
		}
		return address, struct {
			Type string `json:"msgtype"`
			Text text   `json:"text"`
		}{"text", text{n.cut(4000)}}
	},
	judge: judgeCode("DingTalk", "errcode", map[int]verdict{
		-1:     {what: "it is busy", again: time.Minute},
		40035:  {what: "it rejects this message"},
		90030:  {what: "more messages than its plan allows", again: time.Hour},
		130101: {what: "more than 20 messages a minute", again: 10 * time.Minute},
		300001: {what: "no robot at this URL"},
		300005: {what: "no robot at this URL"},
		310000: {what: "one of the robot's security settings: check the secret, this server's clock, keywords and " +
			"addresses " +
			"that the robot requires"},
		400013: {what: "the group was dissolved"},
		400101: {what: "no robot at this URL"},
		400102: {what: "the robot was disabled"},
		400105: {what: "it rejects this type of message"},
		400106: {what: "the robot was removed"},
		410100: {what: "too many messages", again: 10 * time.Minute},
		430101: {what: "it rejects the link"},
		430102: {what: "it rejects the content of the text"},
		430104: {what: "it rejects the content of the text"},
	}),
}
