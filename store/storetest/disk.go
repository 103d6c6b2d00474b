package storetest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// SmallDisk mounts a file system of size bytes, "tmpfs" or "ext4", until the test ends, and returns its
// directory. It skips the test where that is not allowed. ext4 holds on to freed space until its next
// journal commit, tmpfs does not.
func SmallDisk(t testing.TB, kind string, size int64) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting a small disk needs root")
	}
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Skipf("a small disk cannot be mounted: %s %v: %v: %s", name, args, err,
				bytes.TrimSpace(out))
		}
	}
	dir := t.TempDir()
	switch kind {
	case "tmpfs":
		run("mount", "-t", "tmpfs", "-o", "size="+strconv.FormatInt(size, 10), "tmpfs", dir)
	case "ext4":
		image := filepath.Join(t.TempDir(), "image")
		if err := errors.Join(os.WriteFile(image, nil, 0o600),
			os.Truncate(image, size)); err != nil {
			t.Fatal(err)
		}
		run("mkfs.ext4", "-q", "-m", "0", image)
		run("mount", "-o", "loop", image, dir)
	default:
		t.Fatalf("no file system %q", kind)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}
