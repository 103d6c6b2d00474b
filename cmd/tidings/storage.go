package main

import (
	"fmt"
	"time"
)

// storageFlags say where the log is, how much of the disk it leaves free, and which retries it
// recognizes.
type storageFlags struct {
	DataDir           string        `default:"./tidings-data" help:"Directory of the log; made if missing." type:"path"`
	RequireLog        bool          `help:"Refuse to start where there is no log, instead of making one: for a disk that may not be mounted yet."`
	MinFree           minFree       `default:"5%" help:"Free space of the disk below which publishes are refused, for trimming to go on: a size, or a share of the disk, which counts for 1GiB at most; 0 for none."`
	IdempotencyWindow time.Duration `default:"24h" help:"How long idempotency keys are remembered."`
	IdempotencyMax    int           `default:"1000000" help:"How many idempotency keys are remembered; beyond that the oldest of the subject with most of them are forgotten."`
}

func (s *storageFlags) validate() error {
	if s.IdempotencyMax < 1 {
		return fmt.Errorf("--idempotency-max: expected 1 or more, got %d", s.IdempotencyMax)
	}
	return positive("idempotency-window", s.IdempotencyWindow)
}
