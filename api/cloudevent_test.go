package api_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

// TestCloudEventModes ports the cases of the CloudEvents conformance set for HTTP: what is sent in each mode, with
// each kind of data, is streamed and stored as it was sent.
func TestCloudEventModes(t *testing.T) {
	const base = `"specversion":"1.0","id":"A234-1234","source":"https://github.com/cloudevents?a=b","type":"com.example.created"`
	binary := []string{"Ce-Specversion: 1.0", "Ce-Id: A234-1234",
		"Ce-Source: https://github.com/cloudevents?a=b", "Ce-Type: com.example.created"}
	structured := "Content-Type: application/cloudevents+json"
	with := func(contentType string) []string {
		return append([]string{"Content-Type: " + contentType}, binary...)
	}
	for _, c := range []struct {
		name, body  string
		headers     []string
		contentType string // as shown afterwards
		data        string // as JSON, in GET /v1/events/{id}
		streamed    string
	}{
		{"binary, JSON", `{"k": [1.0, "v"]}`, with("application/json"), "application/json",
			`{"k":[1.0,"v"]}`, `{"k": [1.0, "v"]}`},
		{"binary, JSON with charset", `{"k":1}`, with("application/json; charset=utf-8"),
			"application/json; charset=utf-8", `{"k":1}`, `{"k":1}`},
		{"binary, JSON string", `"text"`, with("application/json"), "application/json",
			`"text"`, `"text"`},
		{"binary, JSON array", `[1,2]`, with("application/json"), "application/json",
			`[1,2]`, `[1,2]`},
		{"binary, text in us-ascii", "Hello", with("text/plain; charset=us-ascii"),
			"text/plain; charset=us-ascii", `"Hello"`, "Hello"},
		{"binary, text in UTF-8", "Grüße\n<b>", with("text/plain; charset=utf-8"),
			"text/plain; charset=utf-8", `"Grüße\n<b>"`, "Grüße\n<b>"},
		{"binary, XML", "<a b=\"c\"/>", with("application/xml"), "application/xml",
			`"<a b=\"c\"/>"`, "<a b=\"c\"/>"},
		{"binary, bytes", "\x00\xff\x01", with("image/png"), "image/png", "", "AP8B"},
		{"binary, no data", "", binary, "", "null", "null"},
		{"structured, JSON object", `{` + base + `,"data":{"a": 1e400 , "b":"\u00fc"}}`,
			headers(structured), "application/json", `{"a":1e400,"b":"\u00fc"}`,
			`{"a": 1e400 , "b":"\u00fc"}`},
		{"structured, with charset", `{` + base +
			`,"datacontenttype":"application/json","data":[]}`,
			headers(structured + "; charset=UTF-8"), "application/json", `[]`, `[]`},
		{"structured, JSON string", `{` + base + `,"data":"text"}`, headers(structured),
			"application/json", `"text"`, `"text"`},
		{"structured, text", `{` + base + `,"datacontenttype":"text/plain","data":"a\nb"}`,
			headers(structured), "text/plain", `"a\nb"`, "a\nb"},
		{"structured, XML", `{` + base + `,"datacontenttype":"application/xml","data":"<a/>"}`,
			headers(structured), "application/xml", `"<a/>"`, "<a/>"},
		{"structured, bytes", `{` + base + `,"datacontenttype":"image/png","data_base64":"AP8B"}`,
			headers(structured), "image/png", "", "AP8B"},
		{"structured, JSON as bytes", `{` + base + `,"data_base64":"eyJhIjoxfQ=="}`,
			headers(structured), "application/json", `{"a":1}`, `{"a":1}`},
		{"structured, no data", `{` + base + `}`, headers(structured), "", "null", "null"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t)
			a := s.do("POST", "/v1/topics/orders/events", c.body, c.headers...)
			if a.status != http.StatusCreated {
				t.Fatalf("%d %s", a.status, a.body)
			}
			var got struct {
				Type, DataContentType string
				Data                  json.RawMessage
				DataBase64            string         `json:"data_base64"`
				CE                    map[string]any `json:"ce"`
			}
			s.do("GET", a.header.Get("Location"), "").decode(t, &got)
			if got.Type != "com.example.created" || got.DataContentType != c.contentType ||
				string(got.Data) != c.data {
				t.Errorf("stored type %q, content type %q, data %s, want %q, %q, %s", got.Type,
					got.DataContentType, got.Data, "com.example.created", c.contentType, c.data)
			}
			if c.data == "" && got.DataBase64 != base64.StdEncoding.EncodeToString(
				[]byte("\x00\xff\x01")) {
				t.Errorf("stored bytes %q", got.DataBase64)
			}
			if got.CE["id"] != "A234-1234" ||
				got.CE["source"] != "https://github.com/cloudevents?a=b" {
				t.Errorf("attributes %v", got.CE)
			}
			if e := s.open(t.Context(), "/v1/stream?since=earliest",
				"").until("com.example.created"); string(e[len(e)-1].Data) != c.streamed {
				t.Errorf("streamed %q, want %q", e[len(e)-1].Data, c.streamed)
			}
		})
	}
}

