package duration_test

import (
	"testing"
	"time"

	"tidings/internal/duration"
)

func TestParse(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"15m": 15 * time.Minute, "1h30m": 90 * time.Minute, "-5m": -5 * time.Minute, "0": 0,
		"1d": day, "30d": 30 * day, "0d": 0, "1d12h": 36 * time.Hour,
		"1d0.5h": day + 30*time.Minute, "65535d": 65535 * day,
		"1w": 7 * day, "2w": 14 * day, "1w1d12h": 8*day + 12*time.Hour, "15min": 15 * time.Minute,
		"1h15min30s": time.Hour + 15*time.Minute + 30*time.Second, "1d5min": day + 5*time.Minute,
	} {
		if got, err := duration.Parse(text); err != nil || got != want {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "5", "x", "-1d", "+1d", "1.5d", "1d2", "12h1d", "1d1d",
		"65536d", "1 d", "w", "-1w", "1d1w",
		"1.5w", "15000w", "5mins", "1w-5m", "65535d2000000h", "1mon", "P1D"} {
		if got, err := duration.Parse(text); err == nil {
			t.Errorf("%q: %v, want an error", text, got)
		}
	}
}
