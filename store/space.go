package store

import (
	"fmt"
	"log/slog"
)

// space says whether there is room for an append, before a commit would find out: with a full disk
// trimming, which makes room, is what no longer works. It belongs to the committer.
type space struct {
	dir     string
	minFree func(total uint64) uint64
	disk    func(dir string) (free, total uint64, err error)
	log     *slog.Logger
	low     error // what an append is told
	unknown bool  // the disk does not say, and that has been logged

	// spare is how many bytes of records were trimmed and not stored again since; for the time before Open
	// the free pages tell, about. The file keeps the pages of what is trimmed, so the disk does not get emptier
	// by it; but that much fits without taking from the disk, however low it is.
	spare uint64
}

// room returns nil when an append may go ahead, else an ErrNoSpace. It asks the disk each time, which costs little
// beside a commit: a fast publisher fills a small disk in less than a second.
func (s *space) room() error {
	if s.minFree == nil {
		return nil
	}
	s.check()
	if s.spare > 0 {
		return nil
	}
	return s.low
}

func (s *space) check() {
	free, total, err := s.disk(s.dir)
	if err != nil {
		if !s.unknown {
			s.log.Warn("free disk space is not known; publishing goes on until the disk is full", "error", err)
		}
		s.low, s.unknown = nil, true // the commit will tell
		return
	}
	s.unknown = false
	floor := s.minFree(total)
	switch low := free < floor; {
	case low && s.low == nil:
		s.low = fmt.Errorf("%w: the disk has less than %d bytes free, which are kept for trimming", ErrNoSpace, floor)
		s.log.Warn("disk is nearly full; publishing stops until there is room", "free", free, "min_free", floor)
	case !low && s.low != nil:
		s.low = nil
		s.log.Info("disk has room again", "free", free, "min_free", floor)
	}
}

// turnover is how much of the file's free pages is on the way round from one commit to the next.
const turnover = 64 << 10

// opened sets spare from the bytes of the file's free pages, with an allowance for what pages take beyond records.
func (s *space) opened(free uint64) { s.spare = less(free, turnover) / 4 * 3 }

// stored and trimmed keep count of spare, in bytes of records.
func (s *space) stored(n uint64)  { s.spare = less(s.spare, n) }
func (s *space) trimmed(n uint64) { s.spare += n }
