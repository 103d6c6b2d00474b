package deliver

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tidings/store"
)

// language holds the texts of messages to people.
type language struct {
	test, gap string // of a delivery's name
	several   string // of a count of events and one of topics
	more      string // of a count of topics
	many      string // of a count of events
	over      string // of the count that is exceeded
	newest    string // of a time
	field     string // of a name and a value
	event     noun   // for topics that match no noun
	alert     noun   // answers to alerts
	step      string // of a topic, a time, the name of a rule and a number
	steps     string // of a topic, a count of alerts and a time
	unheard   string // of the name of a rule and a time
	heard     string // of the name of a rule
	unwanted  string // the same
	ring      string // of a topic
	rings     string // of a topic and a count of alerts
	waiting   string // of a count of alerts
	deaf      string // of the name of a rule
	nouns     map[string]noun
	names     map[string]string // of fields
}

// noun is what events of a topic are about, as a line of a topic and a count: one new thing, several, one event about
// it, several.
type noun struct{ one, many, about, abouts string }

// languages are all languages of messages.
var languages = map[string]*language{"": english, "en": english, "zh": chinese}

var english = &language{
	test:    "This is a test of delivery %s. No action is needed.",
	gap:     "Delivery %s: events were deleted before they could be sent.",
	several: "%d new events in %d topics",
	more:    "and %d more topics",
	many:    "%d new events",
	over:    "more than %d new events",
	newest:  "The newest: %s",
	field:   "%s: %s",
	event:   noun{about: "%s: %d new event", abouts: "%s: %d new events"},
	alert:   noun{about: "%s: %d new event about alerts", abouts: "%s: %d new events about alerts"},
	step:    "%s: an alert has been open and unclaimed since %s (rule %s, step %d)",
	steps:   "%s: %d alerts are open and unclaimed, the oldest since %s",

	unheard:  "Nobody is listening to %s: no page that may play sound has been open since %s",
	heard:    "Somebody is listening to %s again",
	unwanted: "%s no longer needs a listener",
	ring:     "%s: an alert is waiting to be claimed",
	rings:    "%s: %d alerts are waiting to be claimed",
	waiting:  "%d alerts are waiting to be claimed",
	deaf:     "Nobody is listening to %s: no open page may play sound",
	nouns: map[string]noun{
		"order": {"%s: %d new order", "%s: %d new orders", "%s: %d new event about orders",
			"%s: %d new events about orders"},
		"comment": {"%s: %d new comment", "%s: %d new comments", "%s: %d new event about comments",
			"%s: %d new events about comments"},
		"ticket": {"%s: %d new ticket", "%s: %d new tickets", "%s: %d new event about tickets",
			"%s: %d new events about tickets"},
	},
}

var chinese = &language{
	test:    "这是投递 %s 的测试消息，无需处理。",
	gap:     "投递 %s：有事件还没发送就已删除。",
	several: "%d 个新事件，来自 %d 个主题",
	more:    "另有 %d 个主题",
	many:    "%d 个新事件",
	over:    "超过 %d 个新事件",
	newest:  "最新事件：%s",
	field:   "%s：%s",
	event:   noun{about: "%s：%d 个新事件", abouts: "%s：%d 个新事件"},
	alert:   noun{about: "%s：%d 条告警动态", abouts: "%s：%d 条告警动态"},
	step:    "%s：有一条告警自 %s 起待处理，至今无人认领（规则 %s，第 %d 步）",
	steps:   "%s：有 %d 条告警至今无人认领，最早一条始于 %s",

	unheard:  "没人能听到 %s 的告警：自 %s 起没有打开着的页面可以响铃",
	heard:    "又有人能听到 %s 的告警了",
	unwanted: "%s 已无需值守",
	ring:     "%s：有一条告警待处理，至今无人认领",
	rings:    "%s：有 %d 条告警待处理，至今无人认领",
	waiting:  "有 %d 条告警待处理，至今无人认领",
	deaf:     "没人能听到 %s 的告警：没有打开着的页面可以响铃",
	nouns: map[string]noun{
		"order":   {"%s：%d 个新订单", "%s：%d 个新订单", "%s：%d 条订单动态", "%s：%d 条订单动态"},
		"comment": {"%s：%d 条新评论", "%s：%d 条新评论", "%s：%d 条评论动态", "%s：%d 条评论动态"},
		"ticket":  {"%s：%d 个新工单", "%s：%d 个新工单", "%s：%d 条工单动态", "%s：%d 条工单动态"},
	},
	names: map[string]string{"amount": "金额", "author": "作者", "body": "内容", "comment": "内容", "content": "内容",
		"currency": "币种", "customer": "客户", "email": "邮箱", "id": "编号", "message": "内容", "name": "名称",
		"number": "编号", "order_id": "订单号", "phone": "电话", "priority": "优先级", "status": "状态",
		"subject": "主题", "text": "内容", "ticket_id": "工单号", "title": "标题", "total": "金额", "type": "类型", "user": "用户"},
}

