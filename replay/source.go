package replay

import (
	"context"

	"tidings/store"
)

// Source is the log to replay: the seven methods of store.Log that this package uses. store.Log has
// their contracts. They may be called concurrently.
type Source interface {
	// NewReader, Newest and Resolve find and read events.
	NewReader(f store.Filter, after store.ID) store.Reader
	Newest(f store.Filter, before store.ID, n, maxBytes int) (store.ID, error)
	Resolve(id store.ID) (nearest store.ID, known bool, err error)

	// Head, Trimmed and Info describe what the log has.
	Head() store.ID
	Trimmed() store.ID
	Info() (store.Info, error)

	// Wait waits for new events.
	Wait(ctx context.Context, after store.ID) error
}
