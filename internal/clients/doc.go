// Package clients holds tests only: third-party clients and reverse proxies against the real server over real HTTP.
//
// Each client follows a stream through a relay that reads its requests and can cut it off. The client writes down
// what it receives, one line per event; the test reads these lines in order, so a lost, repeated or misplaced event
// shows as an unexpected line. The proxies run with the configurations of deploy/; only ports, paths and times are
// filled in.
//
// Tests of software that is not installed are skipped. .ci/run installs all of it except Java, PHP and their
// packages, which only the long run (TIDINGS_FULL=1) asks for; there a skipped test is a failure. The Node packages
// are those of testdata/package-lock.json:
//
//	npm ci --prefix internal/clients/testdata
package clients
