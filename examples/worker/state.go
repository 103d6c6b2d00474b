package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
)

// state is what the worker has done and how far it has read: one file, so that both change together or not at all. In a
// database it would be two tables and one transaction.
type state struct {
	Cursor string         `json:"cursor"`
	Stock  map[string]int `json:"stock"`          // pieces by article
	Gaps   []gap          `json:"gaps,omitempty"` // for somebody to look at
}

// order is the data of an event of type order.created.
type order struct {
	Article string `json:"article"`
	Pieces  int    `json:"pieces"`
}

func load(path string) (*state, error) {
	s := &state{Stock: map[string]int{}}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	return s, json.Unmarshal(content, s)
}

// apply adds a page to the state. An event that it does not understand ends the worker: whether to skip it is for you
// to decide.
func (s *state) apply(p page) error {
	// a gap may be reported again
	if p.Gap != nil && (len(s.Gaps) == 0 || s.Gaps[len(s.Gaps)-1] != *p.Gap) {
		log.Printf("gap: %s: %s", p.Gap.Reason, p.Gap.Detail)
		s.Gaps = append(s.Gaps, *p.Gap)
	}
	for _, e := range p.Events {
		if e.Type != "order.created" {
			continue
		}
		var o order
		if err := json.Unmarshal(e.Data, &o); err != nil {
			return fmt.Errorf("event %s: %w", e.ID, err)
		}
		s.Stock[o.Article] -= o.Pieces
	}
	s.Cursor = p.Next
	return nil
}

// save replaces the file with a new one: after a crash either the old or the new one is there.
func (s *state) save(path string) error {
	content, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	temporary := path + ".new"
	f, err := os.Create(temporary)
	if err != nil {
		return err
	}
	_, err = f.Write(append(content, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close()) // the new name is on disk, too
}
