package deliver

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"tidings/store"
)

// alertsOf is before the topic that answers to alerts are about, and typeStep is the type of a step that was taken
// because nobody has answered. typeUnheard says that nobody would hear an alert of a rule, typeWithdrawn that this is
// over, for reasonHeard because somebody would (docs/ALERTS.md). Only the server itself writes them.
const (
	alertsOf      = "$alerts."
	typeStep      = "alert.step"
	typeUnheard   = "alert.unheard"
	typeWithdrawn = "alert.withdrawn"
	reasonHeard   = "heard"
)

// hearing is what an event says of who would hear the alerts of a rule.
type hearing struct {
	Rule   string    `json:"rule"`
	Since  time.Time `json:"since"`  // nobody would
	Reason string    `json:"reason"` // that is over
	over   bool
}

// hearingOf returns what an event says of who would hear; nil if it says nothing of that.
func hearingOf(e *store.Event) *hearing {
	if e.Type != typeUnheard && e.Type != typeWithdrawn || !strings.HasPrefix(e.Topic, alertsOf) {
		return nil
	}
	n := &hearing{Since: e.Time(), over: e.Type == typeWithdrawn}
	if json.Unmarshal(e.Data, n) != nil {
		return nil
	}
	return n
}

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
