// Package server is there so that go.mod names the NATS server that tests run as a child process. It is a
// module of its own: the program has nothing of it.
package server

import _ "github.com/nats-io/nats-server/v2/server"
