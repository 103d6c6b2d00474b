package storetest

import (
	"bytes"
	"context"
	"maps"
	"slices"

	"tidings/store"
)

// SetDeliveries implements store.Log.
func (m *Model) SetDeliveries(_ context.Context, changes []store.NamedDelivery, _ bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range changes {
		if d.Name == "" || len(d.Name) > store.MaxDeliveryName || len(d.Record) > store.MaxDeliveryRecord {
			return store.ErrInvalid
		}
	}
	if m.closed {
		return store.ErrClosed
	}
	for _, d := range changes {
		if d.Was != nil && !bytes.Equal(d.Was, m.deliveries[d.Name].Record) {
			return store.ErrWas
		}
	}
	for _, d := range changes {
		if d.Record == nil {
			delete(m.deliveries, d.Name)
			continue
		}
		m.deliveries[d.Name] = store.Delivery{ID: d.ID, Record: bytes.Clone(d.Record)}
	}
	return nil
}

// Delivery implements store.Log.
func (m *Model) Delivery(name string) (store.Delivery, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.deliveries[name]
	if !ok {
		return d, store.ErrNotFound
	}
	return d, nil
}

// Deliveries implements store.Log.
func (m *Model) Deliveries() (list []store.NamedDelivery, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(m.deliveries)) {
		list = append(list, store.NamedDelivery{Name: name, Delivery: m.deliveries[name]})
	}
	return list, nil
}
