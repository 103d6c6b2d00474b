package main

import (
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// outlive makes the process outlive the reader of its log, and the terminal it was started from, until stop is
// called.
func outlive(logger *slog.Logger) (stop func()) {
	// Then a write to a pipe without a reader fails like any other write; otherwise, on standard output and error,
	// it would end the process (package os/signal, SIGPIPE).
	signal.Ignore(syscall.SIGPIPE)
	hangups, stopping := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		for {
			select {
			case <-hangups:
				logger.Info("SIGHUP is ignored: certificates and key files are reloaded " +
					"automatically, flags only at start")
			case <-stopping:
				return
			}
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(stopping)
	}
}
