package deliver

import (
	"fmt"
	"slices"
	"strings"

	"tidings/store"
)

// language is what a message to people is made of.
type language struct {
	test, gap string // of a delivery's name
	several   string // of a count of events and one of topics
	more      string // of a count of topics
	many      string // of a count of events
	over      string // of a count that they are more than
	newest    string // of a time
	field     string // of a name and a value
	event     noun   // what is neither of the nouns
	nouns     map[string]noun
	names     map[string]string // of fields
}

// noun is what events of a topic are about, as a line of a topic and a count: one that is new, several, one event
// about it, several.
type noun struct{ one, many, about, abouts string }

// languages are all that messages are written in.
var languages = map[string]*language{"": english, "en": english, "zh": chinese}

var english = &language{
	test:    "This is a test of the delivery %s. Nothing needs to be done.",
	gap:     "Delivery %s: events were deleted before they could be sent.",
	several: "%d new events in %d topics",
	more:    "and %d more topics",
	many:    "%d new events",
	over:    "more than %d new events",
	newest:  "The newest: %s",
	field:   "%s: %s",
	event:   noun{about: "%s: %d new event", abouts: "%s: %d new events"},
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
	gap:     "投递 %s：有事件在发送前已被删除。",
	several: "%d 条新事件，来自 %d 个主题",
	more:    "另有 %d 个主题",
	many:    "%d 条新事件",
	over:    "超过 %d 条新事件",
	newest:  "最新一条：%s",
	field:   "%s：%s",
	event:   noun{about: "%s：%d 条新事件", abouts: "%s：%d 条新事件"},
	nouns: map[string]noun{
		"order":   {"%s：%d 个新订单", "%s：%d 个新订单", "%s：%d 条新的订单动态", "%s：%d 条新的订单动态"},
		"comment": {"%s：%d 条新评论", "%s：%d 条新评论", "%s：%d 条新的评论动态", "%s：%d 条新的评论动态"},
		"ticket":  {"%s：%d 个新工单", "%s：%d 个新工单", "%s：%d 条新的工单动态", "%s：%d 条新的工单动态"},
	},
	names: map[string]string{"amount": "金额", "author": "作者", "body": "内容", "comment": "内容", "content": "内容",
		"currency": "币种", "customer": "客户", "email": "邮箱", "id": "编号", "message": "内容", "name": "名称",
		"number": "编号", "order_id": "订单号", "phone": "电话", "priority": "优先级", "status": "状态",
		"subject": "主题", "text": "内容", "ticket_id": "工单号", "title": "标题", "total": "金额", "user": "用户"},
}

// births are ends of types of events by which something comes into being.
var births = []string{"created", "placed", "opened", "added", "new", "posted", "submitted"}

// lines says of each topic how many events there are, in the order of the first of each. What they are about is told by
// the topic alone unless types may be told.
func (l *language) lines(events []store.Event, types bool) (lines []string) {
	var topics []string
	count, other := map[string]int{}, map[string]bool{}
	for i := range events {
		topic, typ := events[i].Topic, events[i].Type
		if count[topic] == 0 {
			topics = append(topics, topic)
		}
		count[topic]++
		if !types || !slices.Contains(births, typ[strings.LastIndex(typ, ".")+1:]) {
			other[topic] = true
		}
	}
	for _, topic := range topics {
		n, noun := count[topic], l.noun(topic)
		form := noun.many
		switch isNew := !other[topic] && noun.one != ""; {
		case isNew && n == 1:
			form = noun.one
		case !isNew && n == 1:
			form = noun.about
		case !isNew:
			form = noun.abouts
		}
		lines = append(lines, fmt.Sprintf(form, topic, n))
	}
	return lines
}

// noun is what the topic is about, by one of its segments, in the singular or the plural. What is about a topic is an
// event.
func (l *language) noun(topic string) noun {
	if !store.IsReserved(topic) {
		for segment := range strings.SplitSeq(topic, ".") {
			if n, ok := l.nouns[strings.TrimSuffix(segment, "s")]; ok {
				return n
			}
		}
	}
	return l.event
}

// fields are the lines of what an event says.
func (l *language) fields(e *store.Event) (lines []string) {
	for _, m := range object(e) {
		value := scalar(m.Value)
		if value == "" {
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
