package bolt_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidings/store/bolt"
)

// TestPurgeUnfinished: a mirror that has a part of a state is no log to whoever has no sequence, or puts one back.
func TestPurgeUnfinished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sequence, logs, _ := members(t, 1)
		random := rand.New(rand.NewPCG(1, 1))
		for range 200 {
			busy(t, logs[0], random)
		}
		retain(t, logs[0], 4)
		dir := t.TempDir()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := bolt.Open(dir, bolt.Options{Sequencer: &halting{sequence.Seat(), 2}, Context: ctx})
		cancel()
		if err == nil {
			t.Fatal("the state was loaded")
		}
		for name, take := range map[string]func() error{
			"open alone": func() error {
				log, err := bolt.Open(dir, bolt.Options{Alone: true})
				if err == nil {
					closeLog(t, log)
				}
				return err
			},
			"put back": func() error {
				_, err := bolt.PutBack(t.Context(), dir, bolt.Options{Sequencer: sequence.Seat()})
				return err
			},
			"verify": func() error {
				report, err := bolt.Verify(t.Context(), dir, nil)
				return errors.Join(err, errors.New(strings.Join(report.Problems, "; ")))
			},
			"detach": func() error { _, err := bolt.Detach(dir); return err },
		} {
			if err := take(); err == nil || !strings.Contains(err.Error(), "not finished") {
				t.Errorf("%s: %v, want that the mirror was not finished", name, err)
			}
		}
		log := openMirror(t, dir, tight, sequence.Seat())
		alike(t, "then", logs[0], log)
		closeLog(t, log)
	})
}
