package api

import (
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// maxCookieBytes is what browsers keep of a cookie's name and value together (RFC 6265bis §5.7).
const maxCookieBytes = 4096

// session is what a browser's page may know of who it acts for.
type session struct {
	Keys  bool       `json:"keys"`  // false: everybody may do everything
	Grant *grantBody `json:"grant"` // null: with keys, there is no valid token
}

type grantBody struct {
	Subject   string     `json:"subject"`
	Publish   []string   `json:"publish"`
	Subscribe []string   `json:"subscribe"`
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
	if p != nil && p.code == "keys-unavailable" { // whether the token is good, nobody knows
		return p
	}
	if p == nil {
		g := c.grant
		found.Grant = &grantBody{Subject: g.Subject,
			Publish:   append([]string{}, g.Publish.Patterns()...),
			Subscribe: append([]string{}, g.Subscribe.Patterns()...), Admin: g.Admin}
		if !g.Expires.IsZero() {
			found.Grant.Expires = &g.Expires
		}
	}
	writeJSON(w, http.StatusOK, "application/json", found)
	return nil
}

// putSession serves PUT /v1/session: from now on the browser sends the token by itself, as a cookie
// that no script can read. Without keys there is nothing to send.
func (s *Server) putSession(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	if s.o.Verifier != nil {
		if p := s.setCookie(w, r); p != nil {
			return p
		}
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) setCookie(w http.ResponseWriter, r *http.Request) *problem {
	if !s.byHeader(r) {
		return &problem{code: "token-missing", field: "Authorization",
			detail: "the token to put into the cookie comes in the Authorization header"}
	}
	token, p := s.tokenOf(r, anyToken)
	if p != nil {
		return p
	}
	c := s.cookie(r)
	c.Value, c.Expires = token, grantOf(r).Expires
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
