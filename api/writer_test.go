package api_test

import (
	"bytes"
	"fmt"
	"testing"

	"tidings/api"
)

// TestStreamGathersFrames: pending frames are sent in few writes, however many they are.
func TestStreamGathersFrames(t *testing.T) {
	bubble(t, api.Options{}, func(t *testing.T, s *piped) {
		for i := range 200 {
			appendData(t, s.log, "orders", fmt.Appendf(nil, "%0250d", i))
		}
		conn, _ := s.get("/v1/stream?since=earliest")
		buf, got, reads := make([]byte, 128<<10), []byte(nil), 0
		for !bytes.Contains(got, []byte("event: tidings.live\n")) {
			n, err := conn.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			got, reads = append(got, buf[:n]...), reads+1
		}
		if reads > 15 {
			t.Errorf("%d frames of %d bytes in %d writes", 200, len(got), reads)
		}
	})
}