// TestCloudEventAttributes: values keep their kind and their text, in either mode.
func TestCloudEventAttributes(t *testing.T) {
	s := start(t)
	structured := s.do("POST", "/v1/topics/a/events", `{"specversion":"1.0","id":"1","source":"/s","type":"t","subject":"s p","time":"2026-01-02T03:04:05.678+01:00",
		"dataschema":"https://example.com/x","number":42,"flag":true,"sequence":"7","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}`,
		"Content-Type: application/cloudevents+json")
	binary := s.do("POST", "/v1/topics/a/events", "", "Ce-Specversion: 1.0", "Ce-Id: 2",
		"Ce-Source: /s", "Ce-Type: t",
		"Ce-Subject: Euro%20%E2%82%AC%20%F0%9F%98%80", `Ce-Note: "quoted \"x\""`)
	for _, c := range []struct{ location, want string }{
		{structured.header.Get("Location"),
			`{"dataschema":"https://example.com/x","flag":true,"id":"1","number":42,"source":"/s","subject":"s p","time":"2026-01-02T03:04:05.678+01:00","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}`},
		{binary.header.Get("Location"),
			`{"id":"2","note":"quoted \"x\"","source":"/s","subject":"Euro € 😀"}`},
	} {
		var got struct{ CE json.RawMessage }
		s.do("GET", c.location, "").decode(t, &got)
		if string(got.CE) != c.want {
			t.Errorf("attributes %s, want %s", got.CE, c.want)
		}
	}
}

func TestCloudEventRefused(t *testing.T) {
	s := start(t)
	ce := func(members string) string {
		return `{"specversion":"1.0","id":"1","source":"/s","type":"t"` + members + `}`
	}
	for name, c := range map[string]struct {
		body string
		code string
	}{
		"no id": {`{"specversion":"1.0","source":"/s","type":"t"}`,
			"cloudevent-invalid"},
		"empty source": {`{"specversion":"1.0","id":"1","source":"","type":"t"}`,
			"cloudevent-invalid"},
		"no type": {`{"specversion":"1.0","id":"1","source":"/s"}`,
			"cloudevent-invalid"},
		"version 0.3": {`{"specversion":"0.3","id":"1","source":"/s","type":"t"}`,
			"cloudevent-invalid"},
		"id is a number": {`{"specversion":"1.0","id":1,"source":"/s","type":"t"}`,
			"member-invalid"},
		"time is no time":      {ce(`,"time":"yesterday"`), "cloudevent-invalid"},
		"relative dataschema":  {ce(`,"dataschema":"x"`), "cloudevent-invalid"},
		"empty subject":        {ce(`,"subject":""`), "cloudevent-invalid"},
		"upper case attribute": {ce(`,"myAttr":"x"`), "cloudevent-invalid"},
		"object attribute":     {ce(`,"attr":{}`), "cloudevent-invalid"},
		"null for an id":       {`{"specversion":"1.0","id":null,"source":"/s","type":"t"}`, "cloudevent-invalid"},
		"member twice":         {ce(`,"id":"2"`), "member-invalid"},
		"data and data_base64": {ce(`,"data":1,"data_base64":"AA=="`), "cloudevent-invalid"},
		"not base64":           {ce(`,"data_base64":"%%"`), "member-invalid"},
		"text that is no string": {ce(`,"datacontenttype":"text/plain","data":{}`),
			"member-invalid"},
		"base64 of what is no JSON": {ce(`,"data_base64":"e30="`) + " ", "ok"},
		"bytes that are no JSON":    {ce(`,"data_base64":"/w=="`), "json-invalid"},
		"a type of ours": {`{"specversion":"1.0","id":"1","source":"/s","type":"tidings.end"}`,
			"type-reserved"},
		"another topic": {ce(`,"topic":"elsewhere"`), "topic-invalid"},
		"an array":      {`[` + ce("") + `]`, "json-invalid"},
		"nothing":       {"", "empty-body"},
	} {
		a := s.do("POST", "/v1/topics/orders/events", c.body,
			"Content-Type: application/cloudevents+json")
		if c.code == "ok" {
			if a.status != 201 {
				t.Errorf("%s: %d %s", name, a.status, a.body)
			}
			continue
		}
		if p := a.problem(t); p.Code != c.code || p.Outcome != "not_stored" {
			t.Errorf("%s: %d %s, want %s", name, a.status, a.body, c.code)
		}
	}
	if a := s.do("POST", "/v1/topics/orders/events", "x", "Ce-Specversion: 1.0", "Ce-Id: 1",
		"Ce-Source: /s", "Ce-Type: t",
		"Ce-Subject: %zz"); a.problem(t).Code != "cloudevent-invalid" {
		t.Errorf("bad escape: %s", a.body)
	}
}

// TestCloudEventsSDK publishes with the CloudEvents project's own client, in each mode.
func TestCloudEventsSDK(t *testing.T) {
	s := start(t)
	client, err := cloudevents.NewClientHTTP(cehttp.WithTarget(s.url + "/v1/topics/orders/events"))
	if err != nil {
		t.Fatal(err)
	}
	for mode, in := range map[string]func(context.Context) context.Context{
		"binary": cloudevents.WithEncodingBinary, "structured": cloudevents.WithEncodingStructured,
	} {
		e := cloudevents.NewEvent()
		e.SetID(mode)
		e.SetSource("sdk")
		e.SetType("order.created")
		e.SetExtension("tenant", "täst")
		if err := e.SetData(cloudevents.ApplicationJSON, map[string]int{"order": 7}); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second is a retry
			if result := client.Send(in(t.Context()), e); !cloudevents.IsACK(result) {
				t.Fatalf("%s: %v", mode, result)
			}
		}
	}
	info := s.do("GET", "/v1/log", "")
	if !strings.Contains(info.body, `"events":2,`) {
		t.Errorf("after two events and two retries: %s", info.body)
	}
}
