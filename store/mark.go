package store

// Mark is a named read mark: how far a subject has read in some topics.
type Mark struct {
	ID     ID
	Topics Filter
}

// NamedMark is a read mark in a list.
type NamedMark struct {
	Name string
	Mark // zero when it is damaged
}

const (
	// MaxMarkName bounds the name of a mark, in bytes.
	MaxMarkName = 255

	// MaxMarkSubject bounds the subject of a mark, in bytes: 255 and a digest of its issuer.
	MaxMarkSubject = 512
)
