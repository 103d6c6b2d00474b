package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"tidings/store"
)

// SyncedBy returns a function for Options.Synced that asks the monitor of each server (http_port of its
// configuration); the list must include every server that may keep the stream. sync_interval alone proves
// nothing: it still shows two minutes where sync_always is on. A server that does not answer, or only with an HTTP
// error, counts as down, as long as most do answer; otherwise the error is store.ErrUnavailable. Without monitors
// the result is nil: nothing is known.
func SyncedBy(monitors []string) func(ctx context.Context) error {
	if len(monitors) == 0 {
		return nil
	}
	return func(ctx context.Context) error {
		return most(monitors, func(monitor string) error { return synced(ctx, monitor) })
	}
}

// most returns what is wrong with one of the servers. Those that are unavailable count as down, as long as most are
// not.
func most(servers []string, check func(server string) error) error {
	var silent []error
	for _, server := range servers {
		err := check(server)
		switch {
		case errors.Is(err, store.ErrUnavailable):
			silent = append(silent, err)
		case err != nil:
			return fmt.Errorf("the server %s: %w", server, err)
		}
	}
	if 2*len(silent) >= len(servers) {
		return errors.Join(silent...)
	}
	return nil
}

// varzBytes bounds a /varz, which takes some 10 KB.
const varzBytes = 4 << 20

func synced(ctx context.Context, monitor string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(monitor, "/")+"/varz", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK { // of a proxy, or of a server that starts or ends
		return fmt.Errorf("%w: its /varz: HTTP %s", store.ErrUnavailable, answer.Status)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, varzBytes))
	if err != nil { // it went down, or hangs, halfway
		return fmt.Errorf("%w: its /varz: %w", store.ErrUnavailable, err)
	}
	return syncs(text)
}

// syncs returns nil if the VARZ of a server says that it syncs before it acknowledges.
func syncs(text []byte) error {
	var varz struct {
		Version   string `json:"version"`
		JetStream struct {
			Config struct {
				SyncAlways bool `json:"sync_always"`
			} `json:"config"`
		} `json:"jetstream"`
	}
	if err := json.Unmarshal(text, &varz); err != nil {
		return fmt.Errorf("its /varz cannot be read: %w", err)
	}
	if !recent(varz.Version) {
		return fmt.Errorf("it is version %s; 2.14.10, 2.15.2 or a newer one is needed", varz.Version)
	}
	if !varz.JetStream.Config.SyncAlways {
		return fmt.Errorf("it acknowledges before it syncs: set jetstream { sync_interval: always }")
	}
	return nil
}

// recent reports whether a server of this version keeps what it acknowledges: older ones rewrite blocks
// without a sync.
func recent(version string) bool {
	var major, minor, patch int
	if n, _ := fmt.Sscanf(strings.TrimPrefix(version, "v"), "%d.%d.%d", &major, &minor, &patch); n < 3 {
		return false
	}
	switch {
	case major != 2:
		return major > 2
	case minor == 14:
		return patch >= 10
	case minor == 15:
		return patch >= 2
	}
	return minor > 15
}
