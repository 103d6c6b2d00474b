package deliver

import "time"

// wecom is the robot of a group in WeCom (https://developer.work.weixin.qq.com/document/path/99110, 91770 before): a
// text of at most 2,048 bytes, 20 messages a minute, and an errcode in an answer of status 200. Its text has no markup
// but mentions, which note has removed.
var wecom = &chat{
	t: traits{takes: texts, pace: 3 * time.Second},
	request: func(to *target, n *note, _ time.Time) (string, any) {
		type text struct {
			Content string `json:"content"`
		}
		return to.URL, struct {
			Type string `json:"msgtype"`
			Text text   `json:"text"`
		}{"text", text{n.cut(2048)}}
	},
	judge: judgeCode("WeCom", "errcode", map[int]verdict{
		40008: {what: "it rejects this type of message"},
		40058: {what: "the message breaks one of its rules, such as the length"},
		44004: {what: "the text is empty"},
		45002: {what: "the text is too long"},
		45009: {what: "more than 20 messages a minute", again: time.Minute},
		45033: {what: "too many requests at once", again: time.Minute},
		93000: {what: "no robot at this URL: its key is wrong, or it was removed"},
		93004: {what: "the robot was disabled"},
		93008: {what: "the robot is no longer in the group"},
		93017: {what: "the robot refuses requests from this server's address"},
	}),
}
