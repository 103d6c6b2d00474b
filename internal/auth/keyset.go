package auth

import (
	"context"
	"time"
)

// keySource is where the keys come from. Both methods return a set in any case, if need be an old
// one.
type keySource interface {
	// current returns the keys in force.
	current(ctx context.Context) *keySet

	// renewed is for a token that no key of the current set has signed: it asks whether there are
	// new ones.
	renewed(ctx context.Context) *keySet
}

// fixed is the keys of the configuration.
type fixed struct{ set *keySet }

func (f fixed) current(context.Context) *keySet { return f.set }
func (f fixed) renewed(context.Context) *keySet { return f.set }

// keyID names a key. The algorithm is part of it: asked for another one, there is no such key.
type keyID struct{ kid, alg string }

// keySet is immutable but for the tokens it has verified, which are forgotten with it.
type keySet struct {
	keys     map[keyID]key
	fetched  time.Time // zero for the keys of the configuration
	missing  error     // why there are no keys
	verified *cache
}

func newKeySet(keys map[keyID]key, fetched time.Time) *keySet {
	return &keySet{keys: keys, fetched: fetched, verified: newCache()}
}

// find returns the key of that ID. A token that names no key means the only one of its algorithm.
// The kid says nothing about the key of the configuration, which has none.
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
