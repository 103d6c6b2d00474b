package api

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"

	"tidings/store"
)

// maxKeyBytes bounds an Idempotency-Key.
const maxKeyBytes = 255

// applyKey puts the request's Idempotency-Key on the publication. It covers all of it, and replaces the keys that the
// events bring.
func applyKey(r *http.Request, pub *publication) *problem {
	name, given, p := idempotencyKey(r)
	if p != nil || !given {
		return p
	}
	whole := store.Group{Key: scopedKey("key", grantOf(r).Owner(), name)}
	for _, g := range pub.groups {
		whole.Drafts = append(whole.Drafts, g.Drafts...)
	}
	pub.groups = []store.Group{whole}
	return nil
}

// idempotencyKey reads the header (draft-ietf-httpapi-idempotency-key-header), quoted as a structured string (RFC
// 8941 §3.3.3) or bare: "k" and k are the same key.
func idempotencyKey(r *http.Request) (name string, given bool, p *problem) {
	values := r.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return "", false, nil
	}
	bad := &problem{code: "key-invalid", field: "Idempotency-Key", detail: fmt.Sprintf(
		"one key of 1 to %d visible ASCII characters, quoted or bare", maxKeyBytes)}
	name = values[0]
	if inner, ok := strings.CutPrefix(name, `"`); ok {
		if name, ok = strings.CutSuffix(inner, `"`); !ok {
			return "", true, bad
		}
		name = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(name)
	}
	invisible := func(c rune) bool { return c < '!' || c > '~' }
	if len(values) > 1 || name == "" || len(name) > maxKeyBytes ||
		strings.IndexFunc(name, invisible) >= 0 {
		return "", true, bad
	}
	return name, true, nil
}

// scopedKey joins the parts of a key, each with its length: no two lists of parts make the same key.
func scopedKey(parts ...string) string {
	key := make([]byte, 0, 256)
	for _, p := range parts {
		key = binary.AppendUvarint(key, uint64(len(p)))
		key = append(key, p...)
	}
	return string(key)
}
