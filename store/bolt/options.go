package bolt

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"tidings/store"
)

// Options configures Open. The zero value holds the defaults.
type Options struct {
	// Now is the time of new events, and Past the time that lies an age back, for idempotency keys.
	Now    func() time.Time                  // default time.Now
	Past   func(age time.Duration) time.Time // default Now less the age
	Logger *slog.Logger                      // default: discard

	// MustExist makes Open return ErrNoLog if there is no log, and create nothing.
	MustExist bool

	// CheckAll makes Open check the whole file even after a clean close, for callers that read all of it
	// once.
	CheckAll bool

	// MaxTopics bounds the topics that have events; at most twice as many are kept in all. Each costs about
	// 125 bytes on disk and 400 to 800 in memory, permanently, because its record holds what was trimmed.
	MaxTopics int // default store.DefaultMaxTopics

	// Idempotency keys are remembered for KeyWindow, but at most MaxKeys of them: beyond that the oldest keys
	// of the owner with the most are forgotten. Each costs about 75 bytes on disk and in memory.
	KeyWindow time.Duration // default store.DefaultKeyWindow
	MaxKeys   int           // default store.DefaultMaxKeys

	// MaxMarks bounds the read marks. Each costs about 100 bytes on disk.
	MaxMarks int // default store.DefaultMaxMarks

	// QueueTimeout is how long a write waits for a commit to take it if its context has no deadline. After
	// that it fails with ErrQueueFull.
	QueueTimeout time.Duration // default 25 s

	// MinFree returns how many bytes of a disk of the given size stay free. Below that an append fails with
	// ErrNoSpace, except into space that trims have freed. It is called before each commit; nil means no
	// floor.
	MinFree func(total uint64) uint64
	Disk    func(dir string) (free, total uint64, err error) // default DiskSpace

	// Sequencer, if set, decides whose commit comes next, and the log is a mirror of its sequence; nil means
	// this process alone. Open then brings the log up to date, creates one if there is none, and sets a
	// damaged one aside. It may also return store.ErrUnavailable, and store.ErrDiverged if the file has
	// followed another sequence. Context ends that; nil means that nothing does.
	Sequencer store.Sequencer
	Context   context.Context

	// SequencerTimeout is how long a commit tries to get a place before its waiters learn that it has none,
	// or that this is unknown.
	SequencerTimeout time.Duration // default 10 s

	// SequenceSlack is how many bytes the sequence may use beyond twice what the log retains. Above that
	// Retain purges it.
	SequenceSlack uint64 // default 64 MiB

	// Alone opens a mirror without its sequencer. It can be read and copied, and writes fail with ErrMirror.
	Alone bool

	logID   store.ID // of the sequence
	rebuilt bool     // a damaged mirror was set aside

	// plant, unless nil, is called when the log has reached the end of its sequence, before the committer
	// runs.
	plant func(*committer) error

	between   between // see committer; tests set these
	committed func()
}

// mapBytes is the address space reserved for the file. bbolt must wait for every reader before it can enlarge
// the map, so it is large from the start; untouched address space costs nothing.
const mapBytes = 64 << 30

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Disk == nil {
		o.Disk = DiskSpace
	}
	if o.Context == nil {
		o.Context = context.Background()
	}
	o.SequencerTimeout = cmp.Or(o.SequencerTimeout, 10*time.Second)
	o.SequenceSlack = cmp.Or(o.SequenceSlack, 64<<20)
	o.MaxTopics = cmp.Or(o.MaxTopics, store.DefaultMaxTopics)
	o.KeyWindow = cmp.Or(o.KeyWindow, store.DefaultKeyWindow)
	o.MaxKeys = cmp.Or(o.MaxKeys, store.DefaultMaxKeys)
	o.QueueTimeout = cmp.Or(o.QueueTimeout, patience)
	o.MaxMarks = cmp.Or(o.MaxMarks, store.DefaultMaxMarks)
	return o
}
