package api_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// contract is the document at /openapi.yaml, as client tools understand it.
type contract struct {
	doc    *openapi3.T
	router routers.Router
}

func newContract(t testing.TB, s *server) *contract {
	t.Helper()
	registerDecoders()
	a := s.do("GET", "/openapi.yaml", "")
	if a.status != 200 || a.header.Get("Content-Type") != "application/yaml" {
		t.Fatalf("%d %v", a.status, a.header)
	}
	doc, err := openapi3.NewLoader().LoadFromData([]byte(a.body))
	if err != nil {
		t.Fatal(err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return &contract{doc, router}
}

// registerDecoders teaches the library to read media types whose names do not reveal JSON.
var registerDecoders = sync.OnceFunc(func() {
	openapi3filter.RegisterBodyDecoder("application/x-ndjson", decodeLines)
	openapi3filter.RegisterBodyDecoder("application/cloudevents+json",
		openapi3filter.JSONBodyDecoder)
	openapi3filter.RegisterBodyDecoder("application/cloudevents-batch+json",
		openapi3filter.JSONBodyDecoder)
	openapi3filter.RegisterBodyDecoder("application/vnd.shop+json", openapi3filter.JSONBodyDecoder)
	openapi3filter.RegisterBodyDecoder("text/event-stream", openapi3filter.PlainBodyDecoder)
	openapi3filter.RegisterBodyDecoder("application/xml", openapi3filter.PlainBodyDecoder)
	openapi3filter.RegisterBodyDecoder("image/png", openapi3filter.PlainBodyDecoder)
})

// decodeLines reads one JSON text per line.
func decodeLines(body io.Reader, _ http.Header, _ *openapi3.SchemaRef,
	_ openapi3filter.EncodingFn) (any, error) {
	lines := []any{}
	for d := json.NewDecoder(body); ; {
		var line any
		if err := d.Decode(&line); errors.Is(err, io.EOF) {
			return lines, nil
		} else if err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
}

// find returns the request as the document sees it. A request of no operation gets the responses that belong to none.
func (c *contract) find(t testing.TB, method, path, body string,
	headers ...string) *openapi3filter.RequestValidationInput {
	t.Helper()
	r, err := http.NewRequest(method, "http://localhost"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	route, variables, err := c.router.FindRoute(r)
	if err != nil {
		stray := func(name string) *openapi3.ResponseRef { return c.doc.Components.Responses[name] }
		route = &routers.Route{Spec: c.doc,
			Operation: &openapi3.Operation{Responses: openapi3.NewResponses(
				openapi3.WithStatus(400, stray("BadPath")), openapi3.WithStatus(404,
					stray("NoSuchPath")), openapi3.WithStatus(405, stray("NoSuchMethod")))}}
	}
	return &openapi3filter.RequestValidationInput{
		Request: r, PathParams: variables, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
			IncludeResponseStatus: true, RejectWhenRequestBodyNotSpecified: true},
	}
}

// request checks a request that the server accepts against the document.
func (c *contract) request(t testing.TB, method, path, body string, headers ...string) {
	t.Helper()
	in := c.find(t, method, path, body, headers...)
	for name := range in.Request.URL.Query() {
		if in.Route.Operation.Parameters.GetByInAndName("query", name) == nil &&
			in.Route.PathItem.Parameters.GetByInAndName("query", name) == nil {
			t.Errorf("%s %s: the document does not have the parameter %s", method, path, name)
		}
	}
	if err := openapi3filter.ValidateRequest(t.Context(), in); err != nil {
		t.Errorf("%s %s is not as documented: %v", method, path, err)
	}
}

// response checks a response against the document.
func (c *contract) response(t testing.TB, method, path string, a answer) {
	t.Helper()
	in := c.find(t, method, path, "")
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: a.status,
		Header: a.header, Options: in.Options}
	out.SetBodyBytes([]byte(a.body))
	if err := openapi3filter.ValidateResponse(t.Context(), out); err != nil {
		t.Errorf("the answer %d to %s %.200s is not as documented: %v\n%v\n%.500s", a.status,
			method, path, err, a.header, a.body)
	}
}

// schema checks a JSON text against a schema of the document.
func (c *contract) schema(t testing.TB, name, text string) {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	if err := c.doc.Components.Schemas[name].Value.VisitJSON(value,
		openapi3.EnableJSONSchema2020()); err != nil {
		t.Errorf("%s is no %s: %v", text, name, err)
	}
}
