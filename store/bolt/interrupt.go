package bolt

import "context"

// interruptible returns the result of work, or why ctx ended, whichever comes first. bbolt cannot be stopped,
// so interrupted work continues and is left behind, with everything it holds: it must touch only what it
// alone was given, and the process is expected to end.
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
