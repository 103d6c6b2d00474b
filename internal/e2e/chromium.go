package e2e

import (
	"context"
	"os/exec"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

// SiteName is a name that the browser takes to 127.0.0.1, without the trust that it has in
// localhost.
const SiteName = "tidings.example.com"

// chromium is the browser that all tests of a package share. It starts with the first.
var chromium struct {
	once sync.Once
	ctx  context.Context
	stop func()
	err  error
}

// Profile returns a context for chromedp whose tabs share storage, cookies and locks with each
// other and with no others, as those of one person's browser do. It ends with the test, which is
// skipped without Chromium. The tests run under Main, which ends the browser.
func Profile(t testing.TB) context.Context {
	t.Helper()
	path := Need(t, "chromium")
	chromium.once.Do(func() {
		options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path),
			chromedp.NoSandbox, chromedp.DisableGPU,
			chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-quic", true),
			chromedp.Flag("host-resolver-rules", "MAP "+SiteName+" 127.0.0.1"))
		allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
		chromium.stop = stop
		chromium.ctx, _ = chromedp.NewContext(allocator)
		chromium.err = chromedp.Do(chromium.ctx)
	})
	if chromium.err != nil {
		t.Fatalf("start Chromium: %v", chromium.err)
	}
	ctx, cancel := chromedp.NewContext(chromium.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("make a profile: %v", err)
	}
	return ctx
}

// stopChromium ends the browser, if there is one, after the last test.
func stopChromium() {
	if chromium.stop != nil {
		_ = chromedp.Cancel(chromium.ctx) // it may have ended
		chromium.stop()
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
