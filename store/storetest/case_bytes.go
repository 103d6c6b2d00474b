package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tidings/store"
)

// bytesCases: published events are returned byte for byte, from a reader and by ID, before and after the
// log was closed.
func bytesCases() []Case {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	rows := []struct {
		name   string
		drafts []store.Draft
	}{
		{"empty data", []store.Draft{{Topic: "a"}, {Topic: "a", Data: []byte{}},
			{Topic: "b", Data: []byte("x")}, {Topic: "a"}}},
		{"NUL bytes", dataDrafts("\x00", "\x00\x00\x00", "a\x00b", "\x00a", "a\x00")},
		{"every byte", []store.Draft{{Topic: "a", Data: every}}},
		{"line ends and blanks", dataDrafts("\n", "\r\n", "\r", " ", "a\n\nb\n", "\ufeff{}", "\t")},
		{"text that is not UTF-8", dataDrafts("\xff\xfe", "a\xc3", "\xed\xa0\x80")},
		{"1 MiB", []store.Draft{{Topic: "a", Data: noise(1 << 20)},
			{Topic: "a", Data: []byte("after")}}},
		{"sizes around powers of two", sizeDrafts()},
		{"names of every length", nameDrafts()},
		{"types with any byte", []store.Draft{{Topic: "a", Type: "\x00"},
			{Topic: "a", Type: "order created\r\n"}, {Topic: "a", Type: "späte Ärgernisse"}}},
		{"content types", []store.Draft{{Topic: "a", ContentType: "text/plain; charset=\"utf-8\""},
			{Topic: "a"}, {Topic: "a", ContentType: " "}}},
		{"attributes keep their order", attributeDrafts()},
	}
	var cases []Case
	for _, row := range rows {
		cases = append(cases, Case{"bytes/" + row.name, func(t testing.TB, open Factory) {
			roundTrip(t, open, row.drafts)
		}})
	}
	return cases
}

func roundTrip(t testing.TB, open Factory, batch []store.Draft) {
	f := start(t, open, Options{})
	want := f.append(batch...)
	for range 2 {
		f.expect(store.All(), store.ID{}, want)
		for i, e := range want {
			got, err := f.Get(e.ID)
			if err != nil {
				t.Fatalf("get of event %d of %d: %v", i+1, len(want), err)
			}
			if d := difference([]store.Event{got}, want[i:i+1]); d != "" {
				t.Fatal(d)
			}
			if !got.Time().Equal(e.ID.Time()) {
				t.Fatalf("event %s has the time %s", e.ID, got.Time())
			}
		}
		f.reopen()
	}
}

func dataDrafts(data ...string) []store.Draft {
	var out []store.Draft
	for _, d := range data {
		out = append(out, store.Draft{Topic: "a", Data: []byte(d)})
	}
	return out
}

// noise returns n bytes that do not compress.
func noise(n int) []byte {
	random := rand.New(rand.NewPCG(1, uint64(n)))
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(random.Uint32())
	}
	return out
}

func sizeDrafts() []store.Draft {
	var out []store.Draft
	for bits := range 17 {
		for _, n := range []int{1<<bits - 1, 1 << bits, 1<<bits + 1} {
			out = append(out, store.Draft{Topic: "a", Data: noise(n)})
		}
	}
	return out
}

func nameDrafts() []store.Draft {
	var out []store.Draft
	for n := 1; n <= store.MaxNameBytes; n++ {
		name := strings.Repeat("n", n)
		out = append(out, store.Draft{Topic: name, Type: name, ContentType: name,
			Data:       []byte(name),
			Attributes: []store.Attribute{{Name: name, Value: name}}})
	}
	segments := strings.Repeat("s.", store.MaxSegments-1) + "s"
	return append(out, store.Draft{Topic: segments}, store.Draft{Topic: "A-Z_a-z.0-9"})
}

func attributeDrafts() []store.Draft {
	many := make([]store.Attribute, 300)
	for i := range many {
		many[i] = store.Attribute{Name: fmt.Sprintf("x%d", 300-i), Value: strings.Repeat("v", i)}
	}
	return []store.Draft{
		{Topic: "a", Attributes: attributes("specversion", "1.0", "source", "/shop", "id",
			"7", "empty", "")},
		{Topic: "a", Attributes: attributes("same", "2", "same", "1", "same", "2")},
		{Topic: "a", Attributes: attributes("\x00", "\x00", "é", "\xff", " ", "\r\n")},
		{Topic: "a", Attributes: attributes("long", strings.Repeat("v", 70_000)),
			Data: []byte("after")},
		{Topic: "a", Attributes: many, Data: []byte("after many")},
		{Topic: "a"},
	}
}

// attributes makes attributes from alternating names and values.
func attributes(pairs ...string) []store.Attribute {
	var out []store.Attribute
	for pair := range slices.Chunk(pairs, 2) {
		out = append(out, store.Attribute{Name: pair[0], Value: pair[1]})
	}
	return out
}
