package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// keyOptions are the flags of which one must be given, or serve is open to everyone.
var keyOptions = []string{"jwt-key", "jwt-key-file", "jwks-url"}

// refuseOpening refuses variables that would leave serve more open than was meant: one that is set but empty,
// because whatever should have filled it failed, and one that looks like a key's but is not read.
func (e environment) refuseOpening(ctx *kong.Context) error {
	if !isServe(ctx.Selected()) {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(e)) {
		if isLikeKey(name, ctx.Model) {
			return usageError{fmt.Errorf("%s is set, but no such setting exists: expected "+
				"TIDINGS_JWT_KEY, TIDINGS_JWT_KEY_FILE, TIDINGS_JWKS_URL, TIDINGS_JWT_ISSUER or "+
				"TIDINGS_JWT_AUDIENCE", name)}
		}
	}
	isKey := func(f *kong.Flag) bool { return slices.Contains(keyOptions, f.Name) }
	keyed := slices.ContainsFunc(ctx.Flags(), func(f *kong.Flag) bool { return isKey(f) && f.Set })
	for _, f := range ctx.Flags() {
		name, ok := variableOf(f)
		value, set := e[name]
		// An empty variable stands for the default, where there is one.
		if ok && set && value == "" && !f.Set && !f.HasDefault && !f.IsBool() &&
			!(keyed && isKey(f)) {
			return usageError{fmt.Errorf("%s is set and empty: expected a value for --%s; unset the "+
				"variable if there is none", name, f.Name)}
		}
	}
	return nil
}

var (
	likeKey = regexp.MustCompile("JWT|JWK|KEY|SECRET|HMAC|AUTH")

	// Kubernetes derives these from a service's name.
	ofService = regexp.MustCompile("_(SERVICE_HOST|SERVICE_PORT|PORT)(_|$)")
)

// isLikeKey reports whether a variable that no verb reads is apparently meant for the key.
func isLikeKey(name string, model *kong.Application) bool {
	fold := func(s string) string {
		return strings.ToUpper(strings.NewReplacer("_", "", "-", "", ".", "").Replace(s))
	}
	folded := fold(name)
	ours := strings.HasPrefix(folded, fold(variablePrefix)) && likeKey.MatchString(folded) &&
		!ofService.MatchString(name)
	near := slices.ContainsFunc(keyOptions, func(option string) bool {
		return distance(folded, fold(variablePrefix+option)) <= 2
	})
	return (ours || near) && !isKnown(name, model)
}

func isKnown(name string, model *kong.Application) (known bool) {
	_ = kong.Visit(model, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok {
			variable, _ := variableOf(flag)
			known = known || name == variable
		}
		return next(nil)
	})
	return known
}

// distance is the number of bytes to change, add or remove to turn a into b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
