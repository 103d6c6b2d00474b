package main

import (
	"context"

	"github.com/dustin/go-humanize"

	"tidings/store/bolt"
)

type compactCmd struct {
	DataDir string `default:"./tidings-data" help:"Data directory; the server must be stopped." type:"path"`
}

func (c *compactCmd) Run(ctx context.Context, app *app) error {
	bar := newRecordBar(app.stderr, "compacting")
	before, after, err := bolt.Compact(ctx, c.DataDir, bar.set)
	bar.done()
	if err != nil {
		return err
	}
	return app.print("%s: from %s to %s", c.DataDir, humanize.IBytes(uint64(before)),
		humanize.IBytes(uint64(after)))
}
