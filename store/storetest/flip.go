package storetest

import (
	"bytes"
	"os"
	"testing"
)

// Flip flips a bit of the text at every occurrence in the file: pages are copied on write, and the old
// copies have it too.
func Flip(t testing.TB, path, text string) {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.ReplaceAll(file, []byte(text), append([]byte{text[0] ^ 1}, text[1:]...))
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i := range file {
		if file[i] != flipped[i] {
			n++
			if _, err := f.WriteAt(flipped[i:i+1], int64(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if n == 0 {
		t.Fatalf("%q is not in the file", text)
	}
}
