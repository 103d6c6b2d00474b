// Command tidings is the Tidings server and its client verbs; "tidings --help" lists them. Every flag of serve can
// be given as an environment variable, too: --data-dir as TIDINGS_DATA_DIR. On other verbs, only the flags that
// select a log, a server or an identity have variables.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"time"
	_ "time/tzdata" // for alert rules, where the machine has none
	"unicode/utf8"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"tidings/internal/duration"
	"tidings/store/bolt"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2 // a flag, an argument or a variable is wrong; nothing was done
	// the log file is damaged, is not a log, or has a newer format; it is left untouched
	exitDamaged = 3
	exitInUse   = 4 // another process holds the data directory, or it may not be written
	// NATS has lost events that a mirror has; it may be the only copy, and is kept
	exitLost = 5
)

type cli struct {
	Serve      serveCmd      `cmd:"" help:"Run the server."`
	Publish    publishCmd    `cmd:"" help:"Publish an event, or a file of events."`
	Tail       tailCmd       `cmd:"" help:"Follow events, starting anywhere in the log."`
	Trim       trimCmd       `cmd:"" help:"Permanently delete a topic's events older than a given ID."`
	TrustClock trustClockCmd `cmd:"" help:"Confirm that a server's clock is right, so that it resumes deleting by age."`
	Token      tokenCmd      `cmd:"" help:"Create an access token, signed with the server's key."`
	Alerts     alertsCmd     `cmd:"" help:"Manage and answer alerts: events that ring until somebody takes them."`
	Deliveries deliveriesCmd `cmd:"" help:"Manage deliveries: what the server sends to webhooks, chats and mail."`
	Backup     backupCmd     `cmd:"" help:"Back up a log, online or offline."`
	Restore    restoreCmd    `cmd:"" help:"Restore a log from a backup."`
	Export     exportCmd     `cmd:"" help:"Print a log's events as NDJSON, with their IDs; without idempotency keys, read marks and deliveries."`
	Import     importCmd     `cmd:"" help:"Append exported events to a log. An empty log keeps their IDs."`
	Compact    compactCmd    `cmd:"" help:"Shrink the log file. The server must be stopped."`
	Detach     detachCmd     `cmd:"" help:"Turn a cluster node's mirror into a standalone log. The server must be stopped."`
	PutBack    putBackCmd    `cmd:"" help:"Restore events that NATS has lost from a node's mirror. The server must be stopped."`
	Verify     verifyCmd     `cmd:"" help:"Check a log's integrity. The server must be stopped."`
	Bench      benchCmd      `cmd:"" help:"Benchmark a server: throughput, latency, missing events."`
	Health     healthCmd     `cmd:"" help:"Check that a server responds."`
	Version    versionCmd    `cmd:"" help:"Print the version."`

	Licenses licensesCmd `cmd:"" help:"Print the licences of bundled software."`
}

// app is the process as a verb sees it. Run methods take it, and a context that ends with the first signal that
// asks the process to end.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	end            context.CancelCauseFunc // ends the context as a signal does
	logger         *slog.Logger
	level          *slog.LevelVar    // of the logger
	lostLines      func() uint64     // by the logger, ever
	transport      http.RoundTripper // of the client verbs; nil means http.DefaultTransport
}

// print writes one line to standard output; nothing in it can steer a terminal.
func (a *app) print(format string, args ...any) error {
	_, err := io.WriteString(a.stdout, printable(fmt.Sprintf(format, args...))+"\n")
	return err
}

// say writes one line to standard error; nothing in it can steer a terminal. A failed write is ignored.
func (a *app) say(format string, args ...any) {
	_, _ = io.WriteString(a.stderr, "tidings: "+printable(fmt.Sprintf(format, args...))+"\n")
}

// usageError makes a verb that finds its settings wrong exit with exitUsage. The text names the flag, its value and
// what is allowed, in one line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // so that a second signal kills
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}

