package e2e_test

import (
	"slices"
	"testing"

	"tidings/internal/e2e"
	"tidings/store"
)

// entry is the n-th event of the histories below: publishers 1 and 2 take turns, on topics a and b.
func entry(n int) e2e.Entry {
	publisher := 1 + n%2
	return e2e.Entry{ID: store.ID{15: byte(n)},
		Message: e2e.Message{Topic: []string{"a", "b"}[n%2], Publisher: publisher, Seq: n / 2}}
}

func entries(numbers ...int) []e2e.Entry {
	var out []e2e.Entry
	for _, n := range numbers {
		out = append(out, entry(n))
	}
	return out
}

func connection(after int, live bool, numbers ...int) e2e.Connection {
	c := e2e.Connection{After: store.ID{15: byte(after)}, Live: live}
	for _, e := range entries(numbers...) {
		c.Items = append(c.Items, e2e.Item{Entry: e})
	}
	return c
}

func gap(through int) e2e.Item {
	return e2e.Item{Gap: &e2e.Gap{Reason: "expired", Through: store.ID{15: byte(through)}}}
}

// intact is a history without a fault. 1 to 10 were published, and 11 was refused; 3 and 4 were trimmed before "late"
// resumed, and before "slow" got that far. 9 has no known outcome.
func intact(t *testing.T) *e2e.History {
	h := &e2e.History{Log: entries(1, 2, 5, 6, 7, 8, 9, 10), Trimmed: entries(3, 4)}
	for n := 1; n <= 11; n++ {
		e := entry(n)
		a := e2e.Attempt{Message: e.Message, ID: e.ID, Outcome: e2e.Stored}
		if n == 9 {
			a.Outcome, a.ID = e2e.Unknown, store.ID{}
		}
		if n == 11 {
			a.Outcome, a.ID = e2e.NotStored, store.ID{}
		}
		h.Attempts = append(h.Attempts, a)
	}
	late := connection(1, true, 2, 5, 6, 7, 8, 9, 10)
	late.Items = slices.Insert(late.Items, 1, gap(4))
	slow := connection(0, true, 1, 2, 5, 6, 7, 8, 9, 10)
	slow.Items = slices.Insert(slow.Items, 2, gap(4))
	h.Consumers = []*e2e.Consumer{
		{Name: "all", Filter: store.All(), Connections: []e2e.Connection{connection(0, true, 1, 2,
			3, 4, 5), connection(5, false, 6, 7), connection(7, true, 8, 9, 10)}},
		{Name: "topic", Filter: filter(t, "b"),
			Connections: []e2e.Connection{connection(4, false, 5), connection(6, true, 7, 9)}},
		{Name: "late", Filter: store.All(), Connections: []e2e.Connection{late}},
		{Name: "slow", Filter: store.All(), Early: true, Connections: []e2e.Connection{slow}},
	}
	return h
}

const (
	all = iota
	topic
	late
	slow
)

func TestIntactHistoryIsValid(t *testing.T) {
	if err := e2e.Validate(intact(t)); err != nil {
		t.Error(err)
	}
}

