package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

type versionCmd struct{}

func (versionCmd) Run(app *app) error {
	_, err := fmt.Fprintf(app.stdout, "tidings %s %s %s/%s\n", version(), runtime.Version(),
		runtime.GOOS, runtime.GOARCH)
	return err
}

// version is what the go command stamped into the binary: the tag or pseudo-version of the module,
// which names the commit and whether the tree was dirty.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}
