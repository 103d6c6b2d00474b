package main

import (
	_ "embed"
	"io"
)

// licenses are the licence texts that must ship with the binary: of its modules and of Go. A test compares the file
// with the modules, and rewrites it with -update.
//
//go:embed licenses.txt
var licenses string

type licensesCmd struct{}

// Run prints the texts verbatim.
func (licensesCmd) Run(app *app) error {
	_, err := io.WriteString(app.stdout, licenses)
	return err
}
