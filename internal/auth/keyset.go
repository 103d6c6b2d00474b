package auth

import (
	"context"
	"time"
)

// keySource provides the keys. Both methods always return a set, if need be an old one.
type keySource interface {
	// current returns the keys in force.
	current(ctx context.Context) *keySet

	// renewed is for a token that no key of the current set has signed: it checks for new ones.
	renewed(ctx context.Context) *keySet
}

// fixed holds the keys of the configuration.
type fixed struct{ set *keySet }

func (f fixed) current(context.Context) *keySet { return f.set }
func (f fixed) renewed(context.Context) *keySet { return f.set }

// keyID names a key. The algorithm is part of it, so a key is not found under another one.
type keyID struct{ kid, alg string }

// keySet is immutable except for its cache of verified tokens, which is dropped with it.
type keySet struct {
	keys     map[keyID]key
	fetched  time.Time // zero for the keys of the configuration
	missing  error     // why there are no keys
	verified *cache
}

func newKeySet(keys map[keyID]key, fetched time.Time) *keySet {
	return &keySet{keys: keys, fetched: fetched, verified: newCache()}
}

// find returns the key with this ID. A token that names no key means the only one of its algorithm. The kid does not
// apply to the key of the configuration, which has none.
func (s *keySet) find(id keyID) (key, bool) {
	if k, ok := s.keys[id]; ok {
		return k, true
	}
	if id.kid != "" && !s.fetched.IsZero() {
		return key{}, false
	}
	var found []key
	for other, k := range s.keys {
		if other.alg == id.alg {
			found = append(found, k)
		}
	}
	if len(found) != 1 {
		return key{}, false
	}
	return found[0], true
}
