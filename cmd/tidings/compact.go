package main

import (
	"fmt"

	"github.com/dustin/go-humanize"

	"tidings/store/bolt"
)

type compactCmd struct {
	DataDir string `default:"./tidings-data" help:"Directory of the log, which no server may have open." type:"path"`
}

func (c *compactCmd) Run(app *app) error {
	bar := newRecordBar(app.stderr, "compacting")
	before, after, err := bolt.Compact(c.DataDir, bar.set)
	bar.done()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(app.stdout, "%s: from %s to %s\n", c.DataDir,
		humanize.IBytes(uint64(before)), humanize.IBytes(uint64(after)))
	return err
}
