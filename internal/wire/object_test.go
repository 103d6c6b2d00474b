package wire_test

import (
	"errors"
	"testing"

	"tidings/internal/wire"
)

func TestObjectIsStrict(t *testing.T) {
	tests := []struct{ name, text, code, field string }{
		{"a name twice", `{"a":1,"b":2,"a":1}`, "member-invalid", "a"},
		{"a name twice, once escaped", `{"a":1,"\u0061":1}`, "member-invalid", "a"},
		{"not UTF-8", "{\"a\":\"\xff\"}", "json-invalid", ""},
		{"an array", `[]`, "json-invalid", ""},
		{"two objects", `{} {}`, "json-invalid", ""},
		{"no end", `{"a":1`, "json-invalid", ""},
		{"nothing", " \n", "empty-body", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var e *wire.Error
			if _, err := wire.ParseObject([]byte(tt.text)); !errors.As(err, &e) ||
				e.Code != tt.code || e.Field != tt.field {
				t.Errorf("ParseObject: %#v, want %s of %q", err, tt.code, tt.field)
			}
			if _, err := wire.SplitObject([]byte(tt.text)); err == nil {
				t.Error("SplitObject accepts it")
			}
		})
	}
	const surrogate = `{"a":"\ud800"}`
	if _, err := wire.ParseObject([]byte(surrogate)); err == nil {
		t.Errorf("ParseObject accepts %s", surrogate)
	}
	if _, err := wire.SplitObject([]byte(surrogate)); err != nil {
		t.Errorf("SplitObject: %v for %s", err, surrogate)
	}
	object, err := wire.ParseObject([]byte(` {"a": [1, 1], "A": {"b":1,"b":2}} `))
	if err != nil || len(object) != 2 || object[1].Name != "A" || string(object.Get("a")) != "[1, 1]" {
		t.Errorf("got %q, %v", object, err)
	}
}
