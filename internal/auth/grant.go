// Package auth turns a bearer token into what its holder may do.
//
//	v, err := auth.NewVerifier(ctx, auth.Options{Key: key})
//	grant, err := v.Verify(ctx, token)
//	if grant.Subscribe.Covers(asked) { ... }
package auth

import (
	"time"

	"tidings/store"
)

// Grant is what the holder of a token may do. The zero Grant may do nothing.
type Grant struct {
	Subject   string       // the token's "sub"; "" without one
	Publish   store.Filter // topics it may publish to and end
	Subscribe store.Filter // topics it may read
	Admin     bool         // the admin requests; neither publishing nor reading
	Expires   time.Time    // zero: never, which only Everything has
}

// Everything is the grant of everybody while a server has no key.
func Everything() Grant {
	return Grant{Publish: store.All(), Subscribe: store.All(), Admin: true}
}
