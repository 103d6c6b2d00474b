package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"io"

	"tidings/internal/auth"
)

// who names the holder of a grant as a reader: two responses with the same value are for the same person, who may
// read the same. Pages of one browser share what they read by it. The part before the dot is the person only, under
// which a page stores its position: it stays when the grant changes. Both parts are keyed digests (RFC 2104), cut to
// 128 bits, so they reveal nobody, and they are the same in every copy of the log. A renewed token, and one that may
// publish something else, keep them. A token without a subject has nothing before the dot: all such tokens that may
// read the same are one reader, and so is everybody on a server without keys.
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
