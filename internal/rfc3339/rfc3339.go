// Package rfc3339 reads times as RFC 3339 §5.6 defines them. Go's own parser accepts only part of that: it refuses
// lower-case letters and leap seconds, and allows a comma before the fraction.
package rfc3339

import (
	"errors"
	"regexp"
	"strings"
	"time"
)

// ErrSyntax is Parse's error.
var ErrSyntax = errors.New("expected an RFC 3339 time such as 2026-03-01T09:30:00Z, or with +01:00 " +
	"(%2B01:00 in a URL) instead of Z")

var form = regexp.MustCompile(
	`^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)$`)

// Parse reads a date and time. A leap second, which Go's clock does not have, is the second after it.
func Parse(s string) (time.Time, error) {
	if len(s) > len("2026-03-01T09:30:00") && s[13] == ':' && s[19] != ',' { // the hour has two digits
		if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
			return t, nil
		}
	}
	return parse(s)
}

// parse also reads what Go does not.
func parse(s string) (time.Time, error) {
	part := form.FindStringSubmatch(s)
	if part == nil {
		return time.Time{}, ErrSyntax
	}
	day, minute, second, fraction, zone := part[1], part[2], part[3], part[4], part[5]
	leap := second == "60"
	if leap {
		second, fraction = "59", ""
	}
	t, err := time.Parse(time.RFC3339Nano,
		day+"T"+minute+":"+second+fraction+strings.ToUpper(zone))
	if err != nil {
		return time.Time{}, ErrSyntax
	}
	if leap {
		t = t.Add(time.Second)
	}
	return t, nil
}