// run is the process without its globals. It returns the exit code.
func run(ctx context.Context, args, environ []string, stdin io.Reader, stdout,
	stderr io.Writer) int {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	out, errOut := newOutput(ctx, stdout), newOutput(ctx, stderr)
	defer out.close()
	defer errOut.close()
	level := new(slog.LevelVar)
	app := &app{stdin: stdin, stdout: out, stderr: errOut, end: end, level: level,
		logger: newLogger(linesOf(errOut), isTerminal(stderr), level), lostLines: errOut.lost.Load}
	err := app.run(ctx, args, newEnvironment(environ))
	if err == nil {
		return exitOK
	}
	errOut.hurry()
	app.say("%s", strings.ReplaceAll(err.Error(), "\n", "; ")) // from joined errors
	return exitCode(err)
}

// run runs the verb that the arguments name.
func (a *app) run(ctx context.Context, args []string, env environment) error {
	helped := false
	parser, err := kong.New(&cli{},
		kong.Name("tidings"),
		kong.Description("Durable event-log notifications over Server-Sent Events."),
		kong.Writers(a.stdout, a.stderr),
		kong.Exit(func(int) { helped = true }), // only --help asks to exit
		kong.Resolvers(env),
		kong.Help(printHelp),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(a, env),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(decodeDuration)),
	)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(args, func(arg string) bool {
		return !utf8.ValidString(arg)
	}); i >= 0 {
		// kong would replace bytes; the argument may be a key, so it is not repeated
		return usageError{fmt.Errorf("argument %d is not UTF-8", i+1)}
	}
	parsed, err := parser.Parse(args)
	if helped {
		return nil
	}
	var parse *kong.ParseError
	if errors.As(err, &parse) {
		parsed = parse.Context // a variable may be the cause
	}
	env.warn(a, parsed)
	if err != nil && strings.Contains(err.Error(), "unknown flag -") {
		return usageError{fmt.Errorf("%w; put an argument that begins with - after --", err)}
	}
	if err == nil {
		err = refuseEmpty(parsed.Flags())
	}
	if err == nil {
		err = env.refuseOpening(parsed)
	}
	if err != nil {
		return err
	}
	if !isServe(parsed.Selected()) && !signal.Ignored(syscall.SIGHUP) { // nohup ignores it
		hangup, stop := signal.NotifyContext(ctx, syscall.SIGHUP) // the terminal is gone
		defer stop()
		context.AfterFunc(hangup, func() {
			a.end(context.Cause(hangup))
			stop() // so that a second one kills
		})
	}
	return parsed.Run()
}

// decodeDuration parses the durations of all flags, days and weeks included.
func decodeDuration(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("duration", &text); err != nil {
		return err
	}
	d, err := duration.Parse(text)
	if err != nil {
		return fmt.Errorf("expected a duration such as 15s, 30m or 7d but got %q", text)
	}
	target.SetInt(int64(d))
	return nil
}

// refuseEmpty refuses a flag given as "", lists included: most likely it names a shell variable that is not set,
// and the server must not start without the key or the limit that was meant.
func refuseEmpty(flags []*kong.Flag) error {
	for _, f := range flags {
		if k := f.Target.Kind(); f.Set && (k == reflect.String || k == reflect.Slice) &&
			f.Target.Len() == 0 {
			return usageError{fmt.Errorf("--%s: expected a value, got an empty one", f.Name)}
		}
	}
	return nil
}

func exitCode(err error) int {
	var parse *kong.ParseError
	var usage usageError
	switch {
	case errors.As(err, &parse), errors.As(err, &usage), errors.Is(err, bolt.ErrMirror):
		return exitUsage
	case errors.Is(err, bolt.ErrDamaged), errors.Is(err, bolt.ErrNewerFormat):
		return exitDamaged
	case errors.As(err, new(lossError)):
		return exitLost
	case errors.Is(err, bolt.ErrLocked), errors.Is(err, bolt.ErrUnsafe), errors.Is(err, fs.ErrPermission),
		errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOTDIR):
		return exitInUse
	}
	return exitFailure
}

func newLogger(w io.Writer, text bool, level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if text {
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}

func isTerminal(w io.Writer) bool {
	if o, ok := w.(*output); ok {
		w = o.to
	}
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
