package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"io"

	"tidings/internal/auth"
)

// who names the holder of a grant as a reader: two answers that bear the same are for the same person,
// who may read the same. Pages of one browser share what they read by it. It is a keyed digest (RFC
// 2104), cut to 128 bits, so it tells nobody whose it is, and it is the same in every copy of the log.
// A renewed token, and one that may publish something else, keep it. Tokens without a subject that
// may read the same are one reader, and so is everybody of a server without keys.
func (s *Server) who(g auth.Grant) string {
	secret := s.log.Secret()
	mac := hmac.New(sha256.New, secret[:])
	if g.Subject != "" { // else Owner tells tokens apart
		io.WriteString(mac, g.Owner())
	}
	io.WriteString(mac, "\x00"+g.Subscribe.String()) // neither has a NUL
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}
