package main

import (
	_ "embed"
	"io"
)

// licenses are the texts that have to come with the binary: of its modules and of Go. A test holds
// the file against the modules, and writes it anew when run with -update.
//
//go:embed licenses.txt
var licenses string

type licensesCmd struct{}

// Run prints the texts as they are.
func (licensesCmd) Run(app *app) error {
	_, err := io.WriteString(app.stdout, licenses)
	return err
}
