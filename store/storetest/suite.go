// Package storetest is the contract of [store.Log] as tests. An engine runs the whole suite with
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, func(t testing.TB, dir string, opts storetest.Options) store.Log {
//			log, err := bolt.Open(dir, bolt.Options{Now: opts.Now, KeyWindow: opts.KeyWindow,
//				MaxKeys: opts.MaxKeys, MaxMarks: opts.MaxMarks})
//			if err != nil {
//				t.Fatal(err)
//			}
//			return log
//		})
//	}
//
// and every other test that has a log ends with [Check], which compares all views of the log with each
// other. [Model] is a Log that is too simple to be wrong: the oracle of property tests, and the fastest log
// for tests that are not about storage.
//
// The suite proves what a Log does while its process lives and across Close. Each engine must prove for
// itself that an event survives the death of the process or a power loss.
package storetest

import (
	"slices"
	"testing"
	"time"

	"tidings/store"
)

// Options are what a case requires of a log. The zero value means the engine's defaults.
type Options struct {
	Now       func() time.Time // the clock that IDs are minted from; nil is the real one
	KeyWindow time.Duration    // how long idempotency keys are remembered; 0 is the default
	MaxKeys   int              // how many; 0 is the default
	MaxMarks  int              // how many read marks; 0 is the default

	SequenceSlack uint64 // bytes that a sequence may take beyond twice the log's; 0 is the default

	// Sequencer, in the cases of RunShared, makes the log one of several.
	Sequencer store.Sequencer
}

// Factory opens the log in dir: a new one, or what an earlier log in the same dir had when it was closed.
// It ends the test if it cannot. The case closes the log.
type Factory func(t testing.TB, dir string, opts Options) store.Log

// Case is one rule of the contract.
type Case struct {
	Name string
	Run  func(t testing.TB, open Factory)
}

// Cases returns the whole contract. A case opens its own log and may run concurrently with others.
func Cases() []Case {
	return slices.Concat(
		appendCases(),
		onceCases(),
		conditionCases(),
		markCases(),
		deliveryCases(),
		bytesCases(),
		idCases(),
		headCases(),
		waitCases(),
		readerCases(),
		pageCases(),
		filterCases(),
		reservedCases(),
		slotCases(),
		throughCases(),
		trimCases(),
		lossCases(),
		newestCases(),
		retainCases(),
		lookupCases(),
		topicsCases(),
		closeCases(),
		concurrentCases(),
		modelCases(),
	)
}

// Run runs each case as a subtest.
func Run(t *testing.T, open Factory) {
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) { c.Run(t, open) })
	}
}
