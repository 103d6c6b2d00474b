package auth

import (
	"crypto/sha256"
	"sync"
	"time"
)

// maxCacheBytes bounds the cached tokens by their total length, and with it their grants: about 7,000 ordinary tokens.
// A grant takes up to 15 times the bytes of its token.
const maxCacheBytes = 2 << 20

// cache holds the tokens that one set of keys has verified, for as long as their times allow. It keeps hashes: no token
// can be read from memory, or guessed from the duration of a comparison.
type cache struct {
	mu      sync.RWMutex
	entries map[[sha256.Size]byte]verified
	bytes   int
}

// verified is the result of Verify, valid at any time in [from, until).
type verified struct {
	grant       Grant
	from, until time.Time
	bytes       int // of the token
}

func newCache() *cache {
	return &cache{entries: map[[sha256.Size]byte]verified{}}
}

func (c *cache) get(token string, now time.Time) (Grant, bool) {
	key := sha256.Sum256([]byte(token))
	c.mu.RLock()
	v, ok := c.entries[key]
	c.mu.RUnlock()
	if !ok || now.Before(v.from) || !now.Before(v.until) {
		return Grant{}, false // Verify finds the reason
	}
	return v.grant, true
}

func (c *cache) put(token string, claims *claims) {
	v := verified{grant: claims.grant, until: claims.ExpiresAt.Add(Leeway), bytes: len(token)}
	if claims.NotBefore != nil {
		v.from = claims.NotBefore.Add(-Leeway)
	}
	if claims.IssuedAt != nil && claims.IssuedAt.Add(-Leeway).After(v.from) {
		v.from = claims.IssuedAt.Add(-Leeway)
	}
	key := sha256.Sum256([]byte(token))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes += v.bytes - c.entries[key].bytes
	c.entries[key] = v
	for other, old := range c.entries { // in no fixed order: a cheap choice that cannot be steered
		if c.bytes <= maxCacheBytes {
			break
		}
		if other != key {
			delete(c.entries, other)
			c.bytes -= old.bytes
		}
	}
}
