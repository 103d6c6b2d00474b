package wire

import (
	"bytes"
	"fmt"
	"mime"
	"strings"
	"unicode"
	"unicode/utf8"

	"tidings/store"
)

// Media is what a content type means for the data under it.
type Media int

const (
	binaryMedia Media = iota // carried as base64 where text is needed
	textMedia                // UTF-8 without NUL
	jsonMedia                // one JSON text
)

// ParseMediaType is mime.ParseMediaType, with a shortcut for the types of nearly all events.
func ParseMediaType(v string) (base string, params map[string]string, err error) {
	switch v {
	case "application/json", "text/plain":
		return v, nil, nil
	}
	return mime.ParseMediaType(v)
}

// mediaOf classifies a content type.
func mediaOf(contentType string) Media {
	base, _, err := ParseMediaType(contentType)
	if err != nil {
		return binaryMedia // like data without a type
	}
	return mediaOfBase(base)
}

// mediaOfBase is mediaOf for a type without parameters, in lower case.
func mediaOfBase(base string) Media {
	switch {
	case base == "application/json", strings.HasSuffix(base, "+json"):
		return jsonMedia
	case strings.HasPrefix(base, "text/"), base == "application/xml",
		strings.HasSuffix(base, "+xml"):
		return textMedia
	default:
		return binaryMedia
	}
}

// Check refuses data that is not what its content type promises, and what a stream could not carry unchanged. It
// returns an *Error.
func (m Media) Check(data []byte) error {
	switch m {
	case jsonMedia:
		return checkJSON(data)
	case textMedia:
		if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
			return &Error{Code: "data-not-text", Detail: "text data is UTF-8 without NUL"}
		}
	}
	return nil
}

// ContentType decides, from the Content-Type headers of data that is sent as it is, what is stored as its content
// type and how it is checked. A missing type and the form type, which curl sends by itself, count as JSON. It returns
// an *Error.
func ContentType(headers []string) (contentType string, kind Media, err error) {
	if len(headers) == 0 || len(headers) == 1 && strings.TrimSpace(headers[0]) == "" {
		return "application/json", jsonMedia, nil
	}
	base, params, err := ParseMediaType(headers[0])
	if err != nil || len(headers) > 1 || len(headers[0]) > store.MaxNameBytes {
		return "", 0, unsupportedMedia(headers)
	}
	if base == "application/x-www-form-urlencoded" {
		return "application/json", jsonMedia, nil
	}
	if kind = mediaOfBase(base); kind == binaryMedia || kind == textMedia && !isUnicode(params) {
		return "", 0, unsupportedMedia(headers)
	}
	return headers[0], kind, nil
}

func unsupportedMedia(headers []string) error {
	return &Error{Code: "media-unsupported", Field: "Content-Type",
		Detail: fmt.Sprintf(
			"expected JSON, text/* or XML, in UTF-8, got %.128q; other data travels as a "+
				"CloudEvent",
			strings.Join(headers, ", "))}
}

// isUnicode reports whether the charset among a text's parameters is UTF-8 or a subset of it, by its names in the
// Encoding standard and IANA's registry. JSON has no such parameter (RFC 8259 §11): its value there is ignored, the
// bytes are checked.
func isUnicode(params map[string]string) bool {
	switch strings.ToLower(params["charset"]) {
	case "", "utf-8", "utf8", "us-ascii", "ascii":
		return true
	default:
		return false
	}
}

// checkContent is for events that name their content type themselves: any type is accepted.
func checkContent(contentType string, data []byte) error {
	kind, err := checkContentType(contentType)
	if err != nil {
		return err
	}
	return kind.Check(data)
}

func checkContentType(contentType string) (Media, error) {
	base, params, err := ParseMediaType(contentType)
	if err != nil || len(contentType) > store.MaxNameBytes ||
		strings.ContainsFunc(contentType, unicode.IsControl) {
		return 0, &Error{Code: "member-invalid", Field: "datacontenttype",
			Detail: fmt.Sprintf("expected a media type, got %.128q", contentType)}
	}
	kind := mediaOfBase(base)
	if kind == textMedia && !isUnicode(params) {
		return 0, &Error{Code: "media-unsupported", Field: "datacontenttype",
			Detail: fmt.Sprintf("text is UTF-8, got %.128q", contentType)}
	}
	return kind, nil
}

// checkSize limits data to max bytes.
func checkSize(data []byte, max int64) error {
	if int64(len(data)) > max {
		return &Error{Code: "body-too-large", MaxBytes: max,
			Detail: fmt.Sprintf("the data of an event has at most %d bytes", max)}
	}
	return nil
}
