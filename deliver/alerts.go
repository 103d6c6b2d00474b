package deliver

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"tidings/store"
)

// alertsOf prefixes the topic that the answers to alerts are about. typeStep is the type of a step that fired because
// nobody has answered. typeUnheard reports that nobody would hear an alert of a rule; typeWithdrawn that this is over,
// with reasonHeard because somebody would again (docs/ALERTS.md). Only the server itself writes them.
const (
	alertsOf      = "$alerts."
	typeStep      = "alert.step"
	typeUnheard   = "alert.unheard"
	typeWithdrawn = "alert.withdrawn"
	reasonHeard   = "heard"
)

// hearing is an event's report on who would hear the alerts of a rule.
type hearing struct {
	Rule   string    `json:"rule"`
	Since  time.Time `json:"since"`  // since when nobody would hear
	Reason string    `json:"reason"` // why that is over
	over   bool
}

// hearingOf returns an event's hearing report; nil if it is not one.
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

// step is the content of a step event: its rule, its number, and since when the alert is open.
type step struct {
	Rule  string    `json:"rule"`
	Step  int       `json:"step"`
	Since time.Time `json:"since"`
}

// stepOf returns the step in an event; nil if it is not a step.
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

// topicOf is the topic to show people: for an answer to an alert, the alert's topic.
func topicOf(e *store.Event) string {
	if strings.HasPrefix(e.Topic, alertsOf) {
		return store.About(e.Topic)
	}
	return e.Topic
}

// linked is the ID of the event to link to: for an answer to an alert, the alert itself.
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
