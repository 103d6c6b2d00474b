package deliver

import (
	"context"

	"tidings/replay"
)

// maxFold bounds the events that one message to people covers.
const maxFold = 256

// atOnce is how many events to read at once.
func (w *worker) atOnce() int {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if w.d.record.people() {
		return maxFold
	}
	return readEvents
}

// sendFold sends all events of a page as one message if the receiver is people, and removes them from the page. No
// event waits for others: those present go together. The message has the ID of the first of them, so that it keeps its
// ID if there are more by the next attempt. Only what follows it waits, for the receiver's pace.
func (w *worker) sendFold(ctx context.Context, page *replay.Page) error {
	w.s.mu.Lock()
	recipient := w.d.record.Recipient
	w.s.mu.Unlock()
	if !recipient.people() || len(page.Events) == 0 {
		return nil
	}
	m := message{id: page.Events[0].ID.String(), events: page.Events}
	last := page.Events[len(page.Events)-1].ID
	page.Events = nil
	err := w.send(ctx, &m, nil, func(d *delivery) { d.passEvent(nil, last) })
	if err != nil || len(m.events) == 0 { // nothing was sent
		return err
	}
	sleep(ctx, recipient.receiver().traits().pace)
	return ctx.Err()
}
