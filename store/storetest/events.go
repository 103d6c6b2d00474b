package storetest

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"

	"github.com/google/go-cmp/cmp"

	"tidings/store"
)

// matching returns the events that match f and follow after.
func matching(events []store.Event, f store.Filter, after store.ID) []store.Event {
	var out []store.Event
	for _, e := range events {
		if after.Before(e.ID) && f.Match(e.Topic) {
			out = append(out, e)
		}
	}
	return out
}

// preceding returns the events that lie before the ID.
func preceding(events []store.Event, before store.ID) []store.Event {
	var out []store.Event
	for _, e := range events {
		if e.ID.Before(before) {
			out = append(out, e)
		}
	}
	return out
}

func earlier(a, b store.ID) store.ID {
	if a.Before(b) {
		return a
	}
	return b
}

// difference says which rule got breaks if it should be want; "" if they are equal.
func difference(got, want []store.Event) string {
	for i := range max(len(got), len(want)) {
		switch {
		case i == len(want):
			return fmt.Sprintf("returned %d events too many, the first is %s",
				len(got)-len(want), got[i].ID)
		case i == len(got):
			return fmt.Sprintf("skipped event %d of %d, the last it returned is event %d",
				i+1, len(want), i)
		case got[i].ID != want[i].ID:
			return misplaced(got, want, i)
		}
		if d := changed(got[i], want[i]); d != "" {
			return fmt.Sprintf("event %d of %d (%s) came back changed: %s", i+1, len(want),
				want[i].ID, d)
		}
	}
	return ""
}

// misplaced says why index i has another event than the wanted one.
func misplaced(got, want []store.Event, i int) string {
	place := func(events []store.Event, id store.ID) int {
		return slices.IndexFunc(events, func(e store.Event) bool { return e.ID == id })
	}
	switch k := place(want, got[i].ID); {
	case k < 0:
		return fmt.Sprintf("returned %s in the place of event %d of %d, where it does not belong",
			got[i].ID, i+1, len(want))
	case k < i:
		return fmt.Sprintf("returned event %d of %d twice", k+1, len(want))
	case place(got, want[i].ID) > i:
		return fmt.Sprintf("events out of order: event %d of %d came before event %d", k+1,
			len(want), i+1)
	default:
		return fmt.Sprintf("skipped event %d of %d", i+1, len(want))
	}
}

// changed says how got differs from want, which has the same ID; "" if it does not.
func changed(got, want store.Event) string {
	if !bytes.Equal(got.Data, want.Data) {
		at := 0
		for at < min(len(got.Data), len(want.Data)) && got.Data[at] == want.Data[at] {
			at++
		}
		return fmt.Sprintf("data of %d bytes, want %d, different from byte %d on", len(got.Data),
			len(want.Data), at)
	}
	got.Data, want.Data = nil, nil
	if len(got.Attributes) == 0 && len(want.Attributes) == 0 {
		got.Attributes, want.Attributes = nil, nil
	}
	if reflect.DeepEqual(got, want) { // cmp is too slow for every event
		return ""
	}
	return cmp.Diff(want, got)
}
