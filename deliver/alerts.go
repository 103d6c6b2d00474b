package deliver

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"tidings/store"
)

// alertsOf is before the topic that answers to alerts are about, and typeStep is the type of a step that was taken
// because nobody has answered (docs/ALERTS.md). Only the server itself writes both.
const (
	alertsOf = "$alerts."
	typeStep = "alert.step"
)

// step is what the event of a step says: of which rule it is, the how manyth, and since when the alert is open.
type step struct {
	Rule  string    `json:"rule"`
	Step  int       `json:"step"`
	Since time.Time `json:"since"`
}

// stepOf returns what a step says; nil if the event is none.
func stepOf(e *store.Event) *step {
	if e.Type != typeStep || !strings.HasPrefix(e.Topic, alertsOf) {
		return nil
	}
	s := &step{Since: e.Time()}
	if json.Unmarshal(e.Data, s) != nil {
		return nil
	}
	return s
}

// topicOf is the topic that people are told of: of an answer to an alert that of the alert.
func topicOf(e *store.Event) string {
	if strings.HasPrefix(e.Topic, alertsOf) {
		return store.About(e.Topic)
	}
	return e.Topic
}

// linked is the event that a link leads to: of an answer to an alert the one that demands it.
func linked(e *store.Event) string {
	if !strings.HasPrefix(e.Topic, alertsOf) {
		return e.ID.String()
	}
	for _, a := range e.Attributes {
		if id, err := strconv.Unquote(a.Value); err == nil && a.Name == "subject" {
			return id
		}
	}
	return e.ID.String()
}
