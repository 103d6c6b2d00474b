package bolt

import "errors"

// Errors with which Open, and the verbs on a closed log, refuse a data directory; its log is left untouched.
var (
	// ErrOtherLog: the sequence belongs to another log than the mirror.
	ErrOtherLog = errors.New("it is of another log")

	// ErrLocked: another process holds the data directory.
	ErrLocked = errors.New("data directory is in use")

	// ErrUnsafe: another user could replace files in the data directory.
	ErrUnsafe = errors.New("data directory is not safe")

	// ErrExists: the data directory has a log, which must not be replaced, or the log has events, and others
	// cannot be put before them.
	ErrExists = errors.New("there already is a log")

	// ErrNoLog: the data directory has no log.
	ErrNoLog = errors.New("there is no log")

	// ErrMirror: the log is a mirror of a sequence that it was not opened with.
	ErrMirror = errors.New("the log is a mirror")

	// ErrDamaged: the file exists but is not an intact log.
	ErrDamaged = errors.New("log file is damaged or not a log")

	// ErrNewerFormat: the log was written by a newer release.
	ErrNewerFormat = errors.New("log file has a newer format")
)
