package store

import (
	"context"
	"fmt"
	"slices"
)

// Append implements Log.
func (l *Bolt) Append(ctx context.Context, drafts []Draft) ([]ID, error) {
	results, err := l.AppendOnce(ctx, []Group{{Drafts: drafts}})
	if err != nil {
		return nil, err
	}
	return results[0].IDs, nil
}

// AppendOnce implements Log.
func (l *Bolt) AppendOnce(ctx context.Context, groups []Group) ([]Result, error) {
	r, err := newRequest(groups)
	if err != nil {
		return nil, err
	}
	if err := l.queue.do(ctx, r); err != nil {
		return nil, err
	}
	results := make([]Result, len(r.groups))
	for i := range r.groups {
		results[i] = r.groups[i].result
	}
	return results, nil
}

// newRequest checks what can be checked without the log.
func newRequest(groups []Group) (*request, error) {
	r := &request{groups: make([]group, len(groups))}
	for i, g := range groups {
		if len(g.Drafts) == 0 {
			return nil, ofGroup(i, len(groups), fmt.Errorf("%w batch: at least one event", ErrInvalid))
		}
		for j := range g.Drafts {
			d := &g.Drafts[j]
			err := d.validate()
			if err == nil && d.Type == TypeEnd && (len(groups) > 1 || len(g.Drafts) > 1) {
				err = fmt.Errorf("%w batch: an event that ends its topic comes alone", ErrInvalid)
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
		return nil, fmt.Errorf("%w batch: at least one event", ErrInvalid)
	}
	return r, nil
}

func ofGroup(i, n int, err error) error {
	if n == 1 {
		return err
	}
	return &GroupError{Index: i, Err: err}
}

func ofDraft(i, n int, err error) error {
	if n == 1 {
		return err
	}
	return fmt.Errorf("event %d of %d: %w", i+1, n, err)
}

// admit decides, on the committer's goroutine, what becomes of each group of r: replayed with a known result, or
// stored, unless full says that there is no room. It creates new topics. After an error nothing of r is stored.
func (c *committer) admit(b *buckets, r *request, full error) error {
	var fresh []string
	for i := range r.groups {
		g := &r.groups[i]
		g.result, g.twin = Result{}, nil // of an earlier try that found no space
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
			case t.work.ended.IsZero():
			case g.drafts[j].Type == TypeEnd:
				g.result = Result{IDs: []ID{t.work.ended}, Replayed: true, Trimmed: !t.work.trimmed.Before(t.work.ended)}
			default:
				return ofGroup(i, len(r.groups), fmt.Errorf("%w: %s", ErrEnded, t.name))
			}
		}
	}
	if full != nil && r.stores() {
		return full
	}
	return c.create(b, fresh)
}

// replay looks the group's key up: among the groups before it in its own request, which will be stored
// with it, and among all that were stored.
func (c *committer) replay(b *buckets, before []group, g *group) (known bool, err error) {
	if g.key == nil {
		return false, nil
	}
	for i := range before {
		if first := &before[i]; first.key != nil && first.key.hash == g.key.hash {
			if first.key.fingerprint != g.key.fingerprint {
				return false, ErrKeyMismatch
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
		return fmt.Errorf("%w: at most %d", ErrTopicLimit, c.maxTopics)
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
