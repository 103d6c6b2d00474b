package main

import (
	"context"
	"io"
	"os"
)

// open opens a file that is read once, from start to end; - is standard input.
func (a *app) open(ctx context.Context, name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(untilDone(ctx, a.stdin)), nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() {
		return os.Open(name)
	}
	return io.NopCloser(untilDone(ctx, &named{name: name})), nil
}

// named opens a pipe or a device on the first read, because opening may wait for a writer.
type named struct {
	name string
	file *os.File
}

func (n *named) Read(p []byte) (int, error) {
	if n.file == nil {
		file, err := os.Open(n.name)
		if err != nil {
			return 0, err
		}
		n.file = file
	}
	return n.file.Read(p)
}

// untilDone makes reads from a terminal or a pipe, which nothing else interrupts, end with ctx. The pending read is
// left behind: the process is about to exit.
func untilDone(ctx context.Context, r io.Reader) io.Reader {
	pr, pw := io.Pipe()
	context.AfterFunc(ctx, func() { pw.CloseWithError(context.Cause(ctx)) })
	go func() {
		_, err := io.Copy(pw, r)
		pw.CloseWithError(err)
	}()
	return pr
}
