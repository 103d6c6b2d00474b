package e2e

import (
	"context"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

// SiteName is a name that the browser resolves to 127.0.0.1, without the trust that it has in localhost.
const SiteName = "tidings.example.com"

// browser is a browser that all tests of a package share. The first test that uses it starts it.
type browser struct {
	once sync.Once
	ctx  context.Context
	stop func()
	err  error
}

// shell is Chromium without windows of its own, which cost more than the pages in them: each window has renderers of
// its own. It has neither a back-forward cache nor notifications.
var shell, chromium browser

// Profile returns a context for chromedp whose tabs share storage, cookies and locks with each other and with no
// others, like the tabs of one person's browser. It ends with the test, which is skipped without Chromium. The tests
// run under Main, which stops the browser. With TIDINGS_FULL=1 it is [WindowProfile].
func Profile(t testing.TB) context.Context {
	t.Helper()
	if os.Getenv("TIDINGS_FULL") == "1" {
		return WindowProfile(t)
	}
	return shell.profile(t, "chromium-headless-shell")
}

// WindowProfile is like [Profile], in the browser that people have.
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

// stopBrowsers stops the browsers that were started, after the last test.
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
		path, err = exec.LookPath("/usr/sbin/" + command) // which is not in every PATH
	}
	if err != nil {
		t.Skipf("%s is not installed; .ci/run says what to install", command)
	}
	return path
}
