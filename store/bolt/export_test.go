package bolt

import "tidings/store/internal/commit"

// Between returns o with f called with each commit that is decided before it is applied, on the
// committer's goroutine; f may apply commits that others have decided.
func Between(o Options, f func(decided *commit.Commit, apply func(*commit.Commit) error)) Options {
	o.between = f
	return o
}

// Committed returns o with f called, on the committer's goroutine, with each commit that is in the
// file and not shown to readers yet, as while its last fsync is under way.
func Committed(o Options, f func()) Options {
	o.committed = f
	return o
}
