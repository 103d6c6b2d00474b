package deliver

import (
	"encoding/json"
	"net/url"
	"regexp"
	"time"
)

// telegram is a bot of Telegram (https://core.telegram.org/bots/api#sendmessage, #making-requests, #responseparameters;
// https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this): a text of at most 4,096 characters,
// not markup without parse_mode; 20 messages a minute to a group. Its token is in the path.
var telegram = &chat{
	t: traits{takes: append([]string{"secret", "to"}, texts...), bearer: true, url: "https://api.telegram.org",
		check: checkTelegramChat, secret: "the bot's token", key: checkTelegramToken, pace: 3 * time.Second},
	request: func(to *target, n *note, _ time.Time) (string, any) {
		type preview struct {
			Disabled bool `json:"is_disabled"`
		}
		address := to.URL
		if u, err := url.Parse(to.URL); err == nil {
			address = u.JoinPath("bot"+to.Secret, "sendMessage").String()
		}
		return address, struct {
			Chat    string  `json:"chat_id"`
			Text    string  `json:"text"`
			Preview preview `json:"link_preview_options"` // nobody should fetch the console's
		}{to.recipient.To, n.cut(4000), preview{true}}
	},
	judge: judgeTelegram,
}

func judgeTelegram(a *answer, body []byte) {
	var said struct {
		OK          *bool
		Code        int    `json:"error_code"`
		Description string `json:"description"`
		Parameters  struct {
			RetryAfter int `json:"retry_after"`
		}
	}
	switch err := json.Unmarshal(body, &said); {
	case err != nil || said.OK == nil:
		if a.ok() {
			a.failure, a.config = "the response is not from Telegram: check the URL", true
		}
	case *said.OK:
	case said.Code == 429:
		again := min(max(time.Duration(min(said.Parameters.RetryAfter, 1<<20))*time.Second, time.Second), maxRetryAfter)
		a.is("Telegram", "429", verdict{"too many messages", again})
	case said.Code == 400:
		a.is("Telegram", "400", verdict{what: telegramErrors[said.Description]})
	case said.Code == 401 || said.Code == 404:
		a.is("Telegram", "401", verdict{what: "check the bot's token"})
	case said.Code == 403:
		a.is("Telegram", "403", verdict{what: "the bot was blocked, is not in the chat, or may not write there"})
	default:
		a.is("Telegram", "an error", verdict{})
	}
}

var telegramErrors = map[string]string{
	"Bad Request: chat not found":                               "no such chat, or the bot is not in it",
	"Bad Request: message is too long":                          "the text is too long",
	"Bad Request: message text is empty":                        "the text is empty",
	"Bad Request: group chat was upgraded to a supergroup chat": "the group is a supergroup now, with another ID",
}

var (
	telegramChat  = regexp.MustCompile(`^(-?[1-9][0-9]{0,18}|@[A-Za-z][A-Za-z0-9_]{3,31})$`)
	telegramToken = regexp.MustCompile(`^[0-9]{1,20}:[A-Za-z0-9_-]{1,200}$`)
)

func checkTelegramChat(p *Recipient) error {
	if !telegramChat.MatchString(p.To) {
		return &InvalidError{"to", "expected the ID of a chat, such as -1001234567890, or a channel, such as @orders"}
	}
	return nil
}

func checkTelegramToken(text string) error {
	if !telegramToken.MatchString(text) {
		return &InvalidError{"secret", "expected a bot's token: digits, a colon, and letters and digits"}
	}
	return nil
}
