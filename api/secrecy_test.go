package api_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"tidings/api"
	"tidings/internal/e2e"
)

// TestTokensStaySecret: no part of a token is in a log line or in a response, whatever becomes of the request. (T8 of
// the threat model.)
func TestTokensStaySecret(t *testing.T) {
	var log e2e.Output
	o := keyed(t, api.Options{RatePublish: 1000, MaxStreamsPerToken: 1, AllowQueryToken: true,
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	var answers strings.Builder
	tokens := map[string]string{
		"good": everything(t), "forged": holder{subscribe: ">", key: otherKey}.token(t),
		"expired":     holder{subscribe: ">", expires: -time.Hour}.token(t),
		"empty grant": holder{}.token(t), "bad claims": signed(t,
			`{"exp":4102444800,"tidings":null}`), "no JWT": "c2VjcmV0.bm90LWEtdG9rZW4",
	}
	t.Run("drive", func(t *testing.T) {
		s := newServer(t, newLog(t), 0, o)
		for _, token := range tokens {
			for _, path := range []string{
				"/v1/stream?access_token=", "/v1/stream?x=1&access_token=",
				"/v1/stream?topic=a..b&access_token=", "/v1/stream?topic=%zz&access_token=",
				"/v1/stream?access_token=%zz", "/v1/stream?access_token=a&access_token=",
				"/v1/stream?topic=a;b&access_token=",
				"/v1/topics/a/stream?access_token=", "/v1/log?access_token=",
				"/nothing?access_token=", "/v1//log?access_token=", "/healthz?access_token=",
			} {
				a := s.head("GET", path+token, "")
				if a.status != 200 {
					a = s.do("GET", path+token, "")
				}
				answers.WriteString(a.body)
				answers.WriteString(s.do("PATCH", path+token, "").body)
			}
			answers.WriteString(s.do("POST", "/v1/topics/a/events?access_token="+token, "1").body)
			answers.WriteString(s.do("POST", "/v1/topics/a/events", "{", bearer(token)).body)
			answers.WriteString(s.do("GET", "/v1/log", "", bearer(token), bearer(token)).body)
			answers.WriteString(s.do("GET", "/v1/log", "", "Authorization: Basic "+token).body)
			for _, body := range []string{`{"token":"%s"}`, `{"token":"%s"`, `{"%s":""}`, `%s`} {
				body = strings.ReplaceAll(body, "%s", token)
				answers.WriteString(s.do("PUT", "/v1/session", body).body)
			}
			answers.WriteString(s.do("GET", "/v1/log", "", "Cookie: tidings_token="+token,
				"Referer: http://localhost/?access_token="+token).body)
			answers.WriteString(s.exchange("GET /v1/stream?access_token=" + token +
				" HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"))
		}
		st := s.open(t.Context(), "/v1/stream?access_token="+tokens["good"], "")
		s.api.Drain()
		st.until("tidings.bye")
	})
	for _, must := range append(list(
		"token-invalid token-claims token-missing token-ambiguous topic-forbidden query-invalid json-invalid host-not-allowed method-not-allowed"),
		"stream ended") {
		if !strings.Contains(log.String(), must) {
			t.Errorf("nothing was logged about %q: the test does not reach it", must)
		}
	}
	for name, token := range tokens {
		for part := range strings.SplitSeq(token, ".") {
			if strings.Contains(log.String(), part) {
				t.Errorf("a part of the token %q is in the log", name)
			}
			if strings.Contains(answers.String(), part) {
				t.Errorf("a part of the token %q is in an answer", name)
			}
		}
	}
}