// births are endings of event types that report something new.
var births = []string{"created", "placed", "opened", "added", "new", "posted", "submitted"}

// group is the content of one line: events of a topic, its steps, or what is reported of a rule.
type group struct {
	topic, own string // the topic to show, and the events' own
	n          int
	other      bool // not all of them are about new things
	step       *step
	alerts     map[string]bool // the alerts of the steps
	since      time.Time       // of the oldest of these
	hearing    *hearing        // the newest report
}

// groups returns the groups in the order of the first event of each, steps first, and the number of topics. What events
// are about is derived from the topic alone, unless types may be shown.
func groups(events []store.Event, types bool) (list []*group, topics int) {
	byKey, seen := map[string]*group{}, map[string]bool{}
	for i := range events {
		e := &events[i]
		s, said := stepOf(e), hearingOf(e)
		key := fmt.Sprint(s != nil, e.Topic)
		if said != nil {
			key = "rule " + said.Rule
		}
		g := byKey[key]
		if g == nil {
			g = &group{topic: topicOf(e), own: e.Topic, alerts: map[string]bool{}}
			byKey[key], seen[g.topic], list = g, true, append(list, g)
		}
		g.n, g.hearing = g.n+1, said
		if !types || !slices.Contains(births, e.Type[strings.LastIndex(e.Type, ".")+1:]) {
			g.other = true
		}
		if s != nil {
			if g.step == nil || s.Since.Before(g.since) {
				g.since = s.Since
			}
			g.step, g.alerts[linked(e)] = s, true
		}
	}
	late := func(g *group) int {
		switch {
		case g.step != nil:
			return 0
		case g.hearing != nil:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(list, func(a, b *group) int { return late(a) - late(b) })
	return list, len(seen)
}

// lines returns a line for each group.
func (l *language) lines(list []*group, zone *time.Location) (lines []string) {
	for _, g := range list {
		lines = append(lines, l.line(g, zone))
	}
	return lines
}

// line returns the line of a group: how many events there are.
func (l *language) line(g *group, zone *time.Location) string {
	if n := g.hearing; n != nil {
		rule := plain(n.Rule, maxValue)
		switch {
		case !n.over:
			return fmt.Sprintf(l.unheard, rule, n.Since.In(zone).Format(time.DateTime))
		case n.Reason == reasonHeard:
			return fmt.Sprintf(l.heard, rule)
		}
		return fmt.Sprintf(l.unwanted, rule)
	}
	if g.step != nil {
		since := g.since.In(zone).Format(time.DateTime)
		if n := len(g.alerts); n > 1 {
			return fmt.Sprintf(l.steps, g.topic, n, since)
		}
		return fmt.Sprintf(l.step, g.topic, since, plain(g.step.Rule, maxValue), g.step.Step)
	}
	noun := l.noun(g.own)
	form := noun.many
	switch isNew := !g.other && noun.one != ""; {
	case isNew && g.n == 1:
		form = noun.one
	case !isNew && g.n == 1:
		form = noun.about
	case !isNew:
		form = noun.abouts
	}
	return fmt.Sprintf(form, g.topic, g.n)
}

// noun is what the topic is about, by one of its segments, in the singular or the plural. In a reserved topic that is
// an answer to an alert, or an event.
func (l *language) noun(topic string) noun {
	if strings.HasPrefix(topic, alertsOf) {
		return l.alert
	}
	if !store.IsReserved(topic) {
		for segment := range strings.SplitSeq(topic, ".") {
			if n, ok := l.nouns[strings.TrimSuffix(segment, "s")]; ok {
				return n
			}
		}
	}
	return l.event
}

// fields are the lines with an event's content. For a step, that is the type of the event that it is about; for a
// report on who hears a rule, nothing: the rest is shown anyway.
func (l *language) fields(e *store.Event) (lines []string) {
	isStep := stepOf(e) != nil
	if hearingOf(e) != nil {
		return nil
	}
	for _, m := range object(e) {
		value := scalar(m.Value)
		if value == "" || isStep && m.Name != "type" {
			continue
		}
		if len(lines) == maxFields {
			return append(lines, "…")
		}
		name := l.names[m.Name]
		if name == "" {
			name = plain(m.Name, maxValue)
		}
		lines = append(lines, fmt.Sprintf(l.field, name, value))
	}
	if lines == nil && strings.HasPrefix(e.ContentType, "text/") {
		lines = []string{plain(string(e.Data), maxFields*maxValue/4)}
	}
	return lines
}
