package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tidings/store"
)

const pageSize = 4096 // of a log file created here

// logBytes returns the log file of a closed log in dir.
func logBytes(t *testing.T, dir string) []byte {
	t.Helper()
	file, err := os.ReadFile(filepath.Join(dir, "log.db"))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// logOf returns a directory that holds this log file.
func logOf(t *testing.T, file []byte) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "log.db"), file, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// newestMeta returns the meta page of the last transaction, and the other one. docs/FORMAT.md draws them.
func newestMeta(file []byte) (newest, other []byte) {
	transaction := func(page []byte) uint64 { return binary.NativeEndian.Uint64(page[64:]) }
	newest, other = file[:pageSize], file[pageSize:2*pageSize]
	if transaction(newest) < transaction(other) {
		return other, newest
	}
	return newest, other
}

// usedBytes returns the size of the pages that the file uses.
func usedBytes(file []byte) int {
	newest, _ := newestMeta(file)
	return int(binary.NativeEndian.Uint64(newest[56:])) * pageSize
}

// setFormat writes another format into the metadata, with a correct checksum.
func setFormat(file []byte, format uint32) []byte {
	entry := func(n uint32) []byte {
		payload := binary.BigEndian.AppendUint32([]byte("format"), n)
		sum := crc32.Checksum(payload, crc32.MakeTable(crc32.Castagnoli))
		return append(binary.BigEndian.AppendUint32([]byte("format"), sum),
			payload[len("format"):]...)
	}
	return bytes.ReplaceAll(file, entry(1), entry(format))
}

// TestFileRows: rows 98 to 107 of docs/ERRORS.md that are refused. serve reports the reason and the remedy in one
// line, verify reports the same, and the file stays as it was.
func TestFileRows(t *testing.T) {
	dir, _ := storedLog(t, `{"order":1}`, `{"order":2}`)
	whole := logBytes(t, dir)
	changed := func(change func(file []byte)) []byte {
		file := bytes.Clone(whole)
		change(file)
		return file
	}
	const advice = "restore a backup, or move the file away to start a new log"
	for _, r := range []struct {
		name   string
		file   []byte
		want   string
		advice string
	}{
		{"row 98: empty", nil, "the file is empty", advice},
		{"row 99: one byte", []byte("x"), "invalid", advice},
		{"row 99: text", []byte(strings.Repeat("not a log\n", 2000)), "invalid", advice},
		{"row 99: zeros", make([]byte, 64<<10), "invalid", advice},
		{"row 100: one page", whole[:pageSize], "file size too small", advice},
		{"row 101: two pages", whole[:2*pageSize],
			"the file is cut short: it has 8192 bytes", advice},
		{"row 101: half of it", whole[:usedBytes(whole)/2], "the file is cut short", advice},
		{"row 104: both meta pages", changed(
			func(file []byte) { file[60] ^= 1; file[pageSize+60] ^= 1 }), "checksum", advice},
		{"row 107: keys in another order", bytes.ReplaceAll(whole, []byte("sparse"),
			[]byte("aparse")), "its keys are out of order", advice},
		{"row 107: another program's file", bytes.ReplaceAll(whole, []byte("meta"), []byte("mine")),
			`without the bucket "meta", so not a log of this program`, advice},
		{"row 107: newer format", setFormat(whole, 4), "has format 4, this release reads up to 3",
			"start it with the release that wrote it, or a newer one"},
	} {
		t.Run(r.name, func(t *testing.T) {
			dir := logOf(t, r.file)
			got := configRow{args: "--data-dir " + dir}.stopped(t).ended(t, exitDamaged)
			for _, want := range []string{"--data-dir: ", filepath.Join(dir, "log.db"),
				r.want, r.advice} {
				if !strings.Contains(got.stderr, want) || strings.Count(got.stderr, "\n") != 1 ||
					got.stdout != "" {
					t.Errorf("serve: stdout %q, stderr %q, want one line with %q", got.stdout,
						got.stderr, want)
				}
			}
			if got := runCLI(t, "verify", "--data-dir", dir).ended(t,
				exitDamaged); !strings.Contains(got.stdout+got.stderr, r.want) {
				t.Errorf("verify: stdout %q, stderr %q, want %q", got.stdout, got.stderr, r.want)
			}
			if !bytes.Equal(logBytes(t, dir), r.file) {
				t.Error("the file was changed")
			}
		})
	}
}

