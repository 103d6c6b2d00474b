package store

// Delivery is a place in the log up to which the server itself has done something with each event, and
// what it keeps beside that. Package deliver knows what a record says.
type Delivery struct {
	ID     ID
	Record []byte // never nil, unless it is damaged
}

// NamedDelivery is a delivery in a list. Package alert keeps its rows beside them, and internal/nodes its lease, under
// names that begin with a NUL, as no delivery's does.
type NamedDelivery struct {
	Name string
	Delivery

	// Was, unless it is nil, is the record that must be there for anything of a SetDeliveries to be stored; empty:
	// there must be none. It counts only there.
	Was []byte
}

const (
	// MaxDeliveryName bounds the name of a delivery, in bytes: 255 of what an administrator calls it, and for what
	// package deliver keeps in rows beside it two NUL and a topic.
	MaxDeliveryName = 255 + 2 + 255

	// MaxDeliveryRecord bounds its record, in bytes: a commit may have those of thousands.
	MaxDeliveryRecord = 32 << 10
)
