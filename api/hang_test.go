package api_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"tidings/api"
	"tidings/store"
)

// hung is a log whose disk hangs: its first commit does not end, and nothing gets past it.
type hung struct {
	store.Log
	taken bool
}

func (h *hung) Ready() error { return fmt.Errorf("%w: for 9s", store.ErrDiskHangs) }

func (h *hung) AppendOnce(context.Context, []store.Group) ([]store.Result, error) {
	if !h.taken {
		h.taken = true
		return nil, fmt.Errorf("%w: not yet", store.ErrOutcomeUnknown)
	}
	return nil, store.ErrQueueFull
}

func (h *hung) Info() (store.Info, error) { return store.Info{}, errors.New("asked the disk") }

func TestErrorsHang(t *testing.T) {
	t.Run("row 120: a disk that does not end a commit", func(t *testing.T) {
		s := newServer(t, &hung{Log: newLog(t)}, 0, api.Options{DiskFree: func() (uint64, error) {
			return 0, errors.New("asked the disk")
		}})
		for _, want := range []struct{ method, path, code, outcome string }{
			{"POST", "/v1/topics/a/events", "outcome-pending", "unknown"},
			{"POST", "/v1/topics/a/events", "queue-full", "not_stored"},
			{"GET", "/readyz", "disk-hangs", ""},
		} {
			if p := s.do(want.method, want.path, "1").problem(t); p.Code != want.code ||
				p.Outcome != want.outcome {
				t.Errorf("%s %s: %+v, want %s", want.method, want.path, p, want.code)
			}
		}
		wantSamples(t, s.metrics(), map[string]string{"tidings_ready": "0",
			"tidings_commit_age_seconds": "0"})
	})
}
