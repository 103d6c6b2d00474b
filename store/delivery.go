package store

// Delivery is a cursor of the server itself: the place in the log up to which it has handled each event,
// with a record beside it. Package deliver knows what a record means.
type Delivery struct {
	ID     ID
	Record []byte // nil only if it is damaged
}

// NamedDelivery is a delivery in a list. Package alert keeps its rows among them, and internal/nodes its lease, under
// names that begin with NUL, which no delivery's name does.
type NamedDelivery struct {
	Name string
	Delivery

	// Was, unless nil, is the record that must exist for a SetDeliveries to store anything; empty: there must be
	// none. It has no meaning elsewhere.
	Was []byte
}

const (
	// MaxDeliveryName bounds the name of a delivery, in bytes: 255 for the administrator's name, then two NULs and a
	// topic for the rows that package deliver keeps beside it.
	MaxDeliveryName = 255 + 2 + 255

	// MaxDeliveryRecord bounds a delivery's record, in bytes: one commit may have thousands of them.
	MaxDeliveryRecord = 32 << 10
)
