package storetest_test

import (
	"context"
	"iter"

	"tidings/store"
)

// sabotaged is a Log that breaks a rule in each method whose field is set.
type sabotaged struct {
	store.Log
	page   func(log store.Log, p *store.Page)
	max    func(max int) int
	append func(log store.Log, drafts []store.Draft) ([]store.ID, error) // of one group, no key
	before func(store.ID) store.ID                                       // of Trim
	limits func(*store.Limits)                                           // of a topic, in Retain
	whole  func(*store.Retention)                                        // before Retain
	n      func(n int) int                                               // of Newest
	wait   func(log store.Log, after store.ID) error
	info   func(*store.TopicInfo)
	get    func(*store.Event)
	close  func(log store.Log) error
}

func (s *sabotaged) AppendOnce(ctx context.Context, groups []store.Group) ([]store.Result, error) {
	if s.append == nil || len(groups) != 1 || groups[0].Key != "" || len(groups[0].Drafts) == 0 {
		return s.Log.AppendOnce(ctx, groups)
	}
	ids, err := s.append(s.Log, groups[0].Drafts)
	if err != nil {
		return nil, err
	}
	return []store.Result{{IDs: ids}}, nil
}

func (s *sabotaged) Get(id store.ID) (store.Event, error) {
	e, err := s.Log.Get(id)
	if s.get != nil && err == nil {
		s.get(&e)
	}
	return e, err
}

func (s *sabotaged) NewReader(f store.Filter, after store.ID) store.Reader {
	return &sabotagedReader{Reader: s.Log.NewReader(f, after), log: s}
}

type sabotagedReader struct {
	store.Reader
	log *sabotaged
}

func (r *sabotagedReader) Next(limit int) (store.Page, error) {
	if r.log.max != nil {
		limit = r.log.max(limit)
	}
	page, err := r.Reader.Next(limit)
	if r.log.page != nil && err == nil {
		r.log.page(r.log.Log, &page)
	}
	return page, err
}

func (s *sabotaged) Newest(f store.Filter, before store.ID, n, maxBytes int) (store.ID, error) {
	if s.n != nil {
		n = s.n(n)
	}
	return s.Log.Newest(f, before, n, maxBytes)
}

func (s *sabotaged) Wait(ctx context.Context, after store.ID) error {
	if s.wait != nil {
		return s.wait(s.Log, after)
	}
	return s.Log.Wait(ctx, after)
}

func (s *sabotaged) Trim(ctx context.Context, f store.Filter, before store.ID) (int, error) {
	if s.before != nil {
		before = s.before(before)
	}
	return s.Log.Trim(ctx, f, before)
}

func (s *sabotaged) Retain(ctx context.Context, keep store.Retention) (int, error) {
	limits := keep.OfTopic
	keep.OfTopic = func(topic string) store.Limits {
		l := limits(topic)
		if s.limits != nil {
			s.limits(&l)
		}
		return l
	}
	if s.whole != nil {
		s.whole(&keep)
	}
	return s.Log.Retain(ctx, keep)
}

func (s *sabotaged) Topics(f store.Filter) iter.Seq[store.TopicInfo] {
	return func(yield func(store.TopicInfo) bool) {
		for info := range s.Log.Topics(f) {
			if s.info != nil {
				s.info(&info)
			}
			if !yield(info) {
				return
			}
		}
	}
}

func (s *sabotaged) Close() error {
	if s.close != nil {
		return s.close(s.Log)
	}
	return s.Log.Close()
}
