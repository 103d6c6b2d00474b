package store

// Mark is a named read mark: how far somebody has read in some topics.
type Mark struct {
	ID     ID
	Topics Filter
}

// MaxMarkName bounds the subject and the name of a mark, in bytes.
const MaxMarkName = 255
