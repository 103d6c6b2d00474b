package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"

	"tidings/store/bolt"
)

type verifyCmd struct {
	DataDir string `default:"./tidings-data" help:"Data directory; the server must be stopped." type:"path"`
	JSON    bool   `name:"json" help:"Print the report as JSON."`
}

func (c *verifyCmd) Run(ctx context.Context, app *app) error {
	bar := newRecordBar(app.stderr, "verifying")
	report, err := bolt.Verify(ctx, c.DataDir, bar.set)
	bar.done()
	if err != nil {
		return err
	}
	if c.JSON {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		_ = enc.Encode(report) // only numbers, texts and IDs
		_, err = app.stdout.Write(escapeControls(b.Bytes()))
	} else {
		err = printReport(app, &report)
	}
	if err == nil && !report.Intact() {
		err = fmt.Errorf("%w: %s: %d events are damaged, %d other problems",
			bolt.ErrDamaged, c.DataDir,
			len(report.Damaged), len(report.Problems)+report.More)
	}
	return err
}

func printReport(app *app, r *bolt.Report) error {
	for _, id := range r.Damaged {
		if err := app.print("damaged event %s", id); err != nil {
			return err
		}
	}
	for _, text := range r.Problems {
		if err := app.print("%s", text); err != nil {
			return err
		}
	}
	if r.More > 0 {
		if err := app.print("and %d more", r.More); err != nil {
			return err
		}
	}
	state := "intact"
	if !r.Intact() {
		state = "DAMAGED"
	}
	return app.print("%s: %d events from %s to %s, head %s, %d topics, %d idempotency keys, "+
		"%d read marks, %d deliveries, %d bytes, log %s",
		state, r.Events, r.First, r.Last, r.Head, r.Topics, r.Keys, r.Marks, r.Deliveries,
		r.Bytes, r.LogID)
}

// recordBar is a progress bar over a number of records that is known only later, drawn on a terminal only.
type recordBar struct{ bar *progressbar.ProgressBar }

func newRecordBar(w io.Writer, what string) recordBar {
	return recordBar{progressbar.NewOptions64(-1,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetVisibility(isTerminal(w)),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)}
}

func (b recordBar) set(done, total uint64) {
	if b.bar.GetMax64() != int64(total) {
		b.bar.ChangeMax64(int64(total))
	}
	_ = b.bar.Set64(int64(done)) // failing to draw a bar is no failure
}

func (b recordBar) done() { _ = b.bar.Close() }
