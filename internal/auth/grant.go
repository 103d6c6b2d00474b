// Package auth turns a bearer token into what its holder may do.
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

// Grant is what the holder of a token may do. The zero Grant may do nothing.
type Grant struct {
	Subject   string       // the token's "sub"; "" without one
	Issuer    string       // its "iss", unless the server wants a certain one; "" without one
	Signed    Digest       // of all that its signature covers; zero only in a Grant of no token
	Publish   store.Filter // topics it may publish to and end
	Subscribe store.Filter // topics it may read
	Answer    store.Filter // topics whose alerts it may claim and answer
	Admin     bool         // the admin requests, of which backup copies everything; no other reading
	Expires   time.Time    // zero: never, which only Everything has
}

// Reads reports whether the holder may read whatever asked matches: of a reserved topic, whether it may
// read the topic that this is about.
func (g Grant) Reads(asked store.Filter) bool {
	return !asked.IsZero() && g.Subscribe.Covers(asked.About())
}

// ReadsTopic is Reads for one topic.
func (g Grant) ReadsTopic(topic string) bool { return g.Subscribe.Match(store.About(topic)) }

// Digest is the first half of a SHA-256.
type Digest [16]byte

// Owner names whose idempotency keys, read marks and shares of the limits those of the holder are.
// Tokens that say the same subject, byte for byte, are of one owner (RFC 7519 §4.1.2: a subject is
// unique within its issuer), so a token may be renewed. Without a subject nothing says that two
// tokens are one person's: each is an owner of its own until it expires. "" is only everybody, of a
// server without a key.
//
// A subject has no control characters, so no two owners are named alike.
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

// Everything is the grant of everybody while a server has no key.
func Everything() Grant {
	return Grant{Publish: store.All(), Subscribe: store.All(), Answer: store.All(), Admin: true}
}