// Each sabotage is what a bug would leave behind. The validators named, and possibly others, must see it.
func TestValidatorsSeeSabotage(t *testing.T) {
	items := func(h *e2e.History, consumer, connection int) *[]e2e.Item {
		return &h.Consumers[consumer].Connections[connection].Items
	}
	remove := func(items *[]e2e.Item, i int) { *items = slices.Delete(*items, i, i+1) }
	tests := []struct {
		name     string
		want     []string
		sabotage func(h *e2e.History)
	}{
		{"acknowledged event lost", []string{"I1", "I2"}, func(h *e2e.History) {
			h.Log = h.Log[:len(h.Log)-1]
		}},
		{"acknowledged under another ID", []string{"I1"}, func(h *e2e.History) {
			h.Attempts[0].ID[0]++
		}},
		{"data of another event", []string{"I1", "I2"}, func(h *e2e.History) {
			h.Log[0].Message.Seq = 99
		}},
		{"delivered before the commit that a crash undid", []string{"I2"}, func(h *e2e.History) {
			h.Log = slices.Delete(h.Log, 6, 7)
		}},
		{"delivered with other data", []string{"I2", "I7"}, func(h *e2e.History) {
			(*items(h, all, 1))[0].Seq = 99
		}},
		{"unknown publish stored twice", []string{"I3"}, func(h *e2e.History) {
			twice := entry(9)
			twice.ID[15] = 12
			h.Log = append(h.Log, twice)
		}},
		{"event again after a resume", []string{"I3", "I4", "I7"}, func(h *e2e.History) {
			h.Consumers[all].Connections[1] = connection(5, false, 5, 6, 7)
		}},
		{"whole log again after a resume", []string{"I3", "I4", "I7"}, func(h *e2e.History) {
			h.Consumers[all].Connections[2] = connection(7, true, 1, 2, 5, 6, 7, 8, 9, 10)
		}},
		{"IDs fall in the log", []string{"I4"}, func(h *e2e.History) {
			h.Log[2], h.Log[3] = h.Log[3], h.Log[2]
		}},
		{"publisher's events in another order", []string{"I4"}, func(h *e2e.History) {
			h.Log[3].Message, h.Log[5].Message = h.Log[5].Message, h.Log[3].Message
		}},
		{"delivered in another order", []string{"I4", "I7"}, func(h *e2e.History) {
			got := *items(h, all, 2)
			got[0], got[1] = got[1], got[0]
		}},
		{"event skipped", []string{"I5", "I7"}, func(h *e2e.History) {
			remove(items(h, all, 0), 1)
		}},
		{"first event after a resume skipped", []string{"I5", "I7"}, func(h *e2e.History) {
			remove(items(h, all, 1), 0)
		}},
		{"only event of a topic skipped", []string{"I5", "I7"}, func(h *e2e.History) {
			remove(items(h, topic, 0), 0)
		}},
		{"end of the log never delivered", []string{"I7"}, func(h *e2e.History) {
			remove(items(h, all, 2), 2)
		}},
		{"resume delivers nothing", []string{"I7"}, func(h *e2e.History) {
			*items(h, topic, 1) = nil
		}},
		{"cursor ahead of what was delivered", []string{"I7"}, func(h *e2e.History) {
			h.Consumers[topic].Connections[1] = connection(10, true)
		}},
		{"event of another log at the end", []string{"I2", "I7"}, func(h *e2e.History) {
			*items(h, all, 2) = append(*items(h, all, 2), e2e.Item{Entry: entry(13)})
		}},
		{"event of another topic", []string{"I7"}, func(h *e2e.History) {
			h.Consumers[topic].Connections[1] = connection(6, true, 7, 8, 9)
		}},
		{"hole without a gap", []string{"I6"}, func(h *e2e.History) {
			remove(items(h, late, 0), 1)
		}},
		{"hole without a gap on an early stream", []string{"I6"}, func(h *e2e.History) {
			remove(items(h, slow, 0), 2)
		}},
		{"gap before the first event of an early stream", []string{"I6"}, func(h *e2e.History) {
			*items(h, slow, 0) = slices.Insert(*items(h, slow, 0), 0, gap(4))
		}},
		{"gap told too late", []string{"I6"}, func(h *e2e.History) {
			got := *items(h, late, 0)
			got[1], got[2] = got[2], got[1]
		}},
		{"gap told as smaller than it is", []string{"I6"}, func(h *e2e.History) {
			(*items(h, late, 0))[1] = gap(3)
		}},
		{"gap where nothing is missing", []string{"I6"}, func(h *e2e.History) {
			*items(h, all, 1) = slices.Insert(*items(h, all, 1), 0, gap(6))
		}},
		{"hole at the end without a gap", []string{"I6"}, func(h *e2e.History) {
			h.Trimmed = append(h.Trimmed, entry(20))
		}},
		{"refused and stored", []string{"I12"}, func(h *e2e.History) {
			h.Log = append(h.Log, entry(11))
		}},
	}
	bitten := map[string]bool{}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := intact(t)
			test.sabotage(h)
			for _, v := range e2e.Validators() {
				err := v.Check(h)
				for _, want := range test.want {
					if len(v.Name) > len(want) && v.Name[:len(want)+1] == want+" " {
						bitten[v.Name] = true
						if err == nil {
							t.Errorf("%s sees nothing", v.Name)
						}
					}
				}
			}
		})
	}
	for _, v := range e2e.Validators() {
		if !bitten[v.Name] {
			t.Errorf("no sabotage is meant for %s", v.Name)
		}
	}
}
