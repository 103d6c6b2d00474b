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

	// MustExist has Open answer ErrNoLog where there is no log, and make nothing.
	MustExist bool

	// CheckAll has Open check the whole file also after a clean close, for who reads all of it once.
	CheckAll bool

	// MaxTopics bounds the topics that have events, and those ever appended to at twice as many. Each
	// costs about 125 bytes on disk and 400 to 800 in memory, for ever, because its record holds what was
	// trimmed.
	MaxTopics int // default store.DefaultMaxTopics

	// Idempotency keys are remembered for KeyWindow, but at most MaxKeys of them: beyond that the
	// oldest of whoever has most are forgotten. Each costs about 75 bytes on disk and in memory.
	KeyWindow time.Duration // default store.DefaultKeyWindow
	MaxKeys   int           // default store.DefaultMaxKeys

	// MaxMarks bounds the read marks. Each costs about 100 bytes on disk.
	MaxMarks int // default store.DefaultMaxMarks

	// QueueTimeout is how long what is to be stored waits for a commit to take it, when its context has no
	// deadline. It is ErrQueueFull then.
	QueueTimeout time.Duration // default 25 s

	// MinFree returns how many bytes of a disk of this size stay free. Below that an append is
	// ErrNoSpace, except into space that trims have freed. It is asked before each commit; nil:
	// there is no floor.
	MinFree func(total uint64) uint64
	Disk    func(dir string) (free, total uint64, err error) // default DiskSpace

	// Sequencer says whose commit comes next, and the log is a mirror of its sequence; nil: this
	// process alone. Open then brings the log up to date, makes one where there is none, and sets a
	// damaged one aside; more errors of Open: store.ErrUnavailable, and store.ErrDiverged when the
	// file has followed another sequence. Context ends that; nil: nothing does.
	Sequencer store.Sequencer
	Context   context.Context

	// SequencerTimeout is how long a commit tries to get a place before those who ask for it are told
	// that it has none, or that it is not known whether it has one.
	SequencerTimeout time.Duration // default 10 s

	// SequenceSlack is how many bytes the sequence may take beyond twice what the log retains. Above that Retain
	// purges it.
	SequenceSlack uint64 // default 64 MiB

	// Alone opens a mirror without its sequencer. It can be read and copied, and takes no writes:
	// ErrMirror.
	Alone bool

	logID   store.ID // of the sequence
	rebuilt bool     // a damaged mirror was set aside

	// plant, unless it is nil, is called when the log has come to the end of its sequence, before the committer runs.
	plant func(*committer) error

	between   between // see committer; tests set these
	committed func()
}

// mapBytes is the address space reserved for the file. bbolt must wait for every reader before it can
// enlarge the map, so it is made large once; untouched address space costs nothing.
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
