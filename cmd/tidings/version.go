package main

import (
	"runtime"
	"runtime/debug"
)

type versionCmd struct{}

func (versionCmd) Run(app *app) error {
	return app.print("tidings %s %s %s/%s", version(), runtime.Version(), runtime.GOOS,
		runtime.GOARCH)
}

// version is what the go command stamped into the binary: the module's tag or pseudo-version, which identifies the
// commit and whether the tree was dirty.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}
