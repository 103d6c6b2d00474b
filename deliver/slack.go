package deliver

import (
	"strings"
	"time"
)

// slack is an incoming webhook of Slack (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks):
// one message a second, 429 with Retry-After, and an error as a word in the body. Texts escape only &, < and >
// (https://docs.slack.dev/messaging/formatting-message-text); without mrkdwn nothing else is markup.
var slack = &chat{
	t: traits{takes: texts, pace: time.Second},
	request: func(to *target, n *note, _ time.Time) (string, any) {
		return to.URL, struct {
			Text   string `json:"text"`
			Markup bool   `json:"mrkdwn"`
			Links  bool   `json:"unfurl_links"` // nobody should fetch the console's
			Media  bool   `json:"unfurl_media"`
		}{Text: slackEscapes.Replace(n.cut(4000))}
	},
	judge: func(a *answer, body []byte) {
		if what, known := slackErrors[string(body)]; known && !a.ok() {
			a.is("Slack", string(body), verdict{what: what})
		} else if a.ok() && string(body) != "ok" {
			a.failure, a.config = "the response is not from Slack: check the URL", true
		}
	},
}

var slackEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

var slackErrors = map[string]string{
	"action_prohibited":                 "an administrator has restricted the webhook",
	"channel_is_archived":               "the channel is archived",
	"channel_not_found":                 "the channel no longer exists",
	"invalid_payload":                   "it rejects this message",
	"invalid_token":                     "the URL is no longer valid",
	"no_active_hooks":                   "the webhook was disabled",
	"no_service":                        "no webhook at this URL: it was removed or disabled",
	"no_service_id":                     "no webhook at this URL",
	"no_team":                           "no workspace at this URL",
	"no_text":                           "the text is empty",
	"posting_to_general_channel_denied": "the webhook may not post to this channel",
	"team_disabled":                     "the workspace is disabled",
}
