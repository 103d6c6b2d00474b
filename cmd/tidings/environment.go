package main

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

const variablePrefix = "TIDINGS_"

// environment supplies flags that are not on the command line from variables. An empty variable counts as unset,
// because compose and unit files pass those on; serve refuses it where that would open the server.
type environment map[string]string

// newEnvironment keeps other programs' variables, too: one may be ours, misspelt.
func newEnvironment(environ []string) environment {
	env := environment{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		env[name] = value
	}
	return env
}

// variableOf returns the name of a flag's variable: TIDINGS_DATA_DIR for --data-dir. --help has none.
func variableOf(flag *kong.Flag) (name string, ok bool) {
	if flag == nil || flag.Name == "help" {
		return "", false
	}
	return variablePrefix + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_")), true
}

// Validate is part of kong.Resolver.
func (environment) Validate(*kong.Application) error { return nil }

// Resolve is called for every flag of the chosen verb that is not on the command line. It decodes the value once
// here, only so that the error can name the variable.
func (e environment) Resolve(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	name, ok := variableOf(flag)
	if !ok || slices.ContainsFunc(ctx.Path, func(p *kong.Path) bool {
		return excludes(p.Flag, flag)
	}) {
		return nil, nil
	}
	value := e[name]
	if value == "" {
		return nil, nil
	}
	scan := kong.ScanFromTokens(kong.Token{Type: kong.FlagValueToken, Value: value})
	scratch := reflect.New(flag.Target.Type()).Elem()
	if scratch.Kind() == reflect.Pointer { // the mapper fills in what it points to
		scratch.Set(reflect.New(scratch.Type().Elem()))
	}
	if err := flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: scan},
		scratch); err != nil {
		return nil, fmt.Errorf("%w (from %s)", err, name)
	}
	return value, nil
}

// excludes reports whether a given flag rules out the other.
func excludes(given, flag *kong.Flag) bool {
	return given != nil && slices.ContainsFunc(given.Xor, func(group string) bool {
		return slices.Contains(flag.Xor, group)
	})
}

// warn reports the variables that do not do what they seem to, now or in the next release.
func (e environment) warn(app *app, ctx *kong.Context) {
	for _, name := range e.unknown(ctx.Model) {
		if isServe(ctx.Selected()) && isLikeKey(name, ctx.Model) {
			continue // refuseOpening says more
		}
		app.say("warning: %s is set, but no such setting exists", name)
	}
	for _, flag := range deprecated(ctx) {
		name, _ := variableOf(flag)
		app.say("warning: %s stops working in the next release; use --%s instead", name,
			flag.Name)
	}
}

// deprecated returns the flags that were set by a variable which the next release does not read: on all verbs
// except serve, flags alone then decide what happens, not what an environment happens to hold.
func deprecated(ctx *kong.Context) (flags []*kong.Flag) {
	if isServe(ctx.Selected()) {
		return nil
	}
	for _, p := range ctx.Path {
		if p.Resolved && !lasts(p.Flag) {
			flags = append(flags, p.Flag)
		}
	}
	return flags
}

func isServe(verb *kong.Node) bool { return verb != nil && verb.Name == "serve" }

// lasts reports whether a flag keeps its variable on verbs other than serve: those do that select a log, a
// server or an identity.
func lasts(flag *kong.Flag) bool {
	switch flag.Name {
	case "url", "token", "data-dir", "jwt-key", "jwt-key-file":
		return true
	}
	return false
}

// unknown returns the variables that belong to no flag of any verb, sorted; most likely misspelt.
func (e environment) unknown(model *kong.Application) []string {
	left := maps.Clone(e)
	maps.DeleteFunc(left, func(name, value string) bool {
		return !strings.HasPrefix(name, variablePrefix) || value == ""
	})
	_ = kong.Visit(model, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok {
			name, _ := variableOf(flag)
			delete(left, name)
		}
		return next(nil)
	})
	return slices.Sorted(maps.Keys(left))
}

// printHelp ends the help of a flag with its variable. serve's own help states the rule for its variables once.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	verb := ctx.Selected()
	options.ValueFormatter = func(value *kong.Value) string {
		name, ok := variableOf(value.Flag)
		if !ok || isServe(verb) || !lasts(value.Flag) {
			return value.Help
		}
		return strings.TrimSuffix(value.Help, ".") + " ($" + name + ")."
	}
	return kong.DefaultHelpPrinter(options, ctx)
}
