package api

import (
	"context"
	"errors"

	"tidings/store"
)

// reach is called with an ID that a client has brought, before anything is said of it. One above the
// head may be an event that other servers of the log have and this one has not yet: it waits until it
// would be here. One at or below the head costs nothing.
func (s *Server) reach(ctx context.Context, id store.ID) *problem {
	if !s.log.Head().Before(id) {
		return nil
	}
	err := s.log.CatchUp(ctx)
	if err == nil {
		return nil
	}
	p := storeProblem(err)
	if errors.Is(err, store.ErrUnavailable) {
		p.detail = "this server is not up to date with the log yet"
	}
	return p
}
