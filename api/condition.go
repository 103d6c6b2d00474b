package api

import (
	"net/http"
	"regexp"
	"strings"

	"tidings/store"
)

// applyCondition applies the request's condition to the publication.
func applyCondition(r *http.Request, pub *publication) *problem {
	newest, field, p := conditionOf(r)
	if p != nil || newest == nil {
		return p
	}
	topic := pub.groups[0].Drafts[0].Topic
	for _, g := range pub.groups {
		for _, d := range g.Drafts {
			if d.Topic != topic {
				return &problem{code: "condition-invalid", field: field,
					detail: "a condition covers one topic; this batch has " + topic + " and " + d.Topic}
			}
		}
	}
	pub.groups[0].Newest = newest
	return nil
}

// conditionOf returns what the topic's newest event must be: the ID in If-Match, the zero ID for "If-None-Match: *",
// nil without a condition (RFC 9110 §13.1). Of the forms of these headers it accepts only the two that can be meant.
func conditionOf(r *http.Request) (newest *store.ID, field string, p *problem) {
	match, none := r.Header.Values("If-Match"), r.Header.Values("If-None-Match")
	switch {
	case len(match)+len(none) == 0:
		return nil, "", nil
	case len(match) > 0 && len(none) > 0:
		return nil, "", &problem{code: "condition-invalid", field: "If-Match",
			detail: "If-Match and If-None-Match are mutually exclusive"}
	case len(none) > 0:
		if len(none) > 1 || none[0] != "*" {
			return nil, "", &problem{code: "condition-invalid", field: "If-None-Match",
				detail: `expected *, for a topic that never had an event; use If-Match: "ID" to name its newest`}
		}
		return &store.ID{}, "If-None-Match", nil
	}
	text, quoted := strings.CutPrefix(match[0], `"`)
	text, closed := strings.CutSuffix(text, `"`)
	id, err := store.ParseID(text)
	if len(match) > 1 || !quoted || !closed || err != nil || id.IsZero() {
		return nil, "", &problem{code: "condition-invalid", field: "If-Match",
			detail: `expected one ID in quotes, such as "01M8K7XH360000002FEB7VGCDD": the newest event of the topic`}
	}
	return &id, "If-Match", nil
}

// entityTag returns the topic's entity tag, as If-Match takes it.
func entityTag(id store.ID) string { return `"` + id.String() + `"` }

// settingsTagOf returns the tag of a rule's or a delivery's settings in If-Match, "" for "If-None-Match: *", nil
// without a condition (RFC 9110 §13.1).
func settingsTagOf(r *http.Request) (tag *string, p *problem) {
	match, none := r.Header.Values("If-Match"), r.Header.Values("If-None-Match")
	switch {
	case len(match)+len(none) == 0:
		return nil, nil
	case len(match) == 0 && len(none) == 1 && none[0] == "*":
		return new(string), nil
	case len(match) == 1 && len(none) == 0 && settingsTag.MatchString(match[0]):
		text := strings.Trim(match[0], `"`)
		return &text, nil
	}
	return nil, &problem{code: "condition-invalid", field: "If-Match",
		detail: `expected its "tag" in quotes, or If-None-Match: * for one that does not exist yet`}
}

var settingsTag = regexp.MustCompile(`^"[0-9a-f]{16}"$`)