// TestFileRowsThatOpen: rows 102, 103, 106 and 108 of docs/ERRORS.md.
func TestFileRowsThatOpen(t *testing.T) {
	t.Run("row 102: unused tail", func(t *testing.T) {
		dir, ids := storedLog(t, `{"order":1}`)
		whole := logBytes(t, dir)
		if usedBytes(whole) > len(whole)-pageSize {
			t.Fatal("there is none")
		}
		dir = logOf(t, whole[:len(whole)-pageSize])
		verifies(t, dir)
		holds(t, serving(t, "--data-dir", dir), ids...)
	})
	t.Run("row 103: newest meta page", func(t *testing.T) {
		var lost string
		var file []byte
		t.Run("before", func(t *testing.T) {
			dir := t.TempDir()
			url := serving(t, "--data-dir", dir)
			for _, data := range []string{"1", "2"} {
				lost = strings.TrimSpace(runCLI(t, "publish", "--url", url, "orders", data).ended(t,
					exitOK).stdout)
			}
			file = logBytes(t, dir) // as after a crash
			newest, _ := newestMeta(file)
			newest[60] ^= 1
		})
		dir := logOf(t, file)
		verifies(t, dir)
		_, page := fetch(t, serving(t, "--data-dir", dir)+"/v1/events?after="+lost, "")
		if !strings.Contains(page, `"reason":"ahead"`) {
			t.Errorf("after the lost event: %s", page)
		}
	})
	t.Run("row 106: bit in an event", func(t *testing.T) {
		dir, ids := storedLog(t, `{"order":1}`, `{"order":2}`)
		flip(t, dir, `{"order":2}`)
		runCLI(t, "verify", "--data-dir", dir).want(t, exitDamaged,
			runCLI(t, "verify", "--data-dir", dir).stdout, "1 events are damaged, 0 other problems")
		url := serving(t, "--data-dir", dir)
		holds(t, url, ids[0])
		if status, text := fetch(t, url+"/v1/events/"+ids[1].String(), ""); status != 500 ||
			!strings.Contains(text, "event-corrupt") {
			t.Errorf("by its ID: %d %s", status, text)
		}
		if _, page := fetch(t, url+"/v1/events?after="+ids[0].String(), ""); !strings.Contains(page,
			`"reason":"corrupt"`) || strings.Contains(page, `"order"`) {
			t.Errorf("after the intact one: %s", page)
		}
		if _, metrics := fetch(t, url+"/metrics", ""); !strings.Contains(metrics,
			`tidings_gaps_total{reason="corrupt"} 1`) {
			t.Error("the gap is not counted")
		}
	})
	t.Run("row 108: older release", func(t *testing.T) {
		packed, err := os.Open(filepath.Join("..", "..", "store", "bolt", "testdata", "format-1.db.gz"))
		if err != nil {
			t.Fatal(err)
		}
		defer packed.Close()
		r, err := gzip.NewReader(packed)
		if err != nil {
			t.Fatal(err)
		}
		file, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		dir := logOf(t, file)
		verifies(t, dir)
		url := serving(t, "--data-dir", dir)
		runCLI(t, "publish", "--url", url, "orders.eu", "1").ended(t, exitOK)
	})
}

// holds checks that a server has these events.
func holds(t *testing.T, url string, ids ...store.ID) {
	t.Helper()
	for _, id := range ids {
		if status, text := fetch(t, url+"/v1/events/"+id.String(), ""); status != 200 {
			t.Errorf("event %s: %d %s", id, status, text)
		}
	}
}

