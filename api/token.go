package api

import (
	"context"
	"errors"
	"hash/maphash"
	"net/http"
	"strings"

	"tidings/internal/auth"
)

const (
	// tokenParameter is RFC 6750 §2.3's, off unless Options.AllowQueryToken: browsers keep addresses in their history
	// and servers in their logs. Clients must not put tokens there (RFC 9700 §4.3.2); some EventSources have no other
	// place.
	tokenParameter = "access_token"

	// securePrefix makes browsers restrict the cookie to this host and to TLS (RFC 6265bis §4.1.3.2).
	securePrefix = "__Host-"
)

// ownerHash tells token owners apart while this process lives. Zero stands for no token.
type ownerHash uint64

// ownerHashOf returns the hash of an owner, as auth.Grant.Owner names them; without a Verifier there is only one.
func (s *Server) ownerHashOf(owner string) ownerHash {
	if s.o.Verifier == nil {
		return s.everybody.owner
	}
	return ownerHash(maphash.String(s.seed, owner))
}

// authenticate returns who sent r. Without a Verifier everyone may do everything.
func (s *Server) authenticate(r *http.Request, a access) (*caller, *problem) {
	if s.o.Verifier == nil {
		return s.everybody, nil
	}
	token, p := s.tokenOf(r, a)
	if p != nil {
		return nil, p
	}
	return s.verify(r.Context(), token)
}

// verify returns whose token it is.
func (s *Server) verify(ctx context.Context, token string) (*caller, *problem) {
	grant, err := s.o.Verifier.Verify(ctx, token)
	if err != nil {
		p := &problem{code: "token-invalid", detail: err.Error()}
		switch {
		case errors.Is(err, auth.ErrClaims):
			p.code = "token-claims"
		case errors.Is(err, auth.ErrKeys):
			p.code = "keys-unavailable"
		}
		return nil, p
	}
	return &caller{grant, s.ownerHashOf(grant.Owner())}, nil
}

// tokenOf returns the token of r. What was put there on purpose takes precedence over the cookie, which browsers send
// by themselves.
func (s *Server) tokenOf(r *http.Request, a access) (string, *problem) {
	headers := bearersOf(r)
	var queries []string
	if a == streaming && r.URL.RawQuery != "" {
		queries = r.URL.Query()[tokenParameter]
	}
	if len(queries) > 0 {
		s.warnOfQuery(r)
	}
	token := ""
	switch {
	case len(queries) > 0 && !s.o.AllowQueryToken: // even beside another one: it should not be there
		return "", &problem{code: "query-token-off", field: tokenParameter,
			detail: "a token in the query ends up in logs, so it is off: send it in the " +
				"Authorization header, as the tidings.js of this release does, or start the server " +
				"with --allow-query-token"}
	case len(headers)+len(queries) > 1:
		return "", &problem{code: "token-ambiguous", field: "Authorization",
			detail: "send one token, in the header or in the query"}
	case len(headers) == 1:
		token = headers[0]
	case len(queries) == 1:
		token = queries[0]
	default:
		if c, err := r.Cookie(s.cookieName(r)); err == nil {
			token = c.Value
		}
	}
	if token != "" {
		return token, nil
	}
	p := &problem{code: "token-missing", field: "Authorization",
		detail: `send a token, as in "Authorization: Bearer eyJ..."`}
	if len(headers) == 0 && len(r.Header["Authorization"]) > 0 {
		p.detail = "the Authorization scheme must be Bearer; " + p.detail
	}
	return "", p
}

// warnOfQuery logs that a token came in a query, once.
func (s *Server) warnOfQuery(r *http.Request) {
	s.queryToken.Do(func() {
		s.o.Logger.Warn("a stream's token arrived in the query, where logs may record it; clients can "+
			"send it in a header", "accepted", s.o.AllowQueryToken, "remote", s.clientAddr(r),
			"user_agent", r.UserAgent())
	})
}

// bearersOf returns the tokens in the Authorization headers of r. Another scheme is for somebody else, such as a
// proxy that asks for a password.
func bearersOf(r *http.Request) (tokens []string) {
	for _, value := range r.Header["Authorization"] {
		scheme, credentials, _ := strings.Cut(value, " ")
		if strings.EqualFold(scheme, "Bearer") {
			tokens = append(tokens, strings.TrimSpace(credentials))
		}
	}
	return tokens
}

func (s *Server) cookieName(r *http.Request) string {
	if s.secure(r) {
		return securePrefix + s.o.CookieName
	}
	return s.o.CookieName
}
