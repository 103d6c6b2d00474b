package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"tidings/internal/wire"
	"tidings/store"
)

// minBackupRate is what a client must accept of a backup, in bytes per second on average: only one backup runs at a
// time, and its file is as large as the log.
const minBackupRate = 256 << 10

// backuper is a log that can be copied while it runs.
type backuper interface {
	OpenBackup(ctx context.Context) (*store.Backup, error)
}

// backup serves GET /v1/backup: the file, and its manifest in a header. The copy is finished before
// the first byte is sent, so the log does not wait for the client.
func (s *Server) backup(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	log, ok := s.log.(backuper)
	if !ok {
		return &problem{code: "backup-unsupported",
			detail: "this log is not kept in a file"}
	}
	b, err := log.OpenBackup(r.Context())
	if err != nil {
		p := storeProblem(err)
		if errors.Is(err, store.ErrNoSpace) {
			p.detail = err.Error() // says how much is missing
		}
		return p
	}
	defer b.Close()
	w.(*timedWriter).out.atLeast(minBackupRate)
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", `attachment; filename="tidings-`+b.Head.String()+`.db"`)
	h.Set("Content-Length", strconv.FormatInt(b.Size, 10))
	h.Set("Tidings-Manifest", string(wire.Marshal(b.Manifest)))
	if _, err := io.CopyBuffer(w, struct{ io.Reader }{b}, make([]byte, maxWrite)); err != nil {
		// after fewer bytes than announced the connection is closed
		s.o.Logger.Debug("backup cut off", "error", err)
	}
	return nil
}
