//go:build bench

package bolt_test

import (
	"testing"

	"tidings/internal/ratio"
	"tidings/store/bolt"
)

// TestRatioOpen: after a clean close an open takes a small part of the time of one that checks everything,
// and does not grow with the log.
func TestRatioOpen(t *testing.T) {
	const pairs = 5
	small, large := t.TempDir(), t.TempDir()
	for dir, events := range map[string]int{small: 200_000, large: 1_000_000} {
		log := openAt(t, dir, bolt.Options{})
		fill(t, log, 1000, events)
		closeLog(t, log)
	}
	open := func(dir string, all bool) func() float64 {
		return func() float64 {
			log := openAt(t, dir, bolt.Options{CheckAll: all})
			took := log.Stats().Opening
			closeLog(t, log)
			return took.Seconds()
		}
	}
	clean := open(large, false)
	if got := ratio.Median(t, pairs, clean, open(large, true)); got > 0.2 {
		t.Errorf("an open after a clean close takes %.2f of one that checks everything, want at most 0.2",
			got)
	}
	if got := ratio.Median(t, 5*pairs, clean, open(small, false)); got > 3 {
		t.Errorf("an open of 1,000,000 events takes %.2f times that of 200,000, want at most 3", got)
	}
}
