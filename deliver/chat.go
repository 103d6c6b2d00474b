package deliver

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// chat is a service that takes texts for people, as JSON.
type chat struct {
	t traits
	// request returns the URL and the body to post.
	request func(to *target, n *note, now time.Time) (url string, body any)
	header  func(to *target, h http.Header) // sets more headers; nil: none
	// judge sees an answer with its first bytes. Nobody else gets them: showing them would let people read what only
	// this server can reach.
	judge func(a *answer, body []byte)
}

func (c *chat) traits() *traits { return &c.t }

func (c *chat) send(ctx context.Context, s *Sender, name string, to *target, m *message) answer {
	n := newNote(&to.recipient, s.o.Console, name, m)
	address, content := c.request(to, n, time.Now())
	body, err := json.Marshal(content)
	if err != nil {
		return answer{failure: "cannot build the message", config: true}
	}
	a, text := s.post(ctx, address, body, func(h http.Header) error {
		h.Set("Content-Type", "application/json; charset=utf-8")
		if c.header != nil {
			c.header(to, h)
		}
		return nil
	})
	if a.status != 0 {
		c.judge(&a, bytes.TrimSpace(text))
	}
	return a
}

// hmacOf returns the base64 of an HMAC-SHA256.
func hmacOf(key, text string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

const maxKey = 512 // bytes

// checkVisible accepts a secret of visible ASCII characters.
func checkVisible(text string) error {
	if len(text) > maxKey || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return &InvalidError{"secret", fmt.Sprintf("expected at most %d visible ASCII characters", maxKey)}
	}
	return nil
}

// verdict is the meaning of a code in an answer's body.
type verdict struct {
	what  string
	again time.Duration // when to try again; 0: retrying alone does not help
}

// judgeCode judges by the number in a member of the answer; 0 is success.
func judgeCode(service, member string, known map[int]verdict) func(*answer, []byte) {
	return func(a *answer, body []byte) {
		var object map[string]json.RawMessage
		var code *int
		if json.Unmarshal(body, &object) == nil {
			_ = json.Unmarshal(object[member], &code)
		}
		switch {
		case code != nil && *code == 0 && a.ok():
		case code != nil && *code != 0:
			a.is(service, strconv.Itoa(*code), known[*code])
		case a.ok():
			a.failure, a.config = "the response is not from "+service+": check the URL", true
		}
	}
}

// is records an answer's code as the failure. An unknown code is retried like any failure.
func (a *answer) is(service, code string, v verdict) {
	a.failure = service + " answered " + code
	if v.what != "" {
		a.failure += ": " + v.what
		a.config = v.again == 0
		a.retryAfter = max(a.retryAfter, v.again)
	}
}
