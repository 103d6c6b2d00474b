package rfc3339_test

import (
	"errors"
	"testing"
	"time"

	"tidings/internal/rfc3339"
)

func TestParse(t *testing.T) {
	at := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2026-03-01T09:30:00Z":        at,
		"2026-03-01t09:30:00z":        at,
		"2026-03-01 09:30:00Z":        at,
		"2026-03-01T10:30:00+01:00":   at,
		"2026-03-01T04:00:00-05:30":   at,
		"2026-03-01T09:30:00.5Z":      at.Add(time.Second / 2),
		"2026-03-01T09:30:00.123456Z": at.Add(123456 * time.Microsecond),
		"2026-03-01T09:29:60Z":        at,
		"2026-03-01T09:29:60.7Z":      at,
		"2026-02-29T09:30:00Z":        {},
		"2026-03-01T09:30:00,5Z":      {},
		"2026-03-01T09:30:61Z":        {},
		"2026-03-01T24:00:00Z":        {},
		"2026-03-01T09:30:00":         {},
		"2026-03-01T9:30:00Z":         {},
		"2026-03-01T09:30Z":           {},
		"2026-03-01":                  {},
		"2026-03-01T10:30:00 01:00":   {},
		"2026-03-01T10:30:00+0100":    {},
		"2026-03-01T10:30:00+25:00":   {},
		" 2026-03-01T09:30:00Z":       {},
		"2026-03-01T09:30:00Z\n":      {},
		"２０２６-03-01T09:30:00Z":        {},
		"":                            {},
	} {
		got, err := rfc3339.Parse(text)
		if !got.Equal(want) || (err != nil) != want.IsZero() ||
			err != nil && !errors.Is(err, rfc3339.ErrSyntax) {
			t.Errorf("%q is %v, error %v, want %v", text, got, err, want)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := rfc3339.Parse("2026-03-01T09:30:00.123Z"); err != nil {
			b.Fatal(err)
		}
	}
}
