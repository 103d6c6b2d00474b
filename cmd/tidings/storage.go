package main

import (
	"fmt"
	"time"
)

// storageFlags define where the log is, how much of the disk it leaves free, and which retries it recognizes.
type storageFlags struct {
	DataDir           string        `default:"./tidings-data" help:"Data directory, created if missing." type:"path"`
	RequireLog        bool          `help:"Refuse to start without an existing log instead of creating one, for disks that may not be mounted yet."`
	MinFree           minFree       `default:"5%" help:"Refuse publishes when less disk than this is free, so that trimming can continue: a size, or a percentage (capped at 1GiB). 0 disables."`
	IdempotencyWindow time.Duration `default:"24h" help:"How long to remember idempotency keys."`
	IdempotencyMax    int           `default:"1000000" help:"How many idempotency keys to remember. Beyond that, the subject with the most keys loses its oldest."`
}

func (s *storageFlags) validate() error {
	if s.IdempotencyMax < 1 {
		return fmt.Errorf("--idempotency-max: expected 1 or more, got %d", s.IdempotencyMax)
	}
	return positive("idempotency-window", s.IdempotencyWindow)
}
