package bolt

import (
	"context"
	"fmt"
	"slices"

	"tidings/store"
)

// Append implements store.Log.
func (l *Log) Append(ctx context.Context, drafts []store.Draft) ([]store.ID, error) {
	results, err := l.AppendOnce(ctx, []store.Group{{Drafts: drafts}})
	if err != nil {
		return nil, err
	}
	return results[0].IDs, nil
}

// AppendOnce implements store.Log.
func (l *Log) AppendOnce(ctx context.Context, groups []store.Group) ([]store.Result, error) {
	r, err := newRequest(groups)
	if err != nil {
		return nil, err
	}
	if err := l.queue.do(ctx, r); err != nil {
		return nil, err
	}
	results := make([]store.Result, len(r.groups))
	for i := range r.groups {
		results[i] = r.groups[i].result
	}
	return results, nil
}

// newRequest checks what can be checked without the log.
func newRequest(groups []store.Group) (*request, error) {
	r := &request{groups: make([]group, len(groups))}
	for i, g := range groups {
		if len(g.Drafts) == 0 {
			return nil, ofGroup(i, len(groups),
				fmt.Errorf("%w batch: at least one event", store.ErrInvalid))
		}
		for j := range g.Drafts {
			d := &g.Drafts[j]
			err := d.Validate()
			if err == nil && d.Type == store.TypeEnd && (len(groups) > 1 || len(g.Drafts) > 1) {
				err = fmt.Errorf("%w batch: an event that ends its topic comes alone",
					store.ErrInvalid)
			}
			if err != nil {
				return nil, ofGroup(i, len(groups), ofDraft(j, len(g.Drafts), err))
			}
		}
		r.groups[i].drafts = g.Drafts
		if g.Key != "" {
			r.groups[i].key = newKey(g)
		}
	}
	if len(groups) == 0 {
		return nil, fmt.Errorf("%w batch: at least one event", store.ErrInvalid)
	}
	return r, nil
}

func ofGroup(i, n int, err error) error {
	if n == 1 {
		return err
	}
	return &store.GroupError{Index: i, Err: err}
}

func ofDraft(i, n int, err error) error {
	if n == 1 {
		return err
	}
	return fmt.Errorf("event %d of %d: %w", i+1, n, err)
}

// admit decides, on the committer's goroutine, what becomes of each group of r: replayed with a
// known result, or stored, unless full says that there is no room. It creates new topics. After an
// error nothing of r is stored.
func (c *committer) admit(b *buckets, r *request, full error) error {
	var fresh []string
	for i := range r.groups {
		g := &r.groups[i]
		g.result, g.twin = store.Result{}, nil // of an earlier try that found no space
		known, err := c.replay(b, r.groups[:i], g)
		if known || err != nil {
			if err != nil {
				return ofGroup(i, len(r.groups), err)
			}
			continue
		}
		for j := range g.drafts {
			switch t := c.topic(g.drafts[j].Topic); {
			case t == nil:
				fresh = append(fresh, g.drafts[j].Topic)
			case t.next.ended.IsZero():
			case g.drafts[j].Type == store.TypeEnd:
				g.result = store.Result{IDs: []store.ID{t.next.ended}, Replayed: true,
					Trimmed: !t.next.trimmed.Before(t.next.ended)}
			default:
				return ofGroup(i, len(r.groups), fmt.Errorf("%w: %s", store.ErrEnded, t.name))
			}
		}
	}
	if full != nil && r.stores() {
		return full
	}
	return c.create(b, fresh)
}

// replay looks the group's key up: among the groups before it in its own request, which will be
// stored with it, and among all that were stored.
func (c *committer) replay(b *buckets, before []group, g *group) (known bool, err error) {
	if g.key == nil {
		return false, nil
	}
	for i := range before {
		if first := &before[i]; first.key != nil && first.key.hash == g.key.hash {
			if first.key.fingerprint != g.key.fingerprint {
				return false, store.ErrKeyMismatch
			}
			g.twin = first
			return true, nil
		}
	}
	g.result, known, err = c.keys.lookup(b, g.key, c.now())
	return known, err
}

// create makes the topics that are named, unless they would be too many.
func (c *committer) create(b *buckets, names []string) error {
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > 0 && len(c.index.byID)+len(c.created)+len(names) > c.maxTopics {
		return fmt.Errorf("%w: at most %d", store.ErrTopicLimit, c.maxTopics)
	}
	for _, name := range names {
		t := &topic{id: uint32(len(c.index.byID) + len(c.created)), name: name}
		if err := putTopic(b.topics, t); err != nil {
			return err
		}
		c.created[name] = t
	}
	return nil
}
