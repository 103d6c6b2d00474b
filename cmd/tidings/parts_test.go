package main

import (
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"

	"tidings/api"
)

// TestSitGivesUp: a server that is to send and cannot begin leaves it to another one.
func TestSitGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		sit(t.Context(), nil, slog.New(slog.DiscardHandler), func() (api.Desk, error) {
			tries++
			return api.Desk{}, errors.New("cannot read the log")
		})
		if tries != deskTries {
			t.Errorf("it has tried %d times, want %d", tries, deskTries)
		}
	})
}
