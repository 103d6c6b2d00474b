package api

import (
	_ "embed"
	"net/http"
	"net/url"
)

// contract describes what the router serves; tests keep the two in step.
//
//go:embed openapi.yaml
var contract []byte

// openapi serves GET /openapi.yaml.
func (s *Server) openapi(w http.ResponseWriter, _ *http.Request, _ url.Values) *problem {
	w.Header().Set("Content-Type", "application/yaml") // RFC 9512
	_, _ = w.Write(contract)                           // fails only when the client is gone
	return nil
}
