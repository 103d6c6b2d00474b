// Package duration reads durations as people write them to flags and queries.
package duration

import (
	"strconv"
	"strings"
	"time"
)

// Parse is time.ParseDuration, and understands "d" for days of 24 hours, which come first: 30d or
// 1d12h. Days have no sign and no fraction.
func Parse(s string) (time.Duration, error) {
	days, rest, ok := strings.Cut(s, "d")
	if !ok {
		return time.ParseDuration(s)
	}
	n, err := strconv.ParseUint(days, 10, 16) // 65,535 days: a Duration holds 106,751
	if err != nil {
		return 0, err
	}
	d := time.Duration(n) * 24 * time.Hour
	if rest == "" {
		return d, nil
	}
	more, err := time.ParseDuration(rest)
	return d + more, err
}
