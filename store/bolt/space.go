package bolt

import (
	"cmp"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"tidings/store"
)

// space says whether there is room for an append before a commit would find out: on a full disk trimming,
// which frees space, would no longer work. The committer keeps its books; anyone may ask.
type space struct {
	dir     string
	minFree func(total uint64) uint64
	disk    func(dir string) (free, total uint64, err error)
	logger  *slog.Logger
	now     func() time.Time

	mu      sync.Mutex
	low     error     // the error of an append
	unknown bool      // the disk does not report, and that has been logged
	full    time.Time // when a commit last found no space; zero once there was some again
	making  int       // trims in progress that began without room

	// spare is how many bytes of trimmed records are not yet reused, estimated at Open from the free pages.
	// Trimming gives nothing back to the disk, but that much can be stored without using more of it.
	spare uint64
}

// check returns nil if an append may proceed, else an ErrNoSpace. It asks the disk each time, which costs
// little compared with a commit: a fast publisher fills a small disk in less than a second.
func (s *space) check() error {
	s.mu.Lock()
	making := s.making > 0
	s.mu.Unlock()
	if making {
		return fmt.Errorf("%w: a trim is making room", store.ErrNoSpace)
	}
	if s.minFree == nil {
		return nil
	}
	free, total, err := s.disk(s.dir)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.look(free, total, err)
	if s.spare > 0 {
		return nil
	}
	return s.low
}

// isLow reports whether the last look found the disk below the floor: then only space freed by trims is used.
func (s *space) isLow() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.low != nil
}

// makesRoom is called before a trim deletes, and reports whether there is no room. Nothing is then appended
// until madeRoom: otherwise appends would take what one step of the trim has freed, and leave the next one
// only pieces that are too small for it.
func (s *space) makesRoom() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.low == nil && s.full.IsZero() {
		return false
	}
	s.making++
	return true
}

func (s *space) madeRoom() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.making--
}

// fullFor is how long Ready reports a commit that found no space, unless one finds some sooner. It is limited
// because a load balancer that asks lets nobody publish meanwhile, and only publishing finds out.
const fullFor = time.Minute

// Ready implements store.Log.
func (l *Log) Ready() error {
	if err := cmp.Or(l.failure(), l.closed(), l.hanging()); err != nil {
		return err
	}
	if l.mirror != nil {
		if err := l.mirror.ready(); err != nil {
			return err
		}
	}
	return cmp.Or(l.queue.refusal, l.space.ready())
}

// hangAfter is the age of a commit at which the disk counts as hanging.
const hangAfter = 5 * time.Second

// hanging returns ErrDiskHangs while a commit has been in progress for that long.
func (l *Log) hanging() error {
	if age := l.counters.committing(); age >= hangAfter {
		return fmt.Errorf("%w: a commit has not finished for %v; publishing resumes as soon as it does. "+
			"Check the disk and its connection; if it does not recover, kill the "+
			"server and start it where the disk responds", store.ErrDiskHangs, age.Round(time.Second))
	}
	return nil
}

// ready is check, and also remembers for a while that a commit found no space.
func (s *space) ready() error {
	if err := s.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if since := s.now().Sub(s.full); 0 <= since && since < fullFor {
		return fmt.Errorf("%w: a commit found the disk full", store.ErrNoSpace)
	}
	return nil
}

// look records what the disk reports. The caller holds mu.
func (s *space) look(free, total uint64, err error) {
	if err != nil {
		if !s.unknown {
			s.logger.Warn("cannot read free disk space; publishing continues until the disk is full",
				"error", err)
		}
		s.low, s.unknown = nil, true // the commit will find out
		return
	}
	s.unknown = false
	floor := s.minFree(total)
	switch low := free < floor; {
	case low && s.low == nil:
		s.low = fmt.Errorf("%w: the disk has less than the %d bytes free that are kept for trimming",
			store.ErrNoSpace, floor)
		s.logger.Warn("disk nearly full, refusing publishes until there is room", "free", free,
			"min_free", floor)
	case !low && s.low != nil:
		s.low = nil
		s.logger.Info("disk has room again", "free", free, "min_free", floor)
	}
}

// turnover is roughly what a commit needs in free pages: it writes new ones before it frees the old.
const turnover = 64 << 10

// opened sets spare from the bytes of the file's free pages, with an allowance for the overhead of pages.
func (s *space) opened(free uint64) { s.spare = saturatingSub(free, turnover) / 4 * 3 }

// stored and trimmed keep count of spare, in bytes of records.
func (s *space) stored(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spare, s.full = saturatingSub(s.spare, n), time.Time{}
}

func (s *space) trimmed(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spare, s.full = s.spare+n, time.Time{}
}

// missed records how many bytes of records found no room: that much of spare is in pieces too small for them.
// Each try searches all pages of the file, so there are only as many tries as would fill it.
func (s *space) missed(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spare = saturatingSub(s.spare, n)
}

// refused records that a commit found no space.
func (s *space) refused() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = s.now()
}

// saturatingSub is n - m, but not below 0.
func saturatingSub(n, m uint64) uint64 { return n - min(n, m) }
