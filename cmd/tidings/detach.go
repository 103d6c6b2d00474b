package main

import "tidings/store/bolt"

type detachCmd struct {
	DataDir string `default:"./tidings-data" help:"The mirror's data directory; the server must be stopped." type:"path"`
}

func (c *detachCmd) Run(app *app) error {
	id, err := bolt.Detach(c.DataDir)
	if err != nil {
		return err
	}
	return app.print("%s: a standalone log now, with the identity %s", c.DataDir, id)
}
