package bolt

import "context"

// interruptible returns what work returns, or why ctx ended, as soon as that happens. For bbolt
// cannot be told to stop, work that is interrupted goes on and is left behind, with all that it
// holds: it must touch nothing but what it was given alone, and the process is expected to end.
func interruptible(ctx context.Context, work func() error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	done := make(chan error, 1)
	go func() { done <- work() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
