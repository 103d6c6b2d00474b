package storetest_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"tidings/store"
	"tidings/store/storetest"
)

// TestSuiteCatches runs the suite on Logs that each break one rule. A suite that accepts one of them would
// accept an engine with the same bug.
func TestSuiteCatches(t *testing.T) {
	for _, s := range sabotages() {
		t.Run(s.name, func(t *testing.T) {
			for _, c := range storetest.Cases() {
				if strings.HasPrefix(c.Name, "model/") {
					continue // on a failure rapid shrinks, for up to half a minute
				}
				failures := record(t, func(t testing.TB) { c.Run(t, s.factory) })
				if caught(t, failures, s.want) {
					return
				}
			}
			t.Fatalf("no case fails with %q", s.want)
		})
	}
}

// TestCheckCatches runs Check alone on the Logs that break a rule at rest.
func TestCheckCatches(t *testing.T) {
	for _, s := range sabotages() {
		if s.check == "" {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			log := s.factory(t, t.TempDir(), storetest.Options{})
			defer log.Close()
			for range 4 {
				drafts := []store.Draft{{Topic: "orders", Data: []byte("1")},
					{Topic: "tickets", Data: []byte("2")}, {Topic: "orders", Data: []byte("3")}}
				if _, err := store.Append(t.Context(), log, drafts); err != nil {
					t.Fatal(err)
				}
			}
			first := store.ID{}
			for info := range log.Topics(store.All()) {
				if info.Topic == "tickets" {
					first = info.First
				}
			}
			if _, err := log.Trim(t.Context(), store.All(), first); err != nil {
				t.Fatal(err)
			}
			if failures := record(t, func(t testing.TB) {
				storetest.Check(t, log)
			}); !caught(t, failures, s.check) {
				t.Fatalf("check does not fail with %q, but says %q", s.check, failures)
			}
		})
	}
}

// caught reports whether one of the failures contains want. A case may fail in other ways before, but it
// must not panic.
func caught(t *testing.T, failures []string, want string) bool {
	t.Helper()
	for _, f := range failures {
		if strings.HasPrefix(f, "panic:") {
			t.Errorf("a case panicked instead of failing: %s", f)
		}
	}
	return slices.ContainsFunc(failures, func(f string) bool { return strings.Contains(f, want) })
}

type sabotage struct {
	name    string
	factory storetest.Factory
	want    string // part of a failure of the suite
	check   string // part of a failure of Check; "" if one look at the log cannot show it
}

