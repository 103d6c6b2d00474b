// Package clients holds tests only: software that others wrote, clients and reverse proxies,
// against the real server over real HTTP.
//
// Each client follows a stream through a relay that reads what it asks for and can cut it off. The
// client writes down what it was given, one line an event; the test reads these lines in order, so
// that a lost, repeated or misplaced event is a line other than the expected one. The proxies run
// with the configurations of deploy/, in which only ports, paths and times are filled in.
//
// What is not installed is skipped; .ci/run installs all of it but Java, PHP and their packages,
// which only the long run asks for (TIDINGS_FULL=1), and there a skipped test is a failure. The Node
// packages are those of testdata/package-lock.json:
//
//	npm ci --prefix internal/clients/testdata
package clients
