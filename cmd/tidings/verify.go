package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"

	"tidings/store/bolt"
)

type verifyCmd struct {
	DataDir string `default:"./tidings-data" help:"Directory of the log, which no server may have open." type:"path"`
	JSON    bool   `name:"json" help:"Print the report as JSON."`
}

func (c *verifyCmd) Run(app *app) error {
	bar := newRecordBar(app.stderr, "verifying")
	report, err := bolt.Verify(c.DataDir, bar.set)
	bar.done()
	if err != nil {
		return err
	}
	if c.JSON {
		enc := json.NewEncoder(app.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		err = enc.Encode(report)
	} else {
		err = printReport(app.stdout, &report)
	}
	if err == nil && !report.Intact() {
		err = fmt.Errorf("%w: %s: %d events are damaged, %d other problems",
			bolt.ErrDamaged, c.DataDir,
			len(report.Damaged), len(report.Problems)+report.More)
	}
	return err
}

func printReport(w io.Writer, r *bolt.Report) error {
	for _, id := range r.Damaged {
		if _, err := fmt.Fprintf(w, "damaged event %s\n", id); err != nil {
			return err
		}
	}
	for _, text := range r.Problems {
		if _, err := fmt.Fprintln(w, printable(text)); err != nil {
			return err
		}
	}
	if r.More > 0 {
		if _, err := fmt.Fprintf(w, "and %d more\n", r.More); err != nil {
			return err
		}
	}
	state := "intact"
	if !r.Intact() {
		state = "DAMAGED"
	}
	_,
		err := fmt.Fprintf(w,
		"%s: %d events from %s to %s, head %s, %d topics, %d idempotency keys, %d read marks, "+
			"%d bytes, log %s\n",
		state, r.Events, r.First, r.Last, r.Head, r.Topics, r.Keys, r.Marks, r.Bytes, r.LogID)
	return err
}

// recordBar is a progress bar over a number of records that is known only later; it is drawn on a
// terminal only.
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
	_ = b.bar.Set64(int64(done)) // that a bar cannot be drawn is no failure
}

func (b recordBar) done() { _ = b.bar.Close() }
