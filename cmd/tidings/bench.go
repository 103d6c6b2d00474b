package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"tidings/internal/load"
)

type benchCmd struct {
	client

	Mode string `arg:"" enum:"publish,batch,fanout,replay,storm,idle" help:"What to measure: publish (one event per request), batch (NDJSON), fanout (one event to many subscribers), replay (subscribers read the log from the start), storm (all subscribers reconnect at once), idle (cost of a subscriber that receives nothing)."`

	Embedded    bool          `help:"Start a server with a temporary log instead of using --url."`
	Duration    time.Duration `default:"10s" help:"How long to run."`
	Connections int           `default:"0" help:"Publishing connections (default: 64; batch 4, fanout and storm 1)."`
	Subscribers int           `default:"0" help:"Subscribers (default: 1000; replay 4)."`
	Rate        int           `default:"100" help:"Events per second, for fanout and storm."`
	Events      int           `default:"100000" help:"Events to replay."`
	Size        int           `default:"200" help:"Approximate size of an event's data, in bytes."`
	Lines       int           `default:"1000" help:"Events per batch."`
	Yes         bool          `help:"Run even if the server already has events."`
	JSON        bool          `name:"json" help:"Print the result as JSON."`
}

// Validate is called by kong after parsing.
func (c *benchCmd) Validate() error {
	for _, f := range []struct {
		name     string
		got, min int
	}{{"connections", c.Connections, 0}, {"subscribers", c.Subscribers, 0}, {"rate", c.Rate, 1},
		{"events", c.Events, 1}, {"size", c.Size, 1}, {"lines", c.Lines, 1}} {
		if f.got < f.min {
			return fmt.Errorf("--%s: expected %d or more but got %d", f.name, f.min, f.got)
		}
	}
	if c.Lines > 1000 {
		return fmt.Errorf("--lines: expected at most 1000, the limit of a batch, but got %d", c.Lines)
	}
	if c.Duration <= 0 {
		return fmt.Errorf("--duration: expected a time such as 10s but got %s", c.Duration)
	}
	return nil
}

func (c *benchCmd) Run(ctx context.Context, app *app) (err error) {
	target := &load.Target{URL: c.URL.url, Token: string(c.Token), Client: app.benchClient()}
	defer target.Client.CloseIdleConnections()
	if c.Embedded {
		server, err := startEmbedded(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, server.stop()) }()
		target.URL, target.Token = server.url, ""
	}
	if err := c.mayUse(ctx, target); err != nil {
		return err
	}
	begin := time.Now()
	result, err := load.Run(ctx, target, c.plan(), func(events int64) { app.progress(begin, events) })
	app.progress(time.Time{}, 0)
	if !c.Embedded {
		if trimErr := target.Trim(context.WithoutCancel(ctx)); trimErr != nil {
			err = errors.Join(err, fmt.Errorf("the events of %s are still there: %w", load.Topic,
				trimErr))
		}
	}
	if result == nil {
		return err
	}
	return errors.Join(c.report(app, result), err)
}

// mayUse refuses a server that others may rely on.
func (c *benchCmd) mayUse(ctx context.Context, target *load.Target) error {
	events, err := target.Events(ctx)
	if err == nil && events > 1 && !c.Yes { // an earlier run leaves one
		return usageError{fmt.Errorf("%s has %d events, so others may rely on it; --yes loads it "+
			"anyway, and --embedded starts a server of its own", c.URL, events)}
	}
	return err
}

func (c *benchCmd) plan() load.Plan {
	connections, subscribers := 64, 1000
	switch c.Mode {
	case "batch":
		connections = 4
	case "fanout", "storm":
		connections = 1
	case "replay":
		subscribers = 4
	}
	return load.Plan{Mode: c.Mode, Duration: c.Duration,
		Connections: cmp.Or(c.Connections, connections), Subscribers: cmp.Or(c.Subscribers, subscribers),
		Rate: c.Rate, Events: c.Events, Size: c.Size, Lines: c.Lines}
}

// benchClient keeps as many idle connections as are used at once.
func (a *app) benchClient() *http.Client {
	client := a.httpClient()
	if client.Transport == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost, transport.MaxIdleConns = 10_000, 0
		transport.DisableCompression = true
		client.Transport = transport
	}
	return client
}

