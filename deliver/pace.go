package deliver

import (
	"time"

	"tidings/store"
)

// paceOver is the interval between the two positions that a delivery's pace is computed from.
const paceOver = time.Minute

// stand is where a delivery was, and when.
type stand struct {
	at   store.ID
	when time.Time
}

// look records the delivery's position, once a minute. The caller holds mu.
func (d *delivery) look(now time.Time) {
	if now.Sub(d.stands[1].when) >= paceOver {
		d.stands = [2]stand{d.stands[1], {d.floor(), now}}
	}
}

// lookAnew resets the delivery's pace. The caller holds mu.
func (d *delivery) lookAnew(now time.Time) {
	d.stands = [2]stand{{d.floor(), now}, {d.floor(), now}}
}

// pace is how fast the delivery has advanced over the last minute or two, in seconds of the log per second: 1 if it
// keeps up, 0 if it stalls. The caller holds mu.
func (d *delivery) pace(at store.ID, now time.Time) float64 {
	from := d.stands[0]
	if took := now.Sub(from.when); took > 0 && !from.at.IsZero() {
		return max(0, at.Time().Sub(from.at.Time()).Seconds()/took.Seconds())
	}
	return 0
}
