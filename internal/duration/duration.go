// Package duration reads durations as people write them in flags and queries.
package duration

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// maxDays is below the 106,751 days that a Duration can hold.
const maxDays = 100_000

var minutes = regexp.MustCompile(`min([0-9]|$)`)

// Parse is time.ParseDuration, plus "w" for weeks and "d" for days of 24 hours, which come first, in this order, and
// "min" for minutes: 2w, 30d, 1w1d12h or 15min. Weeks and days have no sign and no fraction.
func Parse(s string) (time.Duration, error) {
	days, rest := 0, s
	for _, unit := range []struct {
		name string
		days int
	}{{"w", 7}, {"d", 1}} {
		count, after, ok := strings.Cut(rest, unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(count, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("%q is no duration such as 15m, 12h, 30d or 2w", s)
		}
		days, rest = days+int(n)*unit.days, after
	}
	if days > maxDays {
		return 0, fmt.Errorf("%q is more than %d days", s, maxDays)
	}
	d := time.Duration(days) * 24 * time.Hour
	if rest == "" && rest != s {
		return d, nil
	}
	more, err := time.ParseDuration(minutes.ReplaceAllString(rest, "m$1"))
	if err != nil || rest != s && more < 0 || d+more < d && more > 0 {
		return 0, fmt.Errorf("%q is no duration such as 15m, 12h, 30d or 2w", s)
	}
	return d + more, nil
}
