package api

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"tidings/internal/wire"
)

// maxCookieBytes is what browsers store of a cookie's name and value together (RFC 6265bis §5.7).
const maxCookieBytes = 4096

// maxSessionBytes has room for the longest token that is checked, as a member.
const maxSessionBytes = 16 << 10

// session is what a page in a browser may know about whom it acts for.
type session struct {
	Keys  bool       `json:"keys"`  // false: everyone may do everything
	Grant *grantBody `json:"grant"` // null: with keys, there is no valid token
}

type grantBody struct {
	Subject   string     `json:"subject"`
	Publish   []string   `json:"publish"`
	Subscribe []string   `json:"subscribe"`
	Answer    []string   `json:"answer"`
	Admin     bool       `json:"admin"`
	Expires   *time.Time `json:"expires"`
}

// getSession serves GET /v1/session. No token is 200 too: a page asks before it can have one.
func (s *Server) getSession(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	if p := s.limitAddress(r, anyToken); p != nil { // a token can be guessed here too
		return p
	}
	found := session{Keys: s.o.Verifier != nil}
	c, p := s.authenticate(r, anyToken)
	if p != nil && p.code == "keys-unavailable" { // nobody knows whether the token is good
		return p
	}
	if p == nil {
		g := c.grant
		found.Grant = &grantBody{Subject: g.Subject,
			Publish:   append([]string{}, g.Publish.Patterns()...),
			Subscribe: append([]string{}, g.Subscribe.Patterns()...),
			Answer:    append([]string{}, g.Answer.Patterns()...), Admin: g.Admin}
		if !g.Expires.IsZero() {
			found.Grant.Expires = &g.Expires
		}
	}
	writeJSON(w, http.StatusOK, "application/json", found)
	return nil
}

// putSession serves PUT /v1/session: from now on the browser sends the token by itself, as a cookie that no script
// can read. Without keys there is nothing to send.
func (s *Server) putSession(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	if p := s.limitAddress(r, anyToken); p != nil { // as in getSession
		return p
	}
	if s.o.Verifier != nil {
		token, p := s.tokenToKeep(w, r)
		if p != nil {
			return p
		}
		c, p := s.verify(r.Context(), token)
		if p == nil {
			p = s.limitOwner(c, anyToken)
		}
		if p == nil {
			p = s.setCookie(w, r, token, c.grant.Expires)
		}
		if p != nil {
			return p
		}
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// tokenToKeep returns the token to put into the cookie: the header's, otherwise the body's. The body is for pages
// behind a proxy that asks for a password: a browser sends that in the same header, and the proxy would miss it. The
// cookie does not renew itself.
func (s *Server) tokenToKeep(w http.ResponseWriter, r *http.Request) (string, *problem) {
	if s.byHeader(r) {
		return s.tokenOf(r, anyToken)
	}
	body, p := s.readBody(w, r, maxSessionBytes)
	if p != nil {
		return "", p
	}
	if len(body) == 0 {
		return "", &problem{code: "token-missing", field: "Authorization", detail: "the token to put " +
			`into the cookie belongs in the Authorization header or in the body: {"token":"eyJ..."}`}
	}
	m, err := wire.ParseObject(body)
	if err != nil {
		return "", wireProblem(err)
	}
	token, err := m.Text("token")
	if err != nil || token == "" || len(m) > 1 { // member names may be the token
		return "", &problem{code: "member-invalid", field: "token",
			detail: `expected {"token":"eyJ..."} and no other member`}
	}
	return token, nil
}

func (s *Server) setCookie(w http.ResponseWriter, r *http.Request, token string,
	expires time.Time) *problem {
	c := s.cookie(r)
	c.Value, c.Expires = token, expires
	if n := len(c.Name) + len(c.Value); n > maxCookieBytes {
		return &problem{code: "token-too-long", detail: fmt.Sprintf(
			"browsers keep %d bytes of a cookie, this one would have %d", maxCookieBytes, n)}
	}
	http.SetCookie(w, c)
	return nil
}

// deleteSession serves DELETE /v1/session.
func (s *Server) deleteSession(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	c := s.cookie(r)
	c.MaxAge = -1 // delete it
	http.SetCookie(w, c)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) cookie(r *http.Request) *http.Cookie {
	return &http.Cookie{Name: s.cookieName(r), Path: "/", Secure: s.secure(r), HttpOnly: true,
		SameSite: http.SameSiteStrictMode}
}
