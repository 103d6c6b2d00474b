package e2e

import (
	"context"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

// SiteName is a name that the browser takes to 127.0.0.1, without the trust that it has in
// localhost.
const SiteName = "tidings.example.com"

// browser is a browser that all tests of a package share. It starts with the first that uses it.
type browser struct {
	once sync.Once
	ctx  context.Context
	stop func()
	err  error
}

// shell is Chromium without its own windows, which cost more than the pages in them: each window has
// renderers of its own. It has neither a back-forward cache nor notifications.
var shell, chromium browser

// Profile returns a context for chromedp whose tabs share storage, cookies and locks with each
// other and with no others, as those of one person's browser do. It ends with the test, which is
// skipped without Chromium. The tests run under Main, which ends the browser. With TIDINGS_FULL=1 it
// is that of [WindowProfile].
func Profile(t testing.TB) context.Context {
	t.Helper()
	if os.Getenv("TIDINGS_FULL") == "1" {
		return WindowProfile(t)
	}
	return shell.profile(t, "chromium-headless-shell")
}

// WindowProfile is as [Profile], of the browser that people have.
func WindowProfile(t testing.TB) context.Context {
	t.Helper()
	return chromium.profile(t, "chromium")
}

func (b *browser) profile(t testing.TB, command string) context.Context {
	t.Helper()
	path := Need(t, command)
	b.once.Do(func() {
		options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path),
			chromedp.NoSandbox, chromedp.DisableGPU,
			chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-quic", true),
			chromedp.Flag("host-resolver-rules", "MAP "+SiteName+" 127.0.0.1"))
		allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
		b.stop = stop
		b.ctx, _ = chromedp.NewContext(allocator)
		b.err = chromedp.Do(b.ctx)
	})
	if b.err != nil {
		t.Fatalf("start %s: %v", command, b.err)
	}
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("make a profile: %v", err)
	}
	return ctx
}

// stopBrowsers ends the browsers that there are, after the last test.
func stopBrowsers() {
	for _, b := range []*browser{&shell, &chromium} {
		if b.stop != nil {
			_ = chromedp.Cancel(b.ctx) // it may have ended
			b.stop()
		}
	}
}

// Need skips a test where a command is missing, and returns the command's path.
func Need(t testing.TB, command string) string {
	t.Helper()
	path, err := exec.LookPath(command)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + command) // which is not in everybody's PATH
	}
	if err != nil {
		t.Skipf("%s is not installed; .ci/run says what to install", command)
	}
	return path
}
