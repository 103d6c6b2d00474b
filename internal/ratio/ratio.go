// Package ratio compares two measurements of one run. On a shared machine a single time means little, but the ratio of
// two measured alternately means a lot.
package ratio

import (
	"slices"
	"testing"
)

// Median measures a and b alternately, A B A B …, after one of each to warm up, and returns the median of a/b over the
// pairs. It logs it with the quartiles.
func Median(t testing.TB, pairs int, a, b func() float64) float64 {
	t.Helper()
	a()
	b()
	ratios := make([]float64, pairs)
	for i := range ratios {
		ratios[i] = a() / b()
	}
	slices.Sort(ratios)
	t.Logf("ratio %.2f (the middle half of %d pairs: %.2f to %.2f)", ratios[pairs/2], pairs,
		ratios[pairs/4], ratios[pairs*3/4])
	return ratios[pairs/2]
}
