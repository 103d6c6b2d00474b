// Package auth turns a bearer token into the rights of its holder.
//
//	v, err := auth.NewVerifier(ctx, auth.Options{Key: key})
//	grant, err := v.Verify(ctx, token)
//	if grant.Reads(asked) { ... }
package auth

import (
	"crypto/sha256"
	"fmt"
	"time"

	"tidings/store"
)

// Grant is what the holder of a token may do. The zero Grant allows nothing.
type Grant struct {
	Subject   string       // the token's "sub"; "" without one
	Issuer    string       // its "iss", unless the server requires a certain one; "" without one
	Signed    Digest       // of everything that its signature covers; zero only in a Grant without a token
	Publish   store.Filter // topics they may publish to and end
	Subscribe store.Filter // topics they may read
	Answer    store.Filter // topics whose alerts they may claim and answer
	Admin     bool         // the admin requests, of which backup copies everything; no other reading
	Expires   time.Time    // zero: never, only in Everything
}

// Reads reports whether the holder may read whatever asked matches; for a reserved topic, whether they may read the
// topic that it is about.
func (g Grant) Reads(asked store.Filter) bool {
	return !asked.IsZero() && g.Subscribe.Covers(asked.About())
}

// ReadsTopic is Reads for one topic.
func (g Grant) ReadsTopic(topic string) bool { return g.Subscribe.Match(store.About(topic)) }

// Digest is the first half of a SHA-256.
type Digest [16]byte

// Owner names the owner of the holder's idempotency keys, read marks and shares of the limits. Tokens with the same
// subject, byte for byte, have one owner (RFC 7519 §4.1.2: a subject is unique within its issuer), so a token may be
// renewed. Without a subject nothing shows that two tokens belong to one person: each is its own owner until it
// expires. "" is only everybody, on a server without a key.
//
// A subject has no control characters, so no two owners have the same name.
func (g Grant) Owner() string {
	switch {
	case g.Subject == "" && g.Signed == Digest{}:
		return ""
	case g.Subject == "":
		return fmt.Sprintf("%x\n", g.Signed)
	case g.Issuer == "":
		return g.Subject
	}
	return fmt.Sprintf("%x\n%s", digest(g.Issuer), g.Subject)
}

func digest(s string) Digest {
	sum := sha256.Sum256([]byte(s))
	return Digest(sum[:16])
}

// Everything is everybody's grant while a server has no key.
func Everything() Grant {
	return Grant{Publish: store.All(), Subscribe: store.All(), Answer: store.All(), Admin: true}
}
