package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"time"
)

const (
	// outputQueue is how many log lines may wait to be written.
	outputQueue = 1024
	// outputGrace is how long a write may still take once the process is to end.
	outputGrace = time.Second
)

// errNotTaken is the error of a write that the reader of standard output or error did not accept.
var errNotTaken = errors.New("the reader of the output is gone")

// output is standard output or error. One goroutine writes to it, so that nothing else blocks on the reader, a
// pager or a log collector: a pending write is abandoned when the process is to end, and nothing waits for a log
// line. All methods may be called concurrently.
type output struct {
	to      io.Writer
	queue   chan message
	ending  context.Context // when the process is to end; then a write has outputGrace left
	hurry   context.CancelFunc
	closing chan struct{}
	stopped chan struct{}
	lost    atomic.Uint64 // log lines, ever
	told    uint64        // how many of them have been reported; owned by the goroutine
}

type message struct {
	text    []byte
	written chan<- error // nil: a log line, which nobody waits for
}

// newOutput starts the goroutine; close stops it. ctx ends when the process is to end.
func newOutput(ctx context.Context, to io.Writer) *output {
	o := &output{to: to, queue: make(chan message, outputQueue), closing: make(chan struct{}),
		stopped: make(chan struct{})}
	o.ending, o.hurry = context.WithCancel(ctx)
	go o.run()
	return o
}

// Write waits until the text is written, or until outputGrace after the process is to end.
func (o *output) Write(text []byte) (int, error) {
	written := make(chan error, 1)
	m := message{bytes.Clone(text), written} // once abandoned, text belongs to the caller again
	select {
	case o.queue <- m:
	case <-o.ending.Done():
		select {
		case o.queue <- m:
		case <-time.After(outputGrace):
			return 0, errNotTaken
		}
	}
	var err error
	select {
	case err = <-written:
	case <-o.ending.Done():
		select {
		case err = <-written:
		case <-time.After(outputGrace):
			err = errNotTaken
		}
	}
	if err != nil {
		return 0, err
	}
	return len(text), nil
}

// linesOf returns a writer of whole lines that never waits, if w is an output: a line that finds no room is lost,
// and a later line reports how many were.
func linesOf(w io.Writer) io.Writer {
	if o, ok := w.(*output); ok {
		return lineWriter{o}
	}
	return w
}

type lineWriter struct{ *output }

func (l lineWriter) Write(line []byte) (int, error) {
	select {
	case l.queue <- message{text: escapeControls(line)}:
	default:
		l.lost.Add(1)
	}
	return len(line), nil
}

func (o *output) run() {
	defer close(o.stopped)
	for {
		select {
		case m := <-o.queue:
			o.write(m)
		case <-o.closing:
			for {
				select {
				case m := <-o.queue:
					o.write(m)
				default:
					return
				}
			}
		}
	}
}

func (o *output) write(m message) {
	_, err := o.to.Write(m.text)
	if m.written != nil {
		m.written <- err
		return
	}
	if err != nil {
		o.lost.Add(1)
	} else if lost := o.lost.Load(); lost > o.told {
		newLogger(o.to, isTerminal(o.to), slog.LevelInfo).Warn(
			"log lines lost: nobody read them in time", "lines", lost-o.told)
		o.told = lost
	}
}

// close waits until everything is written, for at most outputGrace.
func (o *output) close() {
	o.hurry()
	close(o.closing)
	select {
	case <-o.stopped:
	case <-time.After(outputGrace):
	}
}
