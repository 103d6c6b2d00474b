// Command tidings is the Tidings server and its client verbs; "tidings --help" lists them. Every
// flag of serve can be given as an environment variable too: --data-dir as TIDINGS_DATA_DIR. Of the
// other verbs' flags those can that say which log or server they work on, and as whom.
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
	"syscall"
	"unicode/utf8"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"tidings/store/bolt"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2 // a flag, an argument or a variable is wrong; nothing was done
	// the log file is damaged, is no log, or has a newer format; it is left as it was
	exitDamaged = 3
	exitInUse   = 4 // the data directory is held by another process, or may not be written
)

type cli struct {
	Serve      serveCmd      `cmd:"" help:"Run the server."`
	Publish    publishCmd    `cmd:"" help:"Publish an event, or a file of events."`
	Tail       tailCmd       `cmd:"" help:"Print events as they come, from any point of the log on."`
	Trim       trimCmd       `cmd:"" help:"Delete the events of a topic before one of them, for good."`
	TrustClock trustClockCmd `cmd:"" help:"Say that the clock of a server is right, so that it deletes by age again."`
	Token      tokenCmd      `cmd:"" help:"Make a token, from the key that the server checks tokens with."`
	Backup     backupCmd     `cmd:"" help:"Copy a log into a file, also while its server runs."`
	Restore    restoreCmd    `cmd:"" help:"Make a log from a backup."`
	Export     exportCmd     `cmd:"" help:"Print the events of a log as NDJSON, with their IDs. Idempotency keys and read marks are not among them."`
	Import     importCmd     `cmd:"" help:"Append exported events to a log; an empty one keeps their IDs."`
	Compact    compactCmd    `cmd:"" help:"Give the space of trimmed events back to the disk; no server may have the log open."`
	Verify     verifyCmd     `cmd:"" help:"Check a log that no server has open."`
	Health     healthCmd     `cmd:"" help:"Ask a server whether it is alive."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
}

// app is the process as a verb sees it. A verb's Run method takes it, and the context that ends
// with SIGINT or SIGTERM.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	logger         *slog.Logger
	transport      http.RoundTripper // of the client verbs; nil means http.DefaultTransport
}

// usageError makes a verb that finds its settings wrong end with exitUsage. The text names the
// flag, what it got and what is allowed, in one line.
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
	app := &app{stdin: stdin, stdout: stdout, stderr: stderr, logger: newLogger(stderr)}
	env := newEnvironment(environ)
	helped := false
	parser, err := kong.New(&cli{},
		kong.Name("tidings"),
		kong.Description("Durable event-log notifications over Server-Sent Events."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { helped = true }), // only --help asks to exit
		kong.Resolvers(env),
		kong.Help(printHelp),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(app),
	)
	if err != nil {
		return fail(stderr, err)
	}
	if i := slices.IndexFunc(args, func(arg string) bool {
		return !utf8.ValidString(arg)
	}); i >= 0 {
		// kong would replace bytes; it may be a key, so it is not repeated
		return fail(stderr, usageError{fmt.Errorf("argument %d is not UTF-8", i+1)})
	}
	parsed, err := parser.Parse(args)
	if helped {
		return exitOK
	}
	var parse *kong.ParseError
	if errors.As(err, &parse) {
		parsed = parse.Context // a variable may be why
	}
	env.warn(stderr, parsed)
	if err == nil {
		err = refuseEmpty(parsed.Flags())
	}
	if err == nil {
		err = env.refuseOpening(parsed)
	}
	if err == nil {
		err = parsed.Run()
	}
	if err != nil {
		return fail(stderr, err)
	}
	return exitOK
}

// refuseEmpty refuses a flag that was given as "", lists too: most likely it names a shell variable
// that is not set, and the server must not start without the key or the limit that was meant to be
// there.
func refuseEmpty(flags []*kong.Flag) error {
	for _, f := range flags {
		if k := f.Target.Kind(); f.Set && (k == reflect.String || k == reflect.Slice) &&
			f.Target.Len() == 0 {
			return usageError{fmt.Errorf("--%s: expected a value, got an empty one", f.Name)}
		}
	}
	return nil
}

func fail(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "tidings: %v\n", err)
	var parse *kong.ParseError
	var usage usageError
	switch {
	case errors.As(err, &parse), errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, bolt.ErrDamaged), errors.Is(err, bolt.ErrNewerFormat):
		return exitDamaged
	case errors.Is(err, bolt.ErrLocked), errors.Is(err, bolt.ErrUnsafe), errors.Is(err, fs.ErrPermission),
		errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOTDIR):
		return exitInUse
	}
	return exitFailure
}

func newLogger(w io.Writer) *slog.Logger {
	if isTerminal(w) {
		return slog.New(slog.NewTextHandler(w, nil))
	}
	return slog.New(slog.NewJSONHandler(w, nil))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
