package retention_test

import (
	"strings"
	"testing"

	"tidings/internal/retention"
)

func TestValidate(t *testing.T) {
	limit := func(pattern string, max uint64) retention.Limit[uint64] {
		return retention.Limit[uint64]{Pattern: pattern, Max: max}
	}
	for _, c := range []struct {
		name   string
		policy retention.Policy
		want   string // "" is no error
	}{
		{"nothing", retention.Policy{}, ""},
		{"one of each", retention.Policy{Events: []retention.Limit[uint64]{limit("", 1),
			limit(">", 1), limit("a.*", 2)}, Bytes: []retention.Limit[uint64]{limit("", 1)}}, ""},
		{"no limit", retention.Policy{Events: []retention.Limit[uint64]{limit("a", 0)}}, "above 0"},
		{"bad pattern", retention.Policy{Bytes: []retention.Limit[uint64]{limit("a..b", 1)}},
			`pattern "a..b"`},
		{"twice", retention.Policy{Bytes: []retention.Limit[uint64]{limit("a.b", 1), limit("b", 1),
			limit("a.b", 2)}}, "a.b has two limits, 1 and 2"},
		{"whole log twice", retention.Policy{Bytes: []retention.Limit[uint64]{limit("", 1),
			limit("", 2)}}, "the whole log has two limits"},
	} {
		err := c.policy.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
