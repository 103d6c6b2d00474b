package main

import (
	"strings"
	"testing"
)

func TestMinFree(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		flag        string
		total, want uint64
	}{
		{"5%", 10 * gib, gib / 2},
		{"5%", 100 * gib, gib},
		{"0.5%", 1000, 5},
		{"0%", gib, 0},
		{"0", gib, 0},
		{"4GiB", gib, 4 * gib},
		{"5B", gib, 5},
		{"2147483648", gib, 2 * gib},
	} {
		var m minFree
		if err := m.UnmarshalText([]byte(c.flag)); err != nil {
			t.Errorf("%s: %v", c.flag, err)
		}
		if got := m.of(c.total); got != c.want {
			t.Errorf("%s of %d is %d, want %d", c.flag, c.total, got, c.want)
		}
	}
	for _, bad := range []string{"", "%", "-1%", "100%", "101%", "NaN%", "five", "-1", "5", "20.0"} {
		if err := new(minFree).UnmarshalText([]byte(bad)); err == nil ||
			!strings.Contains(err.Error(), "such as 5%") {
			t.Errorf("%q: %v, want it refused", bad, err)
		}
	}
}

// TestServeWithoutSpace: publishes are refused with their outcome; everything else works.
func TestServeWithoutSpace(t *testing.T) {
	dir := t.TempDir()
	t.Run("with space", func(t *testing.T) {
		url := serving(t, "--data-dir", dir)
		runCLI(t, "publish", "--url", url, "orders", "1").ended(t, exitOK)
		runCLI(t, "publish", "--url", url, "orders", "1").ended(t, exitOK)
	})
	t.Run("without", func(t *testing.T) {
		url := serving(t, "--data-dir", dir, "--min-free", "1000PB")
		runCLI(t, "publish", "--url", url, "orders", "2").want(t, exitFailure, "",
			"507 No space left: the disk is full; nothing was stored, and publishing works again once there is room (code no-space, outcome not_stored)")
		lines := strings.Split(runCLI(t, "tail", "--url", url, "orders", "--since", "earliest",
			"--limit", "2").ended(t, exitOK).stdout, "\n")
		if len(lines) != 3 {
			t.Fatalf("tail printed %q", lines)
		}
		id, _, _ := strings.Cut(lines[1], " ")
		runCLI(t, "trim", "--url", url, "orders", "--before", id).want(t, exitOK, "1\n", "")
		// in the space of the trimmed event
		runCLI(t, "publish", "--url", url, "orders", "3").ended(t, exitOK)
	})
}