// TestFilePages: row 105 of docs/ERRORS.md. Whichever page is zeroed, either serve refuses the file or the page was
// free.
func TestFilePages(t *testing.T) {
	t.Run("row 105: a zeroed page", func(t *testing.T) {
		dir, _ := storedLog(t, `{"order":1}`, `{"order":2}`)
		whole := logBytes(t, dir)
		refused := 0
		for at := 2 * pageSize; at < usedBytes(whole); at += pageSize {
			file := bytes.Clone(whole)
			clear(file[at:][:pageSize])
			dir := logOf(t, file)
			verified := runCLI(t, "verify", "--data-dir", dir)
			served := configRow{args: "--data-dir " + dir}.stopped(t)
			if served.code != verified.code || served.code != exitOK && served.code != exitDamaged {
				t.Errorf("page %d: verify ends with %d, serve with %d: %s", at/pageSize,
					verified.code, served.code, served.stderr)
			}
			if served.code == exitDamaged {
				refused++
				if !strings.Contains(served.stderr, "restore a backup") {
					t.Errorf("page %d: %s", at/pageSize, served.stderr)
				}
			}
		}
		if refused == 0 {
			t.Error("no page mattered")
		}
	})
}

// TestFileHeld: rows 109 and 110 of docs/ERRORS.md.
func TestFileHeld(t *testing.T) {
	t.Run("row 109: held by another process", func(t *testing.T) {
		held := t.TempDir()
		url := serving(t, "--data-dir", held)
		backup := filepath.Join(t.TempDir(), "b.db")
		runCLI(t, "backup", backup, "--url", url).ended(t, exitOK)
		want := fmt.Sprintf("%s is held by process %d; stop it, or use another directory",
			held, os.Getpid())
		for _, args := range []string{"serve --listen 127.0.0.1:0", "verify", "restore " + backup,
			"compact", "detach", "export"} {
			got := runCLI(t, append(strings.Fields(args), "--data-dir",
				held)...).ended(t, exitInUse)
			if !strings.Contains(got.stderr, want) || got.stdout != "" {
				t.Errorf("%s: stdout %q, stderr %q, want %q", args, got.stdout, got.stderr, want)
			}
		}
		link := t.TempDir()
		if err := os.Link(filepath.Join(held, "log.db"),
			filepath.Join(link, "log.db")); err != nil {
			t.Fatal(err)
		}
		refusedInUse(t, link, "another process has "+filepath.Join(link, "log.db")+" open")
		runCLI(t, "publish", "--url", url, "orders", "1").ended(t, exitOK)
	})
	t.Run("row 110: without the right to write", func(t *testing.T) {
		if os.Geteuid() == 0 {
			t.Skip("root may write everywhere")
		}
		dir, _ := storedLog(t, "1")
		if err := os.Chmod(filepath.Join(dir, "log.db"), 0o400); err != nil {
			t.Fatal(err)
		}
		refusedInUse(t, dir, "permission denied")
	})
	t.Run("row 110: read-only file system", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Skip("mounting needs root")
		}
		stored, _ := storedLog(t, "1")
		dir := t.TempDir()
		mount := func(args ...string) {
			if out, err := exec.Command("mount",
				append(args, dir)...).CombinedOutput(); err != nil {
				t.Skipf("mount: %v: %s", err, out)
			}
		}
		mount("--bind", stored)
		t.Cleanup(func() {
			if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
				t.Errorf("umount: %v: %s", err, out)
			}
		})
		mount("-o", "remount,bind,ro")
		refusedInUse(t, dir, "read-only file system")
	})
}

// refusedInUse checks that serve does not start on a directory that it may not write.
func refusedInUse(t *testing.T, dir, want string) {
	t.Helper()
	got := configRow{args: "--data-dir " + dir}.stopped(t).ended(t, exitInUse)
	if !strings.Contains(got.stderr, want) || !strings.Contains(got.stderr, dir) ||
		got.stdout != "" {
		t.Errorf("stdout %q, stderr %q, want %q", got.stdout, got.stderr, want)
	}
}
