package store_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tidings/store"
)

func mustFilter(t interface{ Fatal(...any) }, patterns ...string) store.Filter {
	f, err := store.NewFilter(patterns...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		granted, asked string
		want           bool
	}{
		{"orders", "orders", true},
		{"orders", "orders2", false},
		{"a", "ab", false},
		{"orders.>", "orders", false},
		{"orders.>", "orders.eu", true},
		{"orders.>", "orders.*", true},
		{"orders.>", "orders.>", true},
		{"orders.>", "orders.eu.>", true},
		{"orders.*", "orders.eu", true},
		{"orders.*", "orders.*", true},
		{"orders.*", "orders.>", false},
		{"orders.*", "orders.eu.created", false},
		{"orders.eu", "orders.*", false},
		{"*", ">", false},
		{">", ">", true},
		{">", "*.a", true},
		{"*.a", ">", false},
		{"*.*", "a.>", false},
		{"orders tickets", "orders", true},
		{"orders tickets", "orders tickets", true},
		{"orders", "orders tickets", false},
		{"a.b a.c", "a.*", false},
		{">", "$r.a", false},
		{">", "$r.>", false},
		{"*.>", "$r.a", false},
		{"$r.>", "$r.a", true},
		{"$r.>", "$r.>", true},
		{"$r.>", "$q.a", false},
		{"$r.>", "a", false},
	} {
		granted, asked := mustFilter(t, strings.Fields(c.granted)...),
			mustFilter(t, strings.Fields(c.asked)...)
		if got := granted.Covers(asked); got != c.want {
			t.Errorf("%q covers %q: %v, want %v", c.granted, c.asked, got, c.want)
		}
	}
	if (store.Filter{}).Covers(store.All()) {
		t.Error("a filter of nothing covers everything")
	}
}

// TestCoversMeansMatches: a filter matches every topic that a filter it covers matches.
func TestCoversMeansMatches(t *testing.T) {
	segment := rapid.SampledFrom([]string{"a", "b", "*", ">"})
	pattern := rapid.Custom(func(t *rapid.T) string {
		segments := rapid.SliceOfN(segment, 1, 4).Draw(t, "segments")
		for i, s := range segments {
			if s == ">" && i < len(segments)-1 {
				segments[i] = "*"
			}
		}
		if len(segments) > 1 && rapid.Bool().Draw(t, "reserved") {
			segments[0] = "$r"
		}
		return strings.Join(segments, ".")
	})
	topic := rapid.Custom(func(t *rapid.T) string {
		return rapid.SampledFrom([]string{"", "$r."}).Draw(t, "reserved") + strings.Join(
			rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 1, 4).Draw(t, "topic"), ".")
	})
	rapid.Check(t, func(t *rapid.T) {
		granted := mustFilter(t, rapid.SliceOfN(pattern, 1, 3).Draw(t, "granted")...)
		asked := mustFilter(t, rapid.SliceOfN(pattern, 1, 2).Draw(t, "asked")...)
		name := topic.Draw(t, "name")
		if granted.Covers(asked) && asked.Match(name) && !granted.Match(name) {
			t.Fatalf("%q covers %q, but only the latter matches %q", granted, asked, name)
		}
	})
}

// TestReserved: which names are reserved topics and patterns, and what they are about.
func TestReserved(t *testing.T) {
	for name, ok := range map[string]bool{"$a.b": true, "$a.b.c": true, "$a": false, "$": false, "$.a": false,
		"$$a.b": false, "$a.$b": false, "a.$b": false, "a$.b": false, "$*.a": false,
		"$a" + strings.Repeat(".b", 15): true, "$a" + strings.Repeat(".b", 16): false} {
		if err := store.ValidateTopic(name); (err == nil) != ok {
			t.Errorf("the topic %s: %v", name, err)
		}
		if _, err := store.NewFilter(name); (err == nil) != ok {
			t.Errorf("the pattern %s: %v", name, err)
		}
	}
	for name, want := range map[string]string{"$a.b.c": "b.c", "a.b": "a.b", "a": "a"} {
		if got := store.About(name); got != want {
			t.Errorf("%s is about %s, want %s", name, got, want)
		}
	}
	if got := mustFilter(t, "$a.b.>", "c", "b.>", "$x.*").About().String(); got != "* b.> c" {
		t.Errorf("about %s", got)
	}
	everything := store.Everything()
	if !everything.Covers(mustFilter(t, "$a.>", ">")) || everything.About().String() != ">" ||
		!everything.Match("$a.b") || !everything.Match("a") || !everything.IsEverything() ||
		store.All().IsEverything() {
		t.Error("everything is not everything")
	}
	with := mustFilter(t, "orders", "b.*", "$a.x").WithReserved()
	for topic, want := range map[string]bool{"orders": true, "$a.orders": true, "$z.b.c": true, "$a.x": true,
		"tickets": false, "$a.tickets": false, "$a.b": false, "$z.x": false} {
		if with.Match(topic) != want {
			t.Errorf("with what is reserved it matches %s: %t", topic, !want)
		}
	}
	if names, exact := with.Topics(); exact {
		t.Errorf("it is these topics only: %q", names)
	}
}