// progress shows progress on a terminal; a zero begin clears it.
func (a *app) progress(begin time.Time, events int64) {
	if !isTerminal(a.stderr) {
		return
	}
	line := ""
	if !begin.IsZero() {
		line = fmt.Sprintf("%3.0f s, %d events", time.Since(begin).Seconds(), events)
	}
	_, _ = fmt.Fprintf(a.stderr, "\r\x1b[K%s", line)
}

// errInexact makes the exit code report faults.
var errInexact = errors.New("events were missing, duplicated or out of order")

func (c *benchCmd) report(app *app, r *load.Result) error {
	print := printTable
	if c.JSON {
		print = printJSON
	}
	if err := print(app, r); err != nil {
		return err
	}
	if !r.Exact() {
		return errInexact
	}
	return nil
}

func printJSON(app *app, r *load.Result) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return app.print("%s", text)
}

func printTable(app *app, r *load.Result) error {
	lines := [][2]string{{r.Mode, fmt.Sprintf("%d connections, %d subscribers, %d bytes, %.1f s",
		r.Connections, r.Subscribers, r.Size, r.Seconds)},
		{"published", fmt.Sprint(r.Published)}, {"received", fmt.Sprint(r.Received)}}
	if r.PerSecond > 0 {
		lines = append(lines, [2]string{"per second", fmt.Sprintf("%.0f", r.PerSecond)})
	}
	if l := r.Latency; l != nil {
		lines = append(lines, [2]string{"latency", fmt.Sprintf(
			"p50 %.2f ms, p90 %.2f, p99 %.2f, p99.9 %.2f, max %.2f", l.P50, l.P90, l.P99, l.P999, l.Max)})
	}
	lines = append(lines, [2]string{"faults", fmt.Sprintf("%d missing, %d duplicated, %d out of order",
		r.Missing, r.Duplicates, r.OutOfOrder)})
	for _, code := range slices.Sorted(maps.Keys(r.Refused)) {
		lines = append(lines, [2]string{"refused", fmt.Sprintf("%d %s", r.Refused[code], code)})
	}
	if r.ServerCPU > 0 {
		lines = append(lines, [2]string{"server CPU", fmt.Sprintf("%.1f µs an event", r.ServerCPU)})
	}
	if r.ServerMemory > 0 {
		lines = append(lines, [2]string{"memory", fmt.Sprintf("%.1f KiB a subscriber", r.ServerMemory/1024)})
	}
	for _, l := range lines {
		if err := app.print("%-12s %s", l[0], l[1]); err != nil {
			return err
		}
	}
	return nil
}

// embedded is a server of this program, with its own temporary log.
type embedded struct {
	url *url.URL
	cmd *exec.Cmd
	dir string
}

func startEmbedded(ctx context.Context) (*embedded, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "tidings-bench-")
	if err != nil {
		return nil, err
	}
	e := &embedded{dir: dir, cmd: exec.Command(self, "serve", "--listen", "127.0.0.1:0", "--data-dir",
		dir)}
	e.cmd.Env = []string{"PATH=" + os.Getenv("PATH")} // no variables meant for another server
	log, err := e.cmd.StderrPipe()
	if err == nil {
		err = e.cmd.Start()
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	stop := context.AfterFunc(ctx, func() { _ = e.cmd.Process.Signal(syscall.SIGTERM) })
	defer stop()
	for lines := bufio.NewScanner(log); lines.Scan(); {
		var line struct{ Msg, URL string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
			go func() { _, _ = io.Copy(io.Discard, log) }() // it must never wait for us
			if e.url, err = url.Parse(line.URL); err == nil {
				return e, nil
			}
			break
		}
	}
	if err == nil {
		err = errors.New("the embedded server did not start; does serve start on its own?")
	}
	return nil, errors.Join(err, e.stop())
}

// stop ends the server and deletes its log.
func (e *embedded) stop() error {
	_ = e.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	err := e.cmd.Wait()
	return errors.Join(err, os.RemoveAll(e.dir))
}
