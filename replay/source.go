package replay

import (
	"context"

	"tidings/store"
)

// Source is the log that is replayed: of store.Log the seven methods that this package uses. The
// contract of each is there. Its methods may be called concurrently.
type Source interface {
	// NewReader, Newest and Resolve find and read events.
	NewReader(f store.Filter, after store.ID) store.Reader
	Newest(f store.Filter, before store.ID, n, maxBytes int) (store.ID, error)
	Resolve(id store.ID) (nearest store.ID, known bool, err error)

	// Head, Trimmed and Info say what there is.
	Head() store.ID
	Trimmed() store.ID
	Info() (store.Info, error)

	// Wait waits for more.
	Wait(ctx context.Context, after store.ID) error
}