func sabotages() []sabotage {
	// on puts the faults in front of a Model.
	on := func(faults sabotaged) storetest.Factory {
		models := storetest.Models()
		return func(t testing.TB, dir string, opts storetest.Options) store.Log {
			f := faults
			f.Log = models(t, dir, opts)
			return &f
		}
	}
	pages := func(f func(log store.Log, p *store.Page)) storetest.Factory {
		return on(sabotaged{page: f})
	}
	return []sabotage{
		{"drops an event", pages(func(_ store.Log, p *store.Page) {
			if len(p.Events) > 2 {
				p.Events = append(p.Events[:1:1], p.Events[2:]...)
			}
		}), "skipped event 2 of", "newest 10 of"},
		{"swaps two events", pages(func(_ store.Log, p *store.Page) {
			if len(p.Events) > 1 {
				p.Events[0], p.Events[1] = p.Events[1], p.Events[0]
			}
		}), "events out of order", "events out of order"},
		{"returns an event twice", pages(func(_ store.Log, p *store.Page) {
			if len(p.Events) > 0 {
				p.Events = append(p.Events, p.Events[len(p.Events)-1])
			}
		}), "returned twice", "returned twice"},
		{"forgets what was trimmed", pages(func(_ store.Log, p *store.Page) {
			p.Trimmed = store.ID{}
		}),
			"trimmed mark lost", "trimmed mark lost"},
		{"reports every trim to everyone", pages(func(log store.Log, p *store.Page) {
			p.Trimmed = log.Trimmed()
		}),
			"but lost nothing it asked for", "reports"},
		{"reads beyond the head", pages(func(log store.Log, p *store.Page) {
			if head := log.Head(); p.Through == head && !head.IsZero() {
				p.Through, _ = head.Next()
				p.Events = append(p.Events, store.Event{ID: p.Through, Topic: "orders",
					Type: store.DefaultType})
			}
		}), "event above the head", "event above the head"},
		{"returns wrong bytes", pages(func(_ store.Log, p *store.Page) {
			for i, e := range p.Events {
				p.Events[i].Data = bytes.ReplaceAll(e.Data, []byte{0}, []byte(" "))
			}
		}), "came back changed: data of", ""},
		{"returns other bytes by ID", on(sabotaged{get: func(e *store.Event) {
			e.Data = append(e.Data, 0)
		}}),
			"came back changed: data of", "came back changed: data of"},
		{"stays where nothing matches", pages(func(_ store.Log, p *store.Page) {
			if len(p.Events) == 0 {
				p.Through = store.ID{}
			}
		}), "reader makes no progress", "through went back"},
		{"ignores the page limit", on(sabotaged{max: func(n int) int {
			return n + 1
		}}), "page of 2 events, asked for at most 1", ""},
		{"stores half a batch", on(sabotaged{append: func(log store.Log,
			drafts []store.Draft) (ids []store.ID, err error) {
			for _, d := range drafts {
				id, err := store.Append(context.Background(), log, []store.Draft{d})
				if err != nil {
					return nil, err
				}
				ids = append(ids, id...)
			}
			return ids, nil
		}}), "a refused batch was stored in part", ""},
		{"stores a retry again", on(sabotaged{append: func(log store.Log,
			drafts []store.Draft) ([]store.ID, error) {
			if _, err := store.Append(context.Background(), log, drafts); err != nil {
				return nil, err
			}
			return store.Append(context.Background(), log, drafts)
		}}), "where it does not belong", ""},
		{"says stored before it is", on(sabotaged{append: func(log store.Log,
			drafts []store.Draft) ([]store.ID, error) {
			ids, err := store.Append(context.Background(), log,
				drafts[:max(len(drafts)-1, min(1, len(drafts)))])
			if err == nil && len(ids) < len(drafts) {
				next, _ := ids[len(ids)-1].Next()
				ids = append(ids, next)
			}
			return ids, err
		}}), "after append returned", ""},
		{"trims one too many", on(sabotaged{before: func(
			id store.ID) store.ID {
			next, _ := id.Next()
			return next
		}}),
			"deleted 1 events, want 0", ""},
		{"retains one too many", on(sabotaged{limits: func(l *store.Limits) {
			if l.Events > 0 {
				l.Events++
			}
		}}), "retain of", ""},
		{"retains what is too old", on(sabotaged{limits: func(l *store.Limits) {
			l.Before = store.ID{}
		}}), "retain of", ""},
		{"retains one too many of the whole log", on(sabotaged{whole: func(k *store.Retention) {
			if k.Whole.Events > 0 {
				k.Whole.Events++
			}
		}}), "retain by", ""},
		{"retains the bytes of one too few of the whole log", on(sabotaged{
			whole: func(k *store.Retention) {
				if k.Whole.Bytes > 1 {
					k.Whole.Bytes--
				}
			}}), "retain by", ""},
		{"retains what is too old of the whole log", on(sabotaged{whole: func(k *store.Retention) {
			k.Whole.Before = store.ID{}
		}}), "retain by", ""},
		{"deletes what is kept from it", on(sabotaged{whole: func(k *store.Retention) {
			k.Keep = nil
		}}), "retain of", ""},
		{"forgets the whole log beside topics", on(sabotaged{whole: func(k *store.Retention) {
			if !k.Topics.IsZero() {
				k.Whole = store.Limits{}
			}
		}}), "retain of", ""},
		{"is off by one from the end", on(sabotaged{n: func(n int) int {
			return n + 1
		}}), "newest 0 of", "newest 0 of"},
		{"wakes for nothing", on(sabotaged{wait: func(store.Log, store.ID) error { return nil }}),
			"wait for a head above the highest ID returned <nil>", ""},
		{"miscounts a topic", on(sabotaged{info: func(i *store.TopicInfo) {
			i.Count++
		}}), "the books say", "its events say"},
		{"loses a topic's mark", on(sabotaged{info: func(i *store.TopicInfo) {
			i.Trimmed = store.ID{}
		}}),
			"trimmed mark lost: topic", "reports"},
		{"accepts appends after close",
			on(sabotaged{append: func(log store.Log, drafts []store.Draft) ([]store.ID, error) {
				ids, err := store.Append(context.Background(), log, drafts)
				if errors.Is(err, store.ErrClosed) {
					return make([]store.ID, len(drafts)), nil
				}
				return ids, err
			}}), "append after close returned", ""},
		{"loses its last ID on reopen", forgetful(), "IDs went backwards over a reopen", ""},
	}
}

// forgetful is a Factory of logs that, when reopened, take their head from the newest record, although
// newer ones may have been trimmed.
func forgetful() storetest.Factory {
	var mu sync.Mutex
	left := make(map[string][]store.Event)
	return func(t testing.TB, dir string, opts storetest.Options) store.Log {
		mu.Lock()
		defer mu.Unlock()
		model := storetest.NewModel(opts)
		model.Adopt(left[dir]...)
		return &sabotaged{Log: model, close: func(log store.Log) error {
			mu.Lock()
			defer mu.Unlock()
			if page, err := log.NewReader(store.All(), store.ID{}).Next(5000); err == nil {
				left[dir] = page.Events
			}
			return log.Close()
		}}
	}
}
