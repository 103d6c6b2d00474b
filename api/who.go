package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"io"

	"tidings/internal/auth"
)

// who names the holder of a grant as a reader: two answers that bear the same are for the same person,
// who may read the same. Pages of one browser share what they read by it. What stands before its dot is
// the person alone, by whom a page stores where it has come to: it stays when the grant changes. Both
// are keyed digests (RFC 2104), cut to 128 bits, so they tell nobody whose they are, and they are the
// same in every copy of the log. A renewed token, and one that may publish something else, keep them.
// A token without a subject has nothing before the dot: those that may read the same are one reader, and
// so is everybody of a server without keys.
func (s *Server) who(g auth.Grant) string {
	person, owner := "", ""
	if g.Subject != "" { // else Owner tells tokens apart
		owner = g.Owner()
		person = s.digest(owner)
	}
	return person + "." + s.digest(owner+"\x00"+g.Subscribe.String()) // neither has a NUL
}

// digest is a short digest that only this log's secret makes.
func (s *Server) digest(text string) string {
	secret := s.log.Secret()
	mac := hmac.New(sha256.New, secret[:])
	io.WriteString(mac, text)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}
