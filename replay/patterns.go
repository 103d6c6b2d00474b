package replay

import "strings"

// patterns finds the feeds that want a topic: a trie of pattern segments, "*" and ">" among them.
type patterns struct {
	children map[string]*patterns
	feeds    []*feed // whose pattern ends here
}

func (p *patterns) add(pattern string, f *feed) {
	for segment := range strings.SplitSeq(pattern, ".") {
		child := p.children[segment]
		if child == nil {
			child = &patterns{}
			if p.children == nil {
				p.children = make(map[string]*patterns)
			}
			p.children[segment] = child
		}
		p = child
	}
	p.feeds = append(p.feeds, f)
}

// remove undoes add, and reports whether nothing is left of p.
func (p *patterns) remove(pattern string, f *feed) bool {
	if pattern == "" {
		for i := range p.feeds {
			if p.feeds[i] == f {
				p.feeds = append(p.feeds[:i], p.feeds[i+1:]...)
				break
			}
		}
	} else {
		segment, rest, _ := strings.Cut(pattern, ".")
		if p.children[segment].remove(rest, f) {
			delete(p.children, segment)
		}
	}
	return len(p.feeds) == 0 && len(p.children) == 0
}

// match calls visit for each feed of each pattern that matches the topic: more than once for a feed
// of which several do.
func (p *patterns) match(topic string, visit func(*feed)) {
	segment, rest, more := strings.Cut(topic, ".")
	if end := p.children[">"]; end != nil {
		end.visit(visit)
	}
	for _, key := range [2]string{"*", segment} {
		child := p.children[key]
		switch {
		case child == nil:
		case more:
			child.match(rest, visit)
		default:
			child.visit(visit)
		}
	}
}

func (p *patterns) visit(visit func(*feed)) {
	for _, f := range p.feeds {
		visit(f)
	}
}
