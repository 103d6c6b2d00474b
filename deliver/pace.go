package deliver

import (
	"time"

	"tidings/store"
)

// paceOver is how far apart the looks are by which it is known how fast a delivery is.
const paceOver = time.Minute

// stand is where a delivery was, and when.
type stand struct {
	at   store.ID
	when time.Time
}

// look notes where the delivery has come to, once a minute. The caller holds mu.
func (d *delivery) look(now time.Time) {
	if now.Sub(d.stands[1].when) >= paceOver {
		d.stands = [2]stand{d.stands[1], {d.floor(), now}}
	}
}

// lookAnew forgets how fast the delivery was. The caller holds mu.
func (d *delivery) lookAnew(now time.Time) {
	d.stands = [2]stand{{d.floor(), now}, {d.floor(), now}}
}

// pace is how fast the delivery has come to where it is, over the last minute or two: seconds of the log a second. It
// is 1 where it keeps up with what comes, 0 where it stands. The caller holds mu.
func (d *delivery) pace(at store.ID, now time.Time) float64 {
	from := d.stands[0]
	if took := now.Sub(from.when); took > 0 && !from.at.IsZero() {
		return max(0, at.Time().Sub(from.at.Time()).Seconds()/took.Seconds())
	}
	return 0
}
