package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"

	"tidings/internal/wire"
	"tidings/store"
)

// maxLineBytes is far above the event size that servers accept (1 MiB by default).
const maxLineBytes = 64 << 20

// publishLines publishes the lines of the --ndjson file.
func (c *publishCmd) publishLines(ctx context.Context, app *app) error {
	file, err := app.open(ctx, c.NDJSON)
	if err != nil {
		return usageError{fmt.Errorf("--ndjson: %w", err)}
	}
	defer file.Close()
	bar := newProgressBar(app.stderr, file)
	published, err := c.postLines(ctx, app.httpClient(), file, bar)
	_ = bar.Close() // before anything else is printed; failing to draw a bar is no failure
	if err != nil {
		return err
	}
	return app.print("published %d events", published)
}

// postLines posts the lines one after the other over one connection, so that they are stored in order. It stops at
// the first line that fails; the error says where to continue.
func (c *publishCmd) postLines(ctx context.Context, client *http.Client, file io.Reader,
	bar *progressbar.ProgressBar) (published int, err error) {
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, maxLineBytes)
	number := 0
	// on an error, Scan returns the torn line before it
	for lines.Scan() && lines.Err() == nil && ctx.Err() == nil {
		number++
		_ = bar.Add(len(lines.Bytes()) + 1)
		if number <= c.SkipLines || len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		d, err := parseDraft(lines.Bytes())
		if err == nil {
			// An interrupt waits for the response, so that it is known where to continue.
			_, err = c.post(context.WithoutCancel(ctx), client, d)
		}
		if err != nil {
			return published, stopped(published, number, err)
		}
		published++
	}
	if ctx.Err() != nil {
		return published, stopped(published, number+1, context.Cause(ctx))
	}
	if err := lines.Err(); err != nil {
		return published, stopped(published, number+1, err)
	}
	return published, nil
}

// stopped says where to continue: at the line that failed, or after it if it may have been stored.
func stopped(published, line int, err error) error {
	var unknown unknownOutcomeError
	var p *problem
	if errors.As(err, &unknown) || errors.As(err, &p) && p.Outcome == "unknown" {
		return fmt.Errorf(
			"line %d: %w; published %d events before it; continue with --skip-lines %d, which may "+
				"repeat the line, or %d, which may lose it",
			line, err, published, line-1, line)
	}
	return fmt.Errorf("line %d: %w; published %d events before it; continue with --skip-lines %d",
		line, err, published, line-1)
}

// parseDraft is strict: a misspelt "type" must not become an event without a type. The data is kept byte for byte.
func parseDraft(line []byte) (draft, error) {
	members, err := wire.ParseObject(line)
	if err != nil {
		return draft{}, fmt.Errorf("not a JSON object with unique names: %w", err)
	}
	d := draft{contentType: "application/json"}
	for _, m := range members {
		var err error
		switch m.Name {
		case "topic":
			err = json.Unmarshal(m.Value, &d.topic)
		case "type":
			err = json.Unmarshal(m.Value, &d.eventType)
		case "data":
			d.data = bytes.Clone(m.Value)
		default:
			return draft{}, fmt.Errorf(`unknown member %q: a line has "topic", "type" and "data"`,
				m.Name)
		}
		if err != nil {
			return draft{}, fmt.Errorf("%s: expected a string but got %s", m.Name, m.Value)
		}
	}
	if d.data == nil {
		return draft{}, errors.New(`no "data"`)
	}
	return d, store.ValidateTopic(d.topic)
}

// newProgressBar returns a bar over the bytes of the file, drawn on a terminal only.
func newProgressBar(w io.Writer, file io.Reader) *progressbar.ProgressBar {
	size := int64(-1) // unknown
	if f, ok := file.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			size = info.Size()
		}
	}
	return progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetVisibility(isTerminal(w)),
		progressbar.OptionSetDescription("publishing"),
		progressbar.OptionShowBytes(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)
}
