package load

import "testing"

// TestSequence: a reader's events are compared with the published ones.
func TestSequence(t *testing.T) {
	for name, c := range map[string]struct {
		got                             []int
		published                       int
		missing, duplicates, outOfOrder int
	}{
		"all":                    {[]int{0, 1, 2}, 3, 0, 0, 0},
		"nothing":                {nil, 3, 3, 0, 0},
		"the end is missing":     {[]int{0, 1}, 3, 1, 0, 0},
		"the start is missing":   {[]int{2}, 3, 2, 0, 0},
		"one in the middle":      {[]int{0, 2}, 3, 1, 0, 0},
		"one twice":              {[]int{0, 1, 1, 2}, 3, 0, 1, 0},
		"one twice, later":       {[]int{0, 1, 2, 0}, 3, 0, 1, 0},
		"two in the wrong order": {[]int{1, 0, 2}, 3, 0, 0, 1},
		"late, and twice":        {[]int{1, 0, 0, 2}, 3, 0, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var s sequence
			s.take([]byte(`{"topic":"what the benchmark did not publish"}`))
			for _, seq := range c.got {
				s.take(appendData(nil, 0, seq, 100))
			}
			s.end([]int{c.published})
			if s.missing != c.missing || s.duplicates != c.duplicates || s.outOfOrder != c.outOfOrder {
				t.Errorf("%d missing, %d doubled, %d out of order", s.missing, s.duplicates, s.outOfOrder)
			}
			if want := c.published - c.missing; s.count() != want {
				t.Errorf("%d events, want %d", s.count(), want)
			}
		})
	}
}

// TestAppendData: the data of an event has the requested size, from the smallest on.
func TestAppendData(t *testing.T) {
	for _, size := range []int{100, 200, 10_000} {
		if got := appendData(nil, 1, 2, size); len(got) != size {
			t.Errorf("%d bytes, want %d: %s", len(got), size, got)
		}
	}
}
