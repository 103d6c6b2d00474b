package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidings/store"
)

func deliveryCases() []Case {
	return []Case{
		{"deliveries/are set, replaced and deleted in one commit, and survive", deliveriesSurvive},
		{"deliveries/what is refused changes nothing", deliveriesRefused},
		{"deliveries/of many that say what was there one is stored", deliveriesWas},
		{"deliveries/ride with other commits, or wait for their own", deliveriesRide},
	}
}

func delivery(name string, id store.ID, record string) store.NamedDelivery {
	return store.NamedDelivery{Name: name, Delivery: store.Delivery{ID: id, Record: []byte(record)}}
}

func (f *fixture) deliver(ride bool, changes ...store.NamedDelivery) {
	f.t.Helper()
	if err := f.SetDeliveries(context.Background(), changes, ride); err != nil {
		f.t.Fatalf("set deliveries: %v", err)
	}
}

func (f *fixture) expectDeliveries(want ...store.NamedDelivery) {
	f.t.Helper()
	got, err := f.Deliveries()
	if err != nil {
		f.t.Fatalf("deliveries: %v", err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		f.t.Errorf("deliveries (-want +got):\n%s", diff)
	}
}

func deliveriesSurvive(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	f.expectDeliveries()
	events := f.append(drafts(5, "orders")...)
	shop, mail := delivery("shop", events[1].ID, "{}"), delivery("Mail", events[4].ID, "")
	f.deliver(false, shop, mail, delivery("old", store.ID{}, "x"))
	f.expectDeliveries(mail, delivery("old", store.ID{}, "x"), shop)
	f.reopen()
	f.expectDeliveries(mail, delivery("old", store.ID{}, "x"), shop)
	shop = delivery("shop", events[0].ID, strings.Repeat("y", store.MaxDeliveryRecord)) // it may move back
	f.deliver(false, shop, store.NamedDelivery{Name: "old"}, store.NamedDelivery{Name: "never"})
	f.expectDeliveries(mail, shop)
	f.trim(store.All(), store.MaxID, 5)
	f.reopen()
	f.expectDeliveries(mail, shop)
	if f.Head() != events[4].ID {
		t.Error("a delivery moved the head")
	}
	last := delivery("shop", events[3].ID, "last")
	f.deliver(false, delivery("shop", events[2].ID, "first"), last)
	f.expectDeliveries(mail, last)
}

func deliveriesRefused(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	f.deliver(false, delivery("shop", store.ID{}, "{}"))
	for what, bad := range map[string]store.NamedDelivery{
		"no name":       delivery("", store.ID{}, "{}"),
		"a long name":   delivery(strings.Repeat("n", store.MaxDeliveryName+1), store.ID{}, "{}"),
		"a long record": delivery("n", store.ID{}, strings.Repeat("r", store.MaxDeliveryRecord+1)),
	} {
		err := f.SetDeliveries(context.Background(),
			[]store.NamedDelivery{delivery("shop", store.ID{}, "other"), bad}, false)
		if !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", what, err)
		}
	}
	f.expectDeliveries(delivery("shop", store.ID{}, "{}"))
	f.deliver(false)
	f.close()
	for _, ride := range []bool{false, true} {
		err := f.SetDeliveries(context.Background(), []store.NamedDelivery{delivery("shop", store.ID{}, "")}, ride)
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("after close, ride %v: %v, want ErrClosed", ride, err)
		}
	}
}

func deliveriesWas(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	set := func(name, was, record string) error {
		d := delivery(name, store.ID{}, record)
		d.Was = []byte(was)
		beside := delivery("beside", store.ID{}, record)
		return f.SetDeliveries(context.Background(), []store.NamedDelivery{beside, d}, false)
	}
	for _, step := range []struct {
		was, record string
		want        error
	}{{"x", "1", store.ErrWas}, {"", "1", nil}, {"", "2", store.ErrWas}, {"1", "1", nil}, {"2", "3", store.ErrWas},
		{"1", "2", nil}} {
		if err := set("lease", step.was, step.record); !errors.Is(err, step.want) {
			t.Errorf("%q where there was to be %q: %v, want %v", step.record, step.was, err, step.want)
		}
	}
	f.expectDeliveries(delivery("beside", store.ID{}, "2"), delivery("lease", store.ID{}, "2"))
	f.reopen()
	if got, err := f.Delivery("lease"); err != nil || string(got.Record) != "2" {
		t.Errorf("one delivery: %q, %v", got.Record, err)
	}
	if _, err := f.Delivery("none"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a delivery that is not there: %v, want ErrNotFound", err)
	}
	for round := range 20 { // in one commit or several
		var won atomic.Int32
		var trying sync.WaitGroup
		was, err := f.Delivery("lease")
		if err != nil {
			t.Fatal(err)
		}
		for i := range 8 {
			trying.Go(func() {
				err := set("lease", string(was.Record), fmt.Sprintf("%d of round %d", i, round))
				if err == nil {
					won.Add(1)
				} else if !errors.Is(err, store.ErrWas) {
					t.Error(err)
				}
			})
		}
		trying.Wait()
		if n := won.Load(); n != 1 {
			t.Fatalf("%d have replaced the same record, want one", n)
		}
	}
}

func deliveriesRide(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	within(t, "a delivery that rides while nothing is published", func() {
		f.deliver(true, delivery("shop", store.ID{}, "alone"))
	})
	f.expectDeliveries(delivery("shop", store.ID{}, "alone"))
	stored := make(chan struct{})
	go func() {
		defer close(stored)
		_ = f.SetDeliveries(context.Background(),
			[]store.NamedDelivery{delivery("shop", store.ID{}, "along")}, true)
	}()
	within(t, "a delivery that rides while something is published", func() {
		for {
			select {
			case <-stored:
				return
			default:
				_, _ = store.Append(context.Background(), f, drafts(1, "orders"))
			}
		}
	})
	f.expectDeliveries(delivery("shop", store.ID{}, "along"))
}
