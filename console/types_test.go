package console_test

import (
	"os"
	"os/exec"
	"testing"

	"tidings/internal/e2e"
)

// TestTypes: the type declarations match the module, and what they should allow compiles.
func TestTypes(t *testing.T) {
	t.Parallel()
	node, dir := e2e.Need(t, "node"), t.TempDir()
	const compiler = "../internal/clients/testdata/node_modules/typescript/bin/tsc"
	if _, err := os.Stat(compiler); err != nil {
		t.Skipf("the Node packages are not installed (%v); internal/clients/doc.go says how", err)
	}
	for from, to := range map[string]string{
		"client/tidings.js": "implementation.js", "client/tidings.d.ts": "tidings.d.ts",
		"client/alarm.d.ts": "alarm.d.ts", "testdata/alarm.ts": "alarm-usage.ts",
		"testdata/usage.ts": "usage.ts", "client/push.js": "push-implementation.js", "client/push.d.ts": "push.d.ts",
		"testdata/push.ts": "push-usage.ts",
	} {
		content, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(dir+"/"+to, content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(node, compiler, "--noEmit", "--strict", "--allowJs", "--target",
		"es2022", "--lib", "es2023,dom,dom.iterable",
		"--module", "es2022", "--moduleResolution", "bundler", dir+"/usage.ts",
		dir+"/alarm-usage.ts", dir+"/push-usage.ts").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
