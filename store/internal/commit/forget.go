package commit

import (
	"slices"

	"tidings/store"
)

func (d *Decider) expired(first store.ID) bool {
	return !first.Time().After(d.state.KeysPast)
}

// forget names the keys beyond the limits: those that are too old, then, if there are too many, those of
// the owners who have most, so that no flood costs another owner a key. It names at most a few more than
// twice what the commit adds, so that the work is spread.
func (d *Decider) forget() {
	added := d.commit.Keys
	if len(added) == 0 {
		return
	}
	most := 2*len(added) + 16
	var old []Key
	if d.state.Keys > 0 && d.expired(d.state.OldestKey) {
		old = d.view.OldestKeys(most)
		if i := slices.IndexFunc(old, func(k Key) bool { return !d.expired(k.First) }); i >= 0 {
			old = old[:i]
		}
	}
	for _, k := range old {
		d.commit.Forget = append(d.commit.Forget, k.First)
	}
	over := min(d.state.Keys+len(added)-d.state.MaxKeys, most) - len(old)
	if over > 0 {
		crowd := d.view.Shares().Crowd(added, old, over)
		d.commit.Forget, d.crowded = append(d.commit.Forget, crowd...), len(crowd)
	}
}

// Crowded is the number of keys that the last commit forgets early for lack of room.
func (d *Decider) Crowded() int { return d.crowded }
